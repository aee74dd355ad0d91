//! How often each event of a batch was tried. Pure.
//!
//! An attempt at a batch need not get to every event of it: a sink stops at a failure, to keep order. So tries are an event's own.

/// By the event's place in its batch. Nothing is kept, and nothing allocated, before the first failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries(Vec<u32>);

impl Tries {
    /// One more failed try of an event out of so many: how many it has had.
    pub(super) fn failed(&mut self, index: u32, events: u32) -> u32 {
        if self.0.len() < events as usize {
            self.0.resize(events as usize, 0);
        }
        let Some(tries) = self.0.get_mut(index as usize) else { return 0 };
        *tries = tries.saturating_add(1);
        *tries
    }

    /// Those of some events, in this order: what a batch that is cut from this one begins with.
    pub(super) fn select(&self, indexes: impl IntoIterator<Item = u32>) -> Tries {
        if self.0.is_empty() {
            return Tries::default();
        }
        Tries(indexes.into_iter().map(|index| self.0.get(index as usize).copied().unwrap_or(0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own() {
        let mut tries = Tries::default();
        assert_eq!((tries.failed(2, 3), tries.failed(2, 3), tries.failed(0, 3)), (1, 2, 1));
        let mut left = tries.select([1, 2]);
        assert_eq!((left.failed(0, 2), left.failed(1, 2)), (1, 3));
        assert_eq!(Tries::default().select([0, 7]), Tries::default());
        assert_eq!(tries.failed(9, 3), 0, "there is no such event");
    }
}
