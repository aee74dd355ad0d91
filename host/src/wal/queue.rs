//! Finished batches between the reading task and whoever asks for them: bounded by bytes and count.
//!
//! Invariants: order is kept; what was pushed before the end is handed out before the end is told; one
//! batch larger than the bound passes alone instead of never.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) batches_max: usize,
}

/// One producer, one consumer.
#[derive(Debug)]
pub(crate) struct Queue<T, E> {
    bounds: Bounds,
    state: Mutex<State<T, E>>,
    /// Something was taken.
    taken: Notify,
    /// Something was put, or the end has come.
    put: Notify,
}

#[derive(Debug)]
struct State<T, E> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    end: Option<E>,
    ended: bool,
}

impl<T, E> Queue<T, E> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, end: None, ended: false };
        Self { bounds, state: Mutex::new(state), taken: Notify::new(), put: Notify::new() }
    }

    /// Waits for room, then appends.
    pub(crate) async fn push(&self, item: T, bytes: usize) {
        loop {
            {
                let mut state = self.lock();
                let fits = state.bytes + bytes <= self.bounds.bytes_max
                    && state.waiting.len() < self.bounds.batches_max;
                if fits || state.waiting.is_empty() {
                    state.waiting.push_back((item, bytes));
                    state.bytes += bytes;
                    self.put.notify_one();
                    return;
                }
            }
            self.taken.notified().await;
        }
    }

    /// Waits until nothing waits here: the consumer wants more.
    pub(crate) async fn hungry(&self) {
        while !self.is_empty() {
            self.taken.notified().await;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// No more will come. The first reason given stays.
    pub(crate) fn end(&self, reason: E) {
        let mut state = self.lock();
        if !state.ended {
            (state.ended, state.end) = (true, Some(reason));
        }
        self.put.notify_one();
    }

    /// Everything that waits, at least one; or the reason of the end, once. `None` after that.
    pub(crate) async fn drain(&self) -> Option<Result<Vec<T>, E>> {
        loop {
            {
                let mut state = self.lock();
                if !state.waiting.is_empty() {
                    state.bytes = 0;
                    let all = state.waiting.drain(..).map(|(item, _)| item).collect();
                    self.taken.notify_one();
                    return Some(Ok(all));
                }
                if state.ended {
                    return state.end.take().map(Err);
                }
            }
            self.put.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn queue() -> Queue<u32, &'static str> {
        Queue::new(Bounds { bytes_max: 10, batches_max: 3 })
    }

    #[tokio::test]
    async fn bounded_by_bytes_and_count() {
        let queue = Arc::new(queue());
        queue.push(1, 100).await;
        let full = tokio::spawn({
            let queue = queue.clone();
            async move { queue.push(2, 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!full.is_finished());
        assert_eq!(queue.drain().await, Some(Ok(vec![1])));
        full.await.expect("pushed");
        for item in 3..5 {
            queue.push(item, 1).await;
        }
        let mut fourth = Box::pin(queue.push(5, 1));
        assert!(futures_poll(&mut fourth).await.is_none());
        assert_eq!(queue.drain().await, Some(Ok(vec![2, 3, 4])));
    }

    #[tokio::test]
    async fn the_end_comes_last_and_once() {
        let queue = queue();
        queue.push(1, 1).await;
        queue.end("gone");
        queue.end("later");
        assert_eq!(queue.drain().await, Some(Ok(vec![1])));
        assert_eq!(queue.drain().await, Some(Err("gone")));
        assert_eq!(queue.drain().await, None);
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
