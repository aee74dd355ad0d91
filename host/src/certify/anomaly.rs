//! What must never be, by name. Pure.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anomaly {
    pub(crate) name: Name,
    /// The sink, or where else it shows.
    pub(crate) place: String,
    /// What, in one line.
    pub(crate) what: String,
}

/// The anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    /// Committed at the source and never delivered.
    Lost,
    /// Delivered, and aborted or never written.
    Phantom,
    /// First delivered after something that happened later.
    Reordered,
    /// Delivered again though the stored checkpoint says that the lane has it.
    DuplicatedOutside,
    /// One change under two ids: nobody downstream can tell that it is a repetition.
    IdChanged,
    /// Two changes under one id: somebody downstream will throw one away.
    IdReused,
    /// A position was stored or confirmed beyond what a sink has.
    AckAhead,
    /// The events, folded, are not the tables.
    Diverged,
    /// What a sink holds cannot be read.
    Unreadable,
    /// It did not go on after a crash.
    Stuck,
    /// A clean stop was none.
    BadStop,
    /// It went on over a gap instead of halting.
    WentOn,
}

impl Name {
    pub(crate) const ALL: [Name; 12] = [
        Name::Lost,
        Name::Phantom,
        Name::Reordered,
        Name::DuplicatedOutside,
        Name::IdChanged,
        Name::IdReused,
        Name::AckAhead,
        Name::Diverged,
        Name::Unreadable,
        Name::Stuck,
        Name::BadStop,
        Name::WentOn,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Name::Lost => "lost",
            Name::Phantom => "phantom",
            Name::Reordered => "reordered",
            Name::DuplicatedOutside => "duplicated-outside-window",
            Name::IdChanged => "id-changed",
            Name::IdReused => "id-reused",
            Name::AckAhead => "ack-ahead",
            Name::Diverged => "diverged",
            Name::Unreadable => "unreadable",
            Name::Stuck => "stuck",
            Name::BadStop => "bad-stop",
            Name::WentOn => "went-on-over-a-gap",
        }
    }
}

impl Anomaly {
    pub(crate) fn new(name: Name, place: impl Into<String>, what: impl Into<String>) -> Anomaly {
        Anomaly { name, place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name.as_str(), self.place, self.what)
    }
}
