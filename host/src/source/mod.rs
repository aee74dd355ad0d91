//! A source: an instance that is asked for batches, and what the host remembers of it.
//!
//! ```text
//! memory ─► link ─► instance.next ─► runner ─► bus                 received
//!   ▲                                            lanes ─► acks     frontier = min of the lanes' marks
//!   └── checkpointer ◄── link: batches ↔ positions ◄──────┘        stored ≤ frontier
//!            └─► progress.stored ─► status update                  confirmed ≤ stored
//! ```
//!
//! Invariants. What was handed to the bus is not handed to it again by this process, however often the source
//! reconnects. The checkpoint is on the device before PostgreSQL is told. A clean stop stores one. A slot that another
//! reads is waited for, never taken; once it is ours, the store is read again.

mod checkpointer;
mod lag;
mod link;
mod living;
pub(crate) mod pressure;
mod runner;
pub(crate) mod takeover;

pub(crate) use checkpointer::{Checkpointer, key};
pub(crate) use lag::watch as watch_lag;
pub(crate) use link::SourceLink;
pub(crate) use living::Living;
pub(crate) use runner::{Runner, marks};

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::assembler::Refused;
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::order_key::OrderKey;

use crate::snapshot::Piece;

/// A lane that has done nothing.
pub(crate) const NOTHING: LaneMark = LaneMark { mark: OrderKey::EMPTY, done: Vec::new() };

/// What of a source a batch is.
#[derive(Debug)]
pub(crate) enum Part {
    /// The WAL; counted from 0 in its session.
    Wal(u64),
    /// A strand beside it.
    Strand(Strand),
}

/// A strand beside the WAL: rows of a snapshot.
#[derive(Debug)]
pub(crate) struct Strand {
    pub(crate) name: Arc<str>,
    /// To be stored once this and all before are settled; empty: nothing is.
    pub(crate) token: Vec<u8>,
    /// It is the end of a snapshot that took so long.
    pub(crate) took: Option<Duration>,
}

impl Origin {
    /// Of what a snapshot has read.
    pub(crate) fn of_piece(session: u64, number: u64, piece: Piece) -> (Vec<u8>, Origin) {
        let Piece { bytes, refused, first, last, strand: name, token, took } = piece;
        let part = Part::Strand(Strand { name, token, took });
        (bytes, Origin { session, number, part, first, last, refused })
    }
}

/// Where a batch that the host decoded stands in its session.
pub(crate) struct Origin {
    /// Distinct for every session of a process.
    pub(crate) session: u64,
    /// Counted from 0 in its session.
    pub(crate) number: u64,
    /// What of its source it is.
    pub(crate) part: Part,
    pub(crate) first: OrderKey,
    pub(crate) last: OrderKey,
    /// Changes that cannot be delivered as they are: named here, and dead-lettered by every lane.
    pub(crate) refused: Vec<Refused>,
}
