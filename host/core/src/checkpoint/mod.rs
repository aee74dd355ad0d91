//! What pgcdc remembers of a source: whose positions these are, and how far each lane is in each strand.
//!
//! Invariants:
//! - `resume` is where the source goes on; it is never ahead of what the slowest lane has done;
//! - a lane has done everything up to and with its `mark`, and what `done` lists above it: an event whose key
//!   is covered is not delivered to that lane again;
//! - done ranges ascend, do not overlap and lie above the mark. Forgetting one is safe (its events come once
//!   more), inventing one is not: what does not hold is refused when read, never repaired.

mod next;
mod wire;

use std::collections::BTreeMap;

use crate::order_key::OrderKey;

/// The largest stored value, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 4 << 20;
/// Strands of a source; lanes of a strand.
pub const ENTRIES_MAX: usize = 4_096;
/// Ranges that a lane may have done above its mark. More are forgotten, the highest first.
pub const DONE_RANGES_MAX: usize = 1_024;
/// A resume token, in bytes.
pub const RESUME_BYTES_MAX: usize = 64 << 10;

/// The memory of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose positions these are.
    pub identity: Identity,
    /// How far each strand is, by its name.
    pub strands: BTreeMap<String, Strand>,
}

/// What a position is bound to: elsewhere it means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The WAL of a PostgreSQL database.
    Postgres(PostgresIdentity),
    /// Any other source: names and values of its own choice.
    Other(BTreeMap<String, String>),
}

/// What a WAL position is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresIdentity {
    /// What `IDENTIFY_SYSTEM` calls the cluster.
    pub system_identifier: u64,
    /// The timeline that the position is on.
    pub timeline: u32,
    /// The database's oid.
    pub database_oid: u32,
    /// The database's name, for people.
    pub database: String,
    /// The replication slot.
    pub slot: String,
    /// The publication's oid: it changes when the publication is dropped and created again.
    pub publication_oid: u32,
    /// The publication's name, for people.
    pub publication: String,
}

/// How far one strand is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strand {
    /// Where the source goes on.
    pub resume: Vec<u8>,
    /// How far each lane is, by its sink's name.
    pub lanes: BTreeMap<String, LaneMark>,
}

/// How far one lane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneMark {
    /// The lane has done everything up to and with this key.
    pub mark: OrderKey,
    /// What it has done above: first and last key of each range, both included.
    pub done: Vec<DoneRange>,
}

/// A range of keys, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneRange {
    /// The lowest key.
    pub first: OrderKey,
    /// The highest key.
    pub last: OrderKey,
}

impl LaneMark {
    /// A lane that has done everything up to and with a key.
    #[must_use]
    pub fn at(mark: OrderKey) -> LaneMark {
        LaneMark { mark, done: Vec::new() }
    }

    /// Whether the lane has done the event with this key. An empty key has no place in an order: never.
    #[must_use]
    pub fn covers(&self, key: &OrderKey) -> bool {
        if key.is_empty() {
            return false;
        }
        #[cfg(pgcdc_sabotage = "skip_by_lsn")]
        if key.as_bytes().get(..8) <= self.mark.as_bytes().get(..8) {
            return true;
        }
        if *key <= self.mark {
            return true;
        }
        let above = self.done.partition_point(|range| range.last < *key);
        self.done.get(above).is_some_and(|range| range.first <= *key)
    }
}

/// The stored bytes are no checkpoint, or none that this pgcdc can use.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Larger than any checkpoint.
    #[error("the stored checkpoint has {0} bytes, at most {CHECKPOINT_BYTES_MAX} are possible")]
    TooLarge(usize),
    /// Not the JSON that it should be.
    #[error("the stored checkpoint cannot be read")]
    Json(#[source] serde_json::Error),
    /// Of another version.
    #[error(
        "the stored checkpoint has version {found}, this pgcdc reads {known}: run the pgcdc that wrote it"
    )]
    Version {
        /// The version that was found.
        found: u64,
        /// The version that is known.
        known: u64,
    },
    /// A value that cannot be.
    #[error("the stored checkpoint is inconsistent: {what} in {place}")]
    Inconsistent {
        /// What is wrong.
        what: &'static str,
        /// Where.
        place: String,
    },
}

/// The checkpoint does not fit into a stored value.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// More bytes than a stored value may have.
    #[error("the checkpoint would have {0} bytes, at most {CHECKPOINT_BYTES_MAX} are possible")]
    TooLarge(usize),
    /// More strands or lanes than can be read again.
    #[error("the checkpoint has {0} strands or lanes in one place, at most {ENTRIES_MAX} are possible")]
    TooMany(usize),
    /// A resume token that is too long.
    #[error("a resume token has {0} bytes, at most {RESUME_BYTES_MAX} are possible")]
    Resume(usize),
    /// It could not be written as JSON.
    #[error("the checkpoint could not be written as JSON")]
    Json(#[source] serde_json::Error),
}

impl Checkpoint {
    /// The bytes to store: JSON, so that an operator can read them. [`Checkpoint::decode`] takes them.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self)
    }

    /// What [`Checkpoint::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, DecodeError> {
        wire::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> OrderKey {
        OrderKey::new(&[byte]).unwrap()
    }

    #[test]
    fn a_lane_covers_its_mark_and_what_it_has_done_above() {
        let done =
            vec![DoneRange { first: key(20), last: key(29) }, DoneRange { first: key(40), last: key(40) }];
        let lane = LaneMark { mark: key(10), done };
        let covered: Vec<u8> = (0..50).filter(|byte| lane.covers(&key(*byte))).collect();
        let expected: Vec<u8> = (0..=10).chain(20..=29).chain(40..=40).collect();
        assert_eq!(covered, expected);
        assert!(!lane.covers(&OrderKey::EMPTY));
    }
}
