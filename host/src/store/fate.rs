//! A write without an answer: what has become of it, by what is stored now. Pure.

/// A write that may have been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The version that it was to replace; 0 for an absent value.
    pub(super) expected: u64,
    pub(super) value: Option<Vec<u8>>,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there, with this version.
    Done(u64),
    /// What it was to replace is still there.
    Undone,
    /// Somebody else has written.
    Foreign,
}

impl Doubt {
    /// By the version and the value that are stored now.
    pub(super) fn fate(&self, found: Option<&(u64, Vec<u8>)>) -> Fate {
        let version = found.map_or(0, |(version, _)| *version);
        if version == self.expected {
            return Fate::Undone;
        }
        // A key that was absent may have had versions before.
        let next = self.expected == 0 || version == 0 || version == self.expected + 1;
        if next && found.map(|(_, value)| value) == self.value.as_ref() {
            return Fate::Done(version);
        }
        Fate::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(expected: u64, value: Option<&str>, found: Option<(u64, &str)>) -> Fate {
        let doubt = Doubt { expected, value: value.map(|value| value.into()) };
        doubt.fate(found.map(|(version, value)| (version, value.into())).as_ref())
    }

    #[test]
    fn what_is_there_tells() {
        assert_eq!(fate(3, Some("b"), Some((4, "b"))), Fate::Done(4));
        assert_eq!(fate(3, Some("b"), Some((3, "a"))), Fate::Undone);
        assert_eq!(fate(0, Some("b"), Some((9, "b"))), Fate::Done(9));
        assert_eq!(fate(0, Some("b"), None), Fate::Undone);
        assert_eq!(fate(3, None, None), Fate::Done(0));
    }

    #[test]
    fn the_same_value_at_a_later_version_is_somebody_elses() {
        assert_eq!(fate(3, Some("b"), Some((5, "b"))), Fate::Foreign);
        assert_eq!(fate(3, Some("b"), Some((4, "c"))), Fate::Foreign);
        assert_eq!(fate(3, Some("b"), None), Fate::Foreign);
        assert_eq!(fate(3, None, Some((4, "c"))), Fate::Foreign);
    }
}
