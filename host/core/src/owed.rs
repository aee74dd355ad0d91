//! What of a batch somebody has still to get who has had some of it: decided by order keys, never by an LSN alone,
//! because rows of one transaction, and a message in front of it, share theirs (I3).

use crate::checkpoint::{LaneMark, Strand};
use crate::order_key::OrderKey;

/// What of a batch is still owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// All of it, and of every batch behind it.
    AllFromHere,
    /// All of it: it has no place in an order.
    All,
    /// What [`LaneMark::covers`] does not cover, if anything.
    Part,
    /// Nothing.
    Nothing,
}

impl LaneMark {
    /// Judges a batch by its first and its last key; both are empty for one without a place in an order.
    #[must_use]
    pub fn owed(&self, first: &OrderKey, last: &OrderKey) -> Owed {
        if first.is_empty() {
            return Owed::All;
        }
        if *first > self.highest() {
            return Owed::AllFromHere;
        }
        if *last <= self.mark { Owed::Nothing } else { Owed::Part }
    }

    /// The highest key that is done.
    #[must_use]
    pub fn highest(&self) -> OrderKey {
        self.done.last().map_or(self.mark, |range| range.last.max(self.mark))
    }
}

impl Strand {
    /// The highest key that any lane has done.
    #[must_use]
    pub fn highest(&self) -> OrderKey {
        self.lanes.values().map(LaneMark::highest).max().unwrap_or(OrderKey::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::DoneRange;

    fn key(n: u8) -> OrderKey {
        OrderKey::new(&[n]).unwrap()
    }

    fn owed(mark: &LaneMark, first: u8, last: u8) -> Owed {
        mark.owed(&key(first), &key(last))
    }

    #[test]
    fn a_batch_is_owed_whole_in_part_or_not() {
        let mark = LaneMark::at(key(10));
        assert_eq!(owed(&mark, 5, 9), Owed::Nothing);
        assert_eq!(owed(&mark, 5, 10), Owed::Nothing);
        assert_eq!(owed(&mark, 10, 11), Owed::Part);
        assert_eq!(owed(&mark, 11, 11), Owed::AllFromHere);
        assert_eq!(mark.owed(&OrderKey::EMPTY, &OrderKey::EMPTY), Owed::All);
        assert_eq!(owed(&LaneMark::at(OrderKey::EMPTY), 1, 2), Owed::AllFromHere);
    }

    #[test]
    fn the_fastest_lane_decides_what_is_known_of_the_source() {
        let lane = |n| LaneMark::at(key(n));
        let lanes =
            [("a".to_string(), lane(3)), ("b".to_string(), lane(7)), ("c".to_string(), lane(5))].into();
        assert_eq!(Strand { resume: vec![], lanes }.highest(), key(7));
        assert_eq!(Strand::default().highest(), OrderKey::EMPTY);
    }

    #[test]
    fn ranges_above_the_mark_are_looked_at_event_by_event() {
        let mark = LaneMark { mark: key(10), done: vec![DoneRange { first: key(20), last: key(29) }] };
        assert_eq!(mark.highest(), key(29));
        for (first, last) in [(11, 12), (15, 25), (20, 29), (21, 40)] {
            assert_eq!(owed(&mark, first, last), Owed::Part, "{first} {last}");
        }
        assert_eq!(owed(&mark, 30, 31), Owed::AllFromHere);
        assert_eq!(owed(&mark, 1, 10), Owed::Nothing);
    }
}
