//! What may be posted after a failure: nothing, until the host comes back with what failed.
//!
//! The host may have sent more batches before it hears of a failure. They reach this connector when the failed batch has
//! been answered and its rows are forgotten, and would bring a row's newer change ahead of the one that failed. The host
//! starts nothing more until all that it sent has come back, and then begins with the earliest that failed. So whatever
//! arrives first and does not begin with an event that is expected back was sent too early: it is not tried, and
//! expected back from then on, too.

use std::cell::RefCell;
use std::collections::HashSet;

/// An event's id.
pub(crate) type Id = [u8; 16];

/// Open, or shut until one of these events comes again.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    expected: RefCell<HashSet<Id>>,
}

impl Fence {
    /// Whether a batch that begins with this event may be posted.
    pub(crate) fn admits(&self, first: Id) -> bool {
        let mut expected = self.expected.borrow_mut();
        if expected.is_empty() {
            return true;
        }
        if expected.contains(&first) {
            expected.clear();
            return true;
        }
        expected.insert(first);
        false
    }

    /// This event is the first of its batch that will come again.
    pub(crate) fn shut(&self, first: Id) {
        self.expected.borrow_mut().insert(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_the_failure_was_known_waits_for_what_failed() {
        let fence = Fence::default();
        assert!(fence.admits([1; 16]) && fence.admits([2; 16]));
        fence.shut([2; 16]);
        fence.shut([1; 16]);
        assert!(!fence.admits([3; 16]) && !fence.admits([4; 16]));
        assert!(fence.admits([1; 16]), "the host begins with the earliest");
        assert!(fence.admits([2; 16]) && fence.admits([3; 16]) && fence.admits([4; 16]));
    }

    #[test]
    fn what_never_comes_again_holds_nobody_for_good() {
        let fence = Fence::default();
        fence.shut([1; 16]);
        assert!(!fence.admits([2; 16]));
        assert!(fence.admits([2; 16]));
    }
}
