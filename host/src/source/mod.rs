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

use pgcdc_core::assembler::Refused;
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::order_key::OrderKey;

/// A lane that has done nothing.
pub(crate) const NOTHING: LaneMark = LaneMark { mark: OrderKey::EMPTY, done: Vec::new() };

/// Where a batch from the WAL stands in its session.
pub(crate) struct Origin {
    /// Distinct for every session of a process.
    pub(crate) session: u64,
    /// Counted from 0 in its session.
    pub(crate) number: u64,
    pub(crate) first: OrderKey,
    pub(crate) last: OrderKey,
    /// Changes that cannot be delivered as they are: named here, and dead-lettered by every lane.
    pub(crate) refused: Vec<Refused>,
}
