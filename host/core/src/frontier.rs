//! How far all lanes of a source are: the least of their marks.
//!
//! Invariants: the frontier only grows. A lane joins at the frontier or above it, because what is below may
//! be gone at the source. Without lanes nothing moves: what nobody has asked for has not been delivered.

use std::collections::BTreeMap;

/// Why a lane's step was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is a lane of that number.
    #[error("lane {0} is there already")]
    Joined(u32),
    /// There is no lane of that number.
    #[error("there is no lane {0}")]
    Unknown(u32),
    /// It would join where the source may have nothing left.
    #[error("lane {lane} would join at {mark}, behind the frontier {frontier}")]
    Behind {
        /// The lane.
        lane: u32,
        /// Where it would be.
        mark: u64,
        /// Where all the others are.
        frontier: u64,
    },
    /// Marks only grow.
    #[error("lane {lane} went back from {from} to {to}")]
    Backwards {
        /// The lane.
        lane: u32,
        /// Where it was.
        from: u64,
        /// Where it would be.
        to: u64,
    },
}

/// The marks of all lanes, and the least of them.
#[derive(Clone, Debug)]
pub struct Frontier {
    marks: BTreeMap<u32, u64>,
    at: u64,
}

impl Frontier {
    /// No lanes, and everything below `at` is done.
    #[must_use]
    pub fn new(at: u64) -> Frontier {
        Frontier { marks: BTreeMap::new(), at }
    }

    /// Everything below it is done in all lanes.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The lane that holds the frontier back, and its mark: the one to look at when it does not move.
    #[must_use]
    pub fn slowest(&self) -> Option<(u32, u64)> {
        self.marks.iter().map(|(lane, mark)| (*lane, *mark)).min_by_key(|(_, mark)| *mark)
    }

    /// A lane joins, with everything below `mark` done or none of its business. Returns where the frontier
    /// is.
    pub fn join(&mut self, lane: u32, mark: u64) -> Result<u64, Refused> {
        if self.marks.contains_key(&lane) {
            return Err(Refused::Joined(lane));
        }
        if mark < self.at {
            return Err(Refused::Behind { lane, mark, frontier: self.at });
        }
        self.marks.insert(lane, mark);
        Ok(self.at)
    }

    /// A lane leaves, and with it what it has not done. Returns where the frontier is now.
    pub fn leave(&mut self, lane: u32) -> Result<u64, Refused> {
        self.marks.remove(&lane).ok_or(Refused::Unknown(lane))?;
        Ok(self.settle())
    }

    /// A lane's mark has moved. Returns where the frontier is now.
    pub fn advance(&mut self, lane: u32, mark: u64) -> Result<u64, Refused> {
        let held = self.marks.get_mut(&lane).ok_or(Refused::Unknown(lane))?;
        if mark < *held {
            return Err(Refused::Backwards { lane, from: *held, to: mark });
        }
        *held = mark;
        Ok(self.settle())
    }

    fn settle(&mut self) -> u64 {
        if let Some((_, mark)) = self.slowest() {
            self.at = self.at.max(mark);
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_lane_decides() {
        let mut frontier = Frontier::new(5);
        frontier.join(1, 5).unwrap();
        frontier.join(2, 7).unwrap();
        assert_eq!(frontier.advance(2, 100), Ok(5));
        assert_eq!(frontier.advance(1, 50), Ok(50));
        assert_eq!(frontier.slowest(), Some((1, 50)));
        assert_eq!(frontier.leave(1), Ok(100));
    }

    #[test]
    fn never_goes_back() {
        let mut frontier = Frontier::new(5);
        frontier.join(1, 9).unwrap();
        frontier.advance(1, 10).unwrap();
        assert_eq!(frontier.join(2, 9), Err(Refused::Behind { lane: 2, mark: 9, frontier: 10 }));
        assert_eq!(frontier.advance(1, 9), Err(Refused::Backwards { lane: 1, from: 10, to: 9 }));
        assert_eq!(frontier.advance(1, 10), Ok(10), "no news is no error");
        assert_eq!(frontier.leave(1), Ok(10));
        assert_eq!(frontier.at(), 10);
    }

    #[test]
    fn strangers_and_doubles_are_refused() {
        let mut frontier = Frontier::new(0);
        frontier.join(1, 0).unwrap();
        assert_eq!(frontier.join(1, 0), Err(Refused::Joined(1)));
        assert_eq!(frontier.leave(2), Err(Refused::Unknown(2)));
        assert_eq!(frontier.advance(2, 1), Err(Refused::Unknown(2)));
    }
}
