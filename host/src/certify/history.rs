//! What was done at the source and what arrived at the sinks: the nouns of the proof. Pure.
//!
//! Invariants. Every change of a run has a tag of its own, which an envelope shows; so what must arrive, and in which
//! order, is known without asking anybody. A transaction is recorded before its outcome is known.

use std::collections::BTreeMap;

use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;

/// The tables that are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    /// REPLICA IDENTITY FULL; keys come again after a delete.
    Full,
    /// The default identity; a key that is gone never comes again, since its delete shows nothing but the key.
    Keyed,
}

impl Table {
    pub(crate) const ALL: [Table; 2] = [Table::Full, Table::Keyed];

    /// As in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Full => "full_rows",
            Table::Keyed => "keyed_rows",
        }
    }
}

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// A row's name in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RowName {
    pub(crate) table: Table,
    pub(crate) writer: i64,
    pub(crate) key: i64,
}

/// A change's name in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag {
    /// The row, as it is called after the change.
    pub(crate) row: RowName,
    /// The writer's number of the change; of a delete the version that is deleted, or 0 where that does not show.
    pub(crate) version: i64,
    pub(crate) kind: Kind,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) tag: Tag,
    /// The key that the row had before, if the change moved it.
    pub(crate) moved_from: Option<i64>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    Aborted,
    /// The answer never came; the source is asked afterwards.
    Unknown,
}

/// One transaction of a writer. What a savepoint took back is one of its own, aborted.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    /// In order.
    pub(crate) changes: Vec<Change>,
    pub(crate) fate: Fate,
}

/// One event that a sink has taken.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: u128,
    pub(crate) position: OrderKey,
    /// Which life of the process under test brought it; the first is 1.
    pub(crate) life: u32,
    /// `None`: no change of ours.
    pub(crate) tag: Option<Tag>,
    /// The row's text after the change.
    pub(crate) row: Option<Box<str>>,
    /// The key before, where the envelope shows another.
    pub(crate) old_key: Option<i64>,
    /// The sender may not have learnt that it was taken, and may come again in the same life.
    pub(crate) unanswered: bool,
}

/// Where the transaction of an event commits: once a position lies beyond, the event must be done.
pub(crate) fn commit_lsn(position: &OrderKey) -> Lsn {
    position.as_bytes().get(..8).and_then(Lsn::from_bytes).unwrap_or(Lsn::ZERO)
}

/// How much order a sink promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Everything in the order of commits.
    Total,
    /// The changes of one row.
    PerRow,
}

/// Everything that one sink has taken.
#[derive(Clone, Debug)]
pub(crate) struct SinkLog {
    /// As in the manifest: the name of its lane.
    pub(crate) name: &'static str,
    pub(crate) order: Order,
    /// In the order of arrival, over all lives.
    pub(crate) deliveries: Vec<Delivery>,
}

/// What was found when a life had ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// The slot's `confirmed_flush_lsn`.
    pub(crate) confirmed: Lsn,
    /// Where the stored checkpoint goes on; `None` if nothing is stored.
    pub(crate) resume: Option<Lsn>,
    /// Each lane's stored mark.
    pub(crate) marks: BTreeMap<String, OrderKey>,
    /// Errors were injected into this life: a guest's instance may have ended, and its batches come again.
    pub(crate) errors: bool,
}

/// The slot's position during a life, and how much the sinks had taken when it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) confirmed: Lsn,
    /// By sink, where it can be known at any moment: how many deliveries there were.
    pub(crate) taken: Vec<(&'static str, usize)>,
}

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// By writer, each in its order; no fate is unknown any more.
    pub(crate) history: Vec<Vec<Transaction>>,
    pub(crate) sinks: Vec<SinkLog>,
    /// Of life 1, 2 and so on.
    pub(crate) endings: Vec<Ending>,
    pub(crate) samples: Vec<Sample>,
    /// Where the slot stood before the first life.
    pub(crate) slot_start: Lsn,
    /// What the tables hold in the end, as the server prints it.
    pub(crate) rows: BTreeMap<RowName, Box<str>>,
}
