//! How far the file is, and what a failure means for the batches under way.
//!
//! Invariants: after a failure no batch succeeds until every one that was under way has failed, too; the
//! first after that opens the file anew and learns its size before it plans anything.

use std::cell::Cell;

use pgcdc_sdk::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// What is planned will be what is there.
    Sound,
    /// Something failed: what is there is not known.
    Failed,
    /// One batch is finding out.
    Recovering,
}

/// Shared by all calls of `write`.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Cell<State>,
    under_way: Cell<u32>,
    /// The file's size when everything under way is appended.
    size_bytes: Cell<u64>,
}

/// One call of `write`.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    progress: &'a Progress,
    recovers: bool,
}

impl Progress {
    pub(crate) fn new(size_bytes: u64) -> Self {
        Self { state: Cell::new(State::Sound), under_way: Cell::new(0), size_bytes: Cell::new(size_bytes) }
    }

    /// A call begins, unless an earlier one failed and has not been seen to the end.
    pub(crate) fn enter(&self) -> Result<Entry<'_>> {
        let recovers = match (self.state.get(), self.under_way.get()) {
            (State::Sound, _) => false,
            (State::Failed, 0) => {
                self.state.set(State::Recovering);
                true
            }
            _ => return Err(behind()),
        };
        self.under_way.set(self.under_way.get() + 1);
        Ok(Entry { progress: self, recovers })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.get()
    }

    pub(crate) fn plan(&self, size_bytes: u64) {
        self.size_bytes.set(size_bytes);
    }

    /// The file's size is known again.
    pub(crate) fn recovered(&self, size_bytes: u64) {
        self.size_bytes.set(size_bytes);
        self.state.set(State::Sound);
    }
}

impl Entry<'_> {
    pub(crate) fn recovers(&self) -> bool {
        self.recovers
    }

    /// The call ends; well only if nothing failed meanwhile.
    pub(crate) fn leave(self, done: Result<()>) -> Result<()> {
        if done.is_err() {
            self.progress.state.set(State::Failed);
        }
        done?;
        if self.progress.state.get() == State::Sound { Ok(()) } else { Err(behind()) }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.progress.under_way.set(self.progress.under_way.get().saturating_sub(1));
    }
}

fn behind() -> Error {
    Error::not_tried("an earlier batch failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_fails_what_is_under_way() {
        let progress = Progress::new(10);
        let (first, second) = (progress.enter().unwrap(), progress.enter().unwrap());
        assert_eq!(first.leave(Err(Error::unavailable("full"))).unwrap_err().code, "unavailable");
        assert_eq!(progress.enter().unwrap_err().code, "not-tried");
        assert_eq!(second.leave(Ok(())).unwrap_err().code, "not-tried");
        let third = progress.enter().unwrap();
        assert!(third.recovers());
        assert_eq!(progress.enter().unwrap_err().code, "not-tried");
        progress.recovered(15);
        third.leave(Ok(())).unwrap();
        assert!(!progress.enter().unwrap().recovers());
    }
}
