//! Three positions of one session, and the only place that may let PostgreSQL forget WAL.
//!
//! ```text
//! confirmed  <=  stored  <=  storable  <=  received
//! (status        (host's     (settled in   (read from
//!  updates)       checkpoint   every lane)   the socket)
//!                 is fsynced)
//! ```
//!
//! Invariants, asserted in release builds because breaking one means lost rows:
//! - every position only moves forward, and the order above always holds;
//! - what may be stored is the end LSN of a transaction that lies, with all before it, in batches that
//!   every lane has settled, or the WAL end that a keepalive named when nothing before it was open or
//!   unsettled;
//! - confirmed moves only in [`Progress::stored`], after the host has made its checkpoint durable.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pgcdc_core::lsn::Lsn;
use tokio::sync::Notify;

/// An idle server's WAL end is offered for storing when it is at least this far ahead. A server that
/// waits for our confirmation (to shut down, say) is obliged at once.
const IDLE_STEP_BYTES: u64 = 16 << 20;

/// The positions of one session.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    /// Confirmed has moved.
    pub(super) confirmed_moved: Notify,
    /// Worth a checkpoint though no batch was settled.
    offered: Notify,
}

#[derive(Debug)]
struct State {
    received: Lsn,
    storable: Lsn,
    stored: Lsn,
    confirmed: Lsn,
    /// Batches made so far; the first is number 0.
    batches: u64,
    /// Of them, how many are settled, contiguously.
    settled: u64,
    /// Of unsettled batches: (how many must be settled, what may be stored then). Bounded by what the
    /// host lets be in flight.
    ends: VecDeque<(u64, Lsn)>,
    /// The last WAL end at which the server had nothing more for us.
    quiet: Lsn,
}

/// What a status update says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Everything before it was read.
    pub received: Lsn,
    /// Everything before it may be forgotten.
    pub confirmed: Lsn,
}

impl Progress {
    /// A session that starts at `start`, which the slot has confirmed or the host has stored.
    pub fn new(start: Lsn) -> Self {
        let state = State {
            received: start,
            storable: start,
            stored: start,
            confirmed: start,
            batches: 0,
            settled: 0,
            ends: VecDeque::new(),
            quiet: start,
        };
        Self { state: Mutex::new(state), confirmed_moved: Notify::new(), offered: Notify::new() }
    }

    /// The first `batches` batches of this session are settled in every lane. Returns what may be stored now.
    ///
    /// # Panics
    /// If more are said to be settled than were made, or fewer than before.
    pub fn settled(&self, batches: u64) -> Lsn {
        let mut state = self.lock();
        assert!(batches <= state.batches, "settled batches that were never made");
        assert!(batches >= state.settled, "settled batches became unsettled");
        state.settled = batches;
        state.advance();
        state.storable
    }

    /// How far the host's checkpoint may go at this moment.
    pub fn storable(&self) -> Lsn {
        self.lock().storable
    }

    /// The host's checkpoint with this position is on the device: PostgreSQL may forget what is before it.
    ///
    /// # Panics
    /// If it was never offered as storable, or is behind what was stored before.
    pub fn stored(&self, position: Lsn) {
        let mut state = self.lock();
        assert!(position <= state.storable, "stored what was not settled");
        assert!(position >= state.stored, "the stored position went back");
        let moved = position > state.confirmed;
        state.stored = position;
        state.confirmed = position;
        state.check();
        drop(state);
        if moved {
            self.confirmed_moved.notify_one();
        }
    }

    /// Waits until the storable position has moved by itself, without a batch, and far enough to be
    /// worth a checkpoint.
    pub async fn offered(&self) {
        self.offered.notified().await;
    }

    /// What the next status update says.
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status { received: state.received, confirmed: state.confirmed }
    }

    /// Bytes up to here were read.
    pub(super) fn received(&self, position: Lsn) {
        let mut state = self.lock();
        state.received = state.received.max(position);
    }

    /// A batch was made, and once it and all before it are settled, `resume` may be stored.
    pub(super) fn made(&self, resume: Lsn) {
        let mut state = self.lock();
        state.batches += 1;
        state.received = state.received.max(resume);
        let entry = (state.batches, resume);
        state.ends.push_back(entry);
    }

    /// Every transaction that ended before `position` is in the batches made so far. `wanted`: the
    /// server waits for us.
    pub(super) fn quiet(&self, position: Lsn, wanted: bool) {
        let mut state = self.lock();
        if position > state.quiet {
            state.quiet = position;
            state.received = state.received.max(position);
            match state.ends.back_mut() {
                Some(last) => last.1 = last.1.max(position),
                None => state.storable = state.storable.max(position),
            }
            state.check();
        }
        let ahead_bytes = state.storable.bytes_since(state.stored);
        if ahead_bytes >= IDLE_STEP_BYTES || wanted && ahead_bytes > 0 {
            self.offered.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No assertion fails between two changes that belong together, so a poisoned state is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self) {
        while let Some((batches, resume)) =
            self.ends.front().copied().filter(|(batches, _)| *batches <= self.settled)
        {
            debug_assert!(batches <= self.batches);
            self.storable = self.storable.max(resume);
            self.ends.pop_front();
        }
        self.check();
    }

    fn check(&self) {
        assert!(self.confirmed <= self.stored, "confirmed more than was stored");
        assert!(self.stored <= self.storable, "stored more than was settled");
        assert!(self.storable <= self.received, "settled more than was received");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_confirmed_before_it_is_settled_and_stored() {
        let progress = Progress::new(Lsn(10));
        progress.received(Lsn(30));
        progress.made(Lsn(20));
        progress.made(Lsn(30));
        assert_eq!(progress.storable(), Lsn(10));
        assert_eq!(progress.settled(1), Lsn(20));
        assert_eq!(progress.status(), Status { received: Lsn(30), confirmed: Lsn(10) });
        progress.stored(Lsn(20));
        assert_eq!(progress.status().confirmed, Lsn(20));
        assert_eq!(progress.settled(2), Lsn(30));
    }

    #[test]
    fn an_idle_wal_end_waits_for_unsettled_batches() {
        let progress = Progress::new(Lsn(10));
        progress.made(Lsn(20));
        progress.quiet(Lsn(50), true);
        assert_eq!(progress.storable(), Lsn(10));
        assert_eq!(progress.settled(1), Lsn(50));
        progress.quiet(Lsn(70), false);
        assert_eq!(progress.storable(), Lsn(70));
        progress.quiet(Lsn(60), false);
        assert_eq!(progress.storable(), Lsn(70));
    }

    #[tokio::test]
    async fn a_server_that_waits_is_obliged_even_if_its_wal_end_is_known() {
        let progress = Progress::new(Lsn(10));
        progress.quiet(Lsn(20), false);
        progress.quiet(Lsn(20), true);
        progress.offered().await;
        assert_eq!(progress.storable(), Lsn(20));
    }

    #[test]
    #[should_panic(expected = "not settled")]
    fn storing_ahead_of_the_lanes_is_refused() {
        let progress = Progress::new(Lsn(10));
        progress.made(Lsn(20));
        progress.stored(Lsn(20));
    }

    #[test]
    #[should_panic(expected = "never made")]
    fn settling_what_was_never_made_is_refused() {
        Progress::new(Lsn(10)).settled(1);
    }
}
