//! One lane's receipts: sequence numbers settled in any order become one contiguous mark and the holes above
//! it.
//!
//! Invariants, asserted as typed refusals:
//! - `start ≤ mark ≤ next`; every number below `mark` is settled, `mark` itself is not;
//! - numbers are delivered densely: each once, in order; each is settled at most once, after its delivery;
//! - `mark` and `next` only grow, and `next - mark ≤ open_max`, so memory is bounded: one bit a number.

use std::collections::VecDeque;
use std::ops::Range;

/// Why a number was refused. The tracker is as it was before: whoever sent it has lost count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Delivered out of turn.
    #[error("batch {got} was delivered to a lane that waits for {expected}")]
    NotDense {
        /// The number that was to come.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// So many numbers above the mark are not kept.
    #[error("a lane may be {open_max} batches ahead of its mark and is")]
    Full {
        /// The limit.
        open_max: u64,
    },
    /// Settled, but it was before this lane's time.
    #[error("batch {0} was settled by a lane that never got it")]
    Unknown(u64),
    /// Settled before.
    #[error("batch {0} was settled twice")]
    Twice(u64),
    /// Settled, but not delivered yet.
    #[error("batch {0} was settled before it was delivered")]
    Future(u64),
}

const WORD_BITS: u64 = 64;

/// The receipts of one lane.
#[derive(Clone, Debug)]
pub struct Tracker {
    start: u64,
    mark: u64,
    next: u64,
    open_max: u64,
    settled_above: u64,
    /// One bit for each number from `mark` rounded down to a word; set = settled.
    words: VecDeque<u64>,
}

impl Tracker {
    /// A lane that will get `start` first, and may be that many numbers ahead of its mark.
    #[must_use]
    pub fn new(start: u64, open_max: u64) -> Tracker {
        Tracker { start, mark: start, next: start, open_max, settled_above: 0, words: VecDeque::new() }
    }

    /// The host hands the next number to the lane.
    pub fn deliver(&mut self, seq: u64) -> Result<(), Refused> {
        if seq != self.next {
            return Err(Refused::NotDense { expected: self.next, got: seq });
        }
        if self.next - self.mark >= self.open_max {
            return Err(Refused::Full { open_max: self.open_max });
        }
        self.next += 1;
        if self.word_of(seq) == self.words.len() {
            self.words.push_back(0);
        }
        Ok(())
    }

    /// The lane has durably got a number, or dead-lettered it, or has no use for it. True if the mark moved.
    pub fn settle(&mut self, seq: u64) -> Result<bool, Refused> {
        if seq < self.start {
            return Err(Refused::Unknown(seq));
        }
        if seq >= self.next {
            return Err(Refused::Future(seq));
        }
        if seq < self.mark {
            return Err(Refused::Twice(seq));
        }
        let index = self.word_of(seq);
        let bit = 1 << (seq % WORD_BITS);
        match self.words.get_mut(index) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return Err(Refused::Twice(seq)),
        }
        self.settled_above += 1;
        if seq == self.mark {
            self.advance();
            return Ok(true);
        }
        Ok(false)
    }

    /// All numbers below it are settled; it is not.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// The number that will be delivered next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many numbers are delivered and not settled.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.next - self.mark - self.settled_above
    }

    /// The settled numbers above the mark, as ranges that neither touch nor overlap, ascending.
    pub fn done_above_mark(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = self.mark;
        std::iter::from_fn(move || {
            let first = self.find(at, true)?;
            let end = self.find(first, false).unwrap_or(self.next);
            at = end;
            Some(first..end)
        })
    }

    /// The first number from `from` on that is delivered and is settled, or is not, as asked.
    fn find(&self, from: u64, settled: bool) -> Option<u64> {
        let mut seq = from;
        while seq < self.next {
            let word = *self.words.get(self.word_of(seq))?;
            let wanted = if settled { word } else { !word } >> (seq % WORD_BITS);
            if wanted != 0 {
                let found = seq + u64::from(wanted.trailing_zeros());
                return (found < self.next).then_some(found);
            }
            seq = (seq / WORD_BITS + 1) * WORD_BITS;
        }
        None
    }

    fn advance(&mut self) {
        let reached = self.find(self.mark, false).unwrap_or(self.next);
        self.settled_above -= reached - self.mark;
        let gone = reached / WORD_BITS - self.mark / WORD_BITS;
        self.words.drain(..(gone as usize).min(self.words.len()));
        self.mark = reached;
    }

    fn word_of(&self, seq: u64) -> usize {
        (seq / WORD_BITS - self.mark / WORD_BITS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn settled_in_any_order_becomes_one_mark() {
        let mut tracker = Tracker::new(10, 100);
        (10..15).for_each(|seq| tracker.deliver(seq).unwrap());
        assert_eq!(tracker.settle(12), Ok(false));
        assert_eq!(tracker.settle(13), Ok(false));
        assert_eq!(tracker.mark(), 10);
        assert_eq!(tracker.done_above_mark().next(), Some(12..14));
        assert_eq!(tracker.done_above_mark().count(), 1);
        assert_eq!(tracker.settle(10), Ok(true));
        assert_eq!(tracker.mark(), 11);
        assert_eq!(tracker.settle(11), Ok(true));
        assert_eq!((tracker.mark(), tracker.open()), (14, 1));
        assert_eq!(tracker.done_above_mark().count(), 0);
    }

    #[test]
    fn whoever_has_lost_count_is_refused() {
        let mut tracker = Tracker::new(10, 2);
        assert_eq!(tracker.deliver(11), Err(Refused::NotDense { expected: 10, got: 11 }));
        tracker.deliver(10).unwrap();
        tracker.deliver(11).unwrap();
        assert_eq!(tracker.deliver(12), Err(Refused::Full { open_max: 2 }));
        assert_eq!(tracker.settle(9), Err(Refused::Unknown(9)));
        assert_eq!(tracker.settle(12), Err(Refused::Future(12)));
        tracker.settle(11).unwrap();
        assert_eq!(tracker.settle(11), Err(Refused::Twice(11)));
        tracker.settle(10).unwrap();
        assert_eq!(tracker.settle(10), Err(Refused::Twice(10)));
        assert_eq!(tracker.mark(), 12);
    }

    /// The same in the plainest way.
    struct Naive {
        start: u64,
        next: u64,
        settled: BTreeSet<u64>,
    }

    impl Naive {
        fn mark(&self) -> u64 {
            (self.start..).find(|seq| !self.settled.contains(seq)).unwrap()
        }
    }

    fn agree(tracker: &Tracker, naive: &Naive) {
        let mark = naive.mark();
        assert_eq!(tracker.mark(), mark);
        assert_eq!(tracker.next(), naive.next);
        let above: Vec<u64> = naive.settled.range(mark..).copied().collect();
        assert_eq!(tracker.open(), naive.next - mark - above.len() as u64);
        let ranges: Vec<Range<u64>> = tracker.done_above_mark().collect();
        assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<u64>>(), above);
        assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// A hundred runs of a thousand operations.
        #[test]
        fn agrees_with_the_naive_model(
            start in 0_u64..200,
            open_max in 1_u64..300,
            operations in prop::collection::vec((any::<bool>(), any::<u16>()), 1_000),
        ) {
            let mut tracker = Tracker::new(start, open_max);
            let mut naive = Naive { start, next: start, settled: BTreeSet::new() };
            for (deliver, pick) in operations {
                if deliver {
                    let room = naive.next - naive.mark() < open_max;
                    prop_assert_eq!(tracker.deliver(naive.next).is_ok(), room);
                    naive.next += u64::from(room);
                } else {
                    let low = naive.mark().saturating_sub(3);
                    let seq = low + u64::from(pick) % (naive.next - low + 3);
                    let fits = (start..naive.next).contains(&seq) && !naive.settled.contains(&seq);
                    prop_assert_eq!(tracker.settle(seq).is_ok(), fits);
                    if fits {
                        naive.settled.insert(seq);
                    }
                }
            }
            agree(&tracker, &naive);
        }
    }
}
