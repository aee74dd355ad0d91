//! What of a transaction in progress was rolled back after it had been sent: everything since a savepoint.
//!
//! Parts of a transaction are nested. When one is rolled back, all that has come since it began belongs to it or to parts
//! inside of it; and parts are numbered in the order in which they begin. So a rollback voids, of all that was kept before
//! it, what has its part's number or a later one. That is all that has to be remembered: not which parts there were.
//!
//! Invariant: both numbers ascend strictly, so the first rollback behind a record is the widest that concerns it.

/// The rollbacks of one transaction.
#[derive(Debug, Default)]
pub(super) struct Voids {
    /// (of what is kept before that byte, parts from that one on).
    steps: Vec<(u64, u32)>,
}

/// Goes over a transaction from its first record to its last.
#[derive(Debug)]
pub(super) struct Cursor {
    voids: Voids,
    at: usize,
}

impl Voids {
    /// Parts from `rank` on are void in the first `before` bytes.
    pub(super) fn add(&mut self, before: u64, rank: u32) {
        while self.steps.pop_if(|(_, last)| *last >= rank).is_some() {}
        // One rollback names every part that it takes along.
        if self.steps.last().is_none_or(|(last, _)| *last < before) {
            self.steps.push((before, rank));
        }
    }

    pub(super) fn cursor(self) -> Cursor {
        Cursor { voids: self, at: 0 }
    }
}

impl Cursor {
    /// Whether the record of a part that begins at this byte was rolled back. Bytes must not go back.
    #[inline]
    pub(super) fn is_void(&mut self, byte: u64, rank: u32) -> bool {
        while let Some((before, from)) = self.voids.steps.get(self.at) {
            if byte < *before {
                return rank >= *from;
            }
            self.at += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn void(steps: &[(u64, u32)], records: &[(u64, u32)]) -> Vec<bool> {
        let mut voids = Voids::default();
        steps.iter().for_each(|(before, rank)| voids.add(*before, *rank));
        let mut cursor = voids.cursor();
        records.iter().map(|(byte, rank)| cursor.is_void(*byte, *rank)).collect()
    }

    #[test]
    fn only_what_came_before_a_rollback_is_void() {
        let records = [(0, 0), (10, 1), (20, 0), (30, 2), (40, 0)];
        assert_eq!(void(&[], &records), [false; 5]);
        assert_eq!(void(&[(20, 1)], &records), [false, true, false, false, false]);
        assert_eq!(void(&[(20, 1), (40, 2)], &records), [false, true, false, true, false]);
        assert_eq!(void(&[(40, 1)], &records), [false, true, false, true, false]);
    }

    #[test]
    fn a_rollback_that_names_many_parts_is_one() {
        let mut voids = Voids::default();
        (1..1_000).chain((1..1_000).rev()).for_each(|rank| voids.add(50, rank));
        assert_eq!(voids.steps, [(50, 1)]);
        voids.add(60, 2_000);
        assert_eq!(voids.steps, [(50, 1), (60, 2_000)]);
        voids.add(70, 1);
        assert_eq!(voids.steps, [(70, 1)]);
    }
}
