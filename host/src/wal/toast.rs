//! What the memory of unsent values did, from the task that reads to whoever shows it.

use std::sync::{Mutex, PoisonError};

use pgcdc_core::assembler::ToastCounts;

/// The counts as they are now, and as they were last shown.
#[derive(Debug, Default)]
pub(super) struct ToastNews {
    state: Mutex<(ToastCounts, ToastCounts)>,
}

impl ToastNews {
    pub(super) fn tell(&self, counts: ToastCounts) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = counts;
    }

    /// What there is now; hits, misses and evictions are those since the last call.
    pub(super) fn take(&self) -> ToastCounts {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, before) = *state;
        state.1 = now;
        ToastCounts {
            hits: now.hits - before.hits,
            misses: now.misses - before.misses,
            evictions: now.evictions - before.evictions,
            ..now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_not_counted_twice() {
        let news = ToastNews::default();
        news.tell(ToastCounts { hits: 5, entries: 3, ..ToastCounts::default() });
        assert_eq!((news.take().hits, news.take().hits), (5, 0));
        news.tell(ToastCounts { hits: 7, entries: 2, ..ToastCounts::default() });
        let counts = news.take();
        assert_eq!((counts.hits, counts.entries), (2, 2));
    }
}
