//! Which rows are on their way. Pure.
//!
//! Invariant: a row that was read is not read again before the statement that takes it away has succeeded.

use std::collections::{BTreeMap, BTreeSet};

/// Rows by their ids as text.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Of batches that were handed over, by number.
    under_way: BTreeMap<u64, Vec<String>>,
    next: u64,
    /// Delivered, and still in the table.
    delivered: Vec<String>,
    /// All of these, and those that are being taken away.
    taken: BTreeSet<String>,
}

impl Ledger {
    /// A batch of these rows is handed over.
    pub(crate) fn hand_over(&mut self, ids: Vec<String>) {
        self.taken.extend(ids.iter().cloned());
        self.under_way.insert(self.next, ids);
        self.next += 1;
    }

    /// Every lane has these batches.
    pub(crate) fn settle(&mut self, batches: &[u64]) {
        for number in batches {
            self.delivered.extend(self.under_way.remove(number).unwrap_or_default());
        }
    }

    /// Some of what was delivered, to be taken away now.
    pub(crate) fn take_delivered(&mut self, rows_max: usize) -> Vec<String> {
        let rest = self.delivered.len().saturating_sub(rows_max);
        self.delivered.split_off(rest)
    }

    /// It could not be taken away: again, later.
    pub(crate) fn put_back(&mut self, ids: Vec<String>) {
        self.delivered.extend(ids);
    }

    /// It is gone from the table.
    pub(crate) fn forget(&mut self, ids: &[String]) {
        for id in ids {
            self.taken.remove(id);
        }
    }

    /// How many rows are on their way, or still in the table.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Which they are.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.taken.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn rows_are_taken_until_they_are_gone_in_whatever_order() {
        let mut ledger = Ledger::default();
        ledger.hand_over(ids(&["a", "b"]));
        ledger.hand_over(ids(&["c"]));
        ledger.settle(&[1, 7]);
        assert_eq!(ledger.take_delivered(9), ids(&["c"]));
        assert_eq!(ledger.len(), 3, "being taken away is not gone");
        ledger.put_back(ids(&["c"]));
        ledger.settle(&[0]);
        let mut delivered = ledger.take_delivered(2);
        delivered.extend(ledger.take_delivered(2));
        delivered.sort_unstable();
        assert_eq!(delivered, ids(&["a", "b", "c"]));
        ledger.forget(&delivered);
        assert_eq!((ledger.len(), ledger.ids().count()), (0, 0));
        assert!(ledger.take_delivered(1).is_empty());
    }
}
