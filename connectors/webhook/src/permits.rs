//! How many requests may be under way, over all batches.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A count of requests that may still begin.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Cell<u32>,
    waiting: RefCell<VecDeque<Waker>>,
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(count: u32) -> Self {
        Self { free: Cell::new(count.max(1)), waiting: RefCell::default() }
    }

    /// Waits until a request may begin.
    pub(crate) async fn take(&self) -> Permit<'_> {
        poll_fn(|context| match self.free.get() {
            0 => {
                self.waiting.borrow_mut().push_back(context.waker().clone());
                Poll::Pending
            }
            free => {
                self.free.set(free - 1);
                Poll::Ready(Permit(self))
            }
        })
        .await
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        if let Some(next) = self.0.waiting.borrow_mut().pop_front() {
            next.wake();
        }
    }
}
