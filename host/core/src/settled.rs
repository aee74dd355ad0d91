//! Which batches every lane has answered for, in whatever order that happened: for sources that have no order to keep.
//!
//! Invariants. A batch is named once, and not before the last of its lanes has answered. What is kept is bounded by the
//! batches that are open: those that are done are kept as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Batches of one source, by their dense numbers.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many lanes have not answered, of each batch that is open.
    open: BTreeMap<u64, u32>,
    /// Starts and ends of what is done and was not taken yet; no two of them touch.
    done: BTreeMap<u64, u64>,
}

impl Settled {
    /// A batch went to this many lanes. To none: nobody has it, and it is never done.
    pub fn deliver(&mut self, number: u64, lanes: u32) {
        if lanes > 0 {
            self.open.insert(number, lanes);
        }
    }

    /// A lane has answered for a batch. True if that was the last one. A batch that was not delivered here is nobody's.
    pub fn answer(&mut self, number: u64) -> bool {
        let Some(left) = self.open.get_mut(&number) else { return false };
        *left -= 1;
        if *left > 0 {
            return false;
        }
        self.open.remove(&number);
        self.mark(number);
        true
    }

    fn mark(&mut self, number: u64) {
        let end = self.done.remove(&(number + 1)).unwrap_or(number + 1);
        match self.done.range_mut(..number).next_back() {
            Some((_, before)) if *before == number => *before = end,
            _ => _ = self.done.insert(number, end),
        }
    }

    /// What is done since this was asked last, ascending.
    pub fn take(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.done).into_iter().map(|(start, end)| start..end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_done_with_its_last_lane_and_named_once() {
        let mut settled = Settled::default();
        (0..5).for_each(|number| settled.deliver(number, 2));
        for number in [3, 1, 3] {
            assert_eq!(settled.answer(number), settled.open.len() == 4, "{number}");
        }
        let taken = settled.take();
        assert_eq!((taken.len(), taken[0].clone()), (1, 3..4), "whatever is before it");
        assert!(settled.take().is_empty());
        assert!(settled.answer(1));
        settled.answer(4);
        settled.answer(4);
        settled.answer(2);
        settled.answer(2);
        assert_eq!(settled.take(), [1..3, 4..5]);
        assert!(!settled.answer(4), "an answer for what is done is nobody's");
        assert_eq!(settled.open.len(), 1);
    }

    #[test]
    fn what_is_done_is_kept_as_ranges_however_it_comes() {
        let mut settled = Settled::default();
        (0..1000).for_each(|number| settled.deliver(number, 1));
        // Every number once: 7 and 1000 have no divisor in common.
        for step in 0..999 {
            settled.answer(step * 7 % 1000);
        }
        assert_eq!(settled.take(), [0..993, 994..1000]);
        settled.deliver(1000, 0);
        assert!(!settled.answer(1000));
    }
}
