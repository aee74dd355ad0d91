//! From sources to lanes: every lane gets every batch, in order, and a lane that is behind holds up only itself.
//!
//! ```text
//! source ─► fan-out ─┬─► lane: room? ─► queue ─► sink
//!                    │          └ no ─► overflow on the disk ─► queue      (block: then the source waits)
//!                    └─► lane: room? ─► queue ─► sink
//!                               └ no ─► lost, counted, logged              (shed)
//! ```
//!
//! # How much is in memory
//!
//! With N sinks and a budget of B bytes (`bus.buffer_bytes`), a lane's share is S = B / max(N, 4).
//! - A lane without an overflow holds at most S: what waits and what is in flight, until the last part of a batch is answered.
//! - A lane with one holds at most S - S/4 of that, what was read back included, and at most S/4 on the way to the disk.
//! - So all lanes together hold at most N · S ≤ B. A batch is charged to every lane that holds it, though there is one copy of it:
//!   each batch counted once, there is that or less in memory. Lending what lanes share would promise nothing: once the faster of
//!   them is done with it, it is the slower one's alone.
//! - A batch that is larger than what it is charged to is charged all of that, and is alone there. So B is exceeded only by what such batches exceed
//!   S, one for each lane (and one more for its way to the disk).
//! - At most `bus.buffer_events / 64` batches wait in a queue; the sink takes a few more out of it.
//!
//! A lane's share is its own: whatever one holds, the others have theirs. What a source has read ahead, and the one batch that it waits with, are the
//! source's.
//!
//! # Invariants
//!
//! A source's batches reach each lane in its order. Lanes with room are served before any is waited for. Who is waited for, and when
//! the disk is used: `fanout.rs`. What was lost is answered for in its turn.

mod alarm;
mod buffer;
mod fanout;
mod lane;
mod overflow;
mod shed;

pub(crate) use alarm::{Alarm, alarm};
pub(crate) use buffer::Buffer;
pub(crate) use fanout::Fanout;
pub(crate) use lane::{Bounds, Delivery, Queue, lane};
pub(crate) use overflow::forget;

/// What a full lane does to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Holds it back, or ends the process.
    Reliable,
    /// Loses the batch.
    Fast,
}

/// The lanes are gone: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the lanes have ended")]
pub(crate) struct Closed;

/// The bytes that one of so many lanes may hold in memory.
pub(crate) fn share_bytes(budget_bytes: u64, lanes: usize) -> u32 {
    const LANES_MIN: u64 = 4;
    let share = budget_bytes / (lanes as u64).max(LANES_MIN);
    u32::try_from(share).unwrap_or(u32::MAX).clamp(1, u32::MAX / 8)
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
