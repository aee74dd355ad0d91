//! What the memory of unsent values did, from the task that reads to whoever shows it.

use std::sync::{Mutex, PoisonError};

use pgcdc_core::assembler::ToastCounts;

/// The counts as they are now, and as they were last shown.
#[derive(Debug, Default)]
pub(super) struct ToastNews {
    state: Mutex<Option<(ToastCounts, ToastCounts)>>,
}

impl ToastNews {
    pub(super) fn tell(&self, counts: ToastCounts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.get_or_insert_default().0 = counts;
    }

    /// What there is now; hits, misses and evictions are those since the last call. None if nothing is remembered.
    pub(super) fn take(&self) -> Option<ToastCounts> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, shown) = state.as_mut()?;
        let (now, before) = (*now, std::mem::replace(shown, *now));
        Some(ToastCounts {
            hits: now.hits - before.hits,
            misses: now.misses - before.misses,
            evictions: now.evictions - before.evictions,
            ..now
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_not_counted_twice() {
        let news = ToastNews::default();
        assert_eq!(news.take(), None);
        news.tell(ToastCounts { hits: 5, entries: 3, ..ToastCounts::default() });
        let hits = || news.take().map(|counts| counts.hits);
        assert_eq!((hits(), hits()), (Some(5), Some(0)));
        news.tell(ToastCounts { hits: 7, entries: 2, ..ToastCounts::default() });
        assert_eq!(news.take().map(|counts| (counts.hits, counts.entries)), Some((2, 2)));
    }
}
