//! Which LSN the server may be told, and the only place that decides it.
//!
//! ```text
//! confirmed  <=  stored  <=  storable  <=  received
//! (status        (the        (settled in   (read from
//!  updates)       checkpoint   every lane)   the socket)
//!                 is fsynced)
//! ```
//!
//! Invariants, asserted in release builds because breaking one means lost rows:
//! - every position only moves forward, and the order above always holds;
//! - what may be stored is the end LSN of a transaction that lies, with all before it, in batches that every lane has
//!   settled, or the WAL end that a keepalive named when nothing before it was open or unsettled (I1);
//! - confirmed moves only in [`Positions::stored`], after the checkpoint was made durable (I2, I9).

use std::collections::VecDeque;

use crate::lsn::Lsn;

/// An idle server's WAL end is offered for storing when it is at least this far ahead, in bytes. A server that waits
/// for our confirmation (to shut down, say) is obliged at once.
pub const IDLE_STEP_BYTES: u64 = 16 << 20;

/// What a status update says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Everything before it was read.
    pub received: Lsn,
    /// Everything before it may be forgotten.
    pub confirmed: Lsn,
}

/// Where the stream stood when a keepalive came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Between two transactions, and all that was read is in batches.
    Clear,
    /// Between two transactions, and some of what was read is not in a batch yet.
    Gathered,
    /// Inside of a transaction: the WAL end says nothing.
    Inside,
}

/// The positions of one session.
#[derive(Clone, Debug)]
pub struct Positions {
    received: Lsn,
    storable: Lsn,
    stored: Lsn,
    confirmed: Lsn,
    /// Batches made so far; the first is number 0.
    batches: u64,
    /// Of them, how many are settled, contiguously.
    settled: u64,
    /// Of unsettled batches: (how many must be settled, what may be stored then). Bounded by what the host lets be in
    /// flight.
    ends: VecDeque<(u64, Lsn)>,
    /// The last WAL end at which the server had nothing more for us.
    quiet: Lsn,
    /// A WAL end that a keepalive named behind what is not in a batch yet.
    waiting: Option<(Lsn, bool)>,
}

impl Positions {
    /// A session that starts at `start`, which the slot has confirmed or the host has stored.
    #[must_use]
    pub fn new(start: Lsn) -> Positions {
        Positions {
            received: start,
            storable: start,
            stored: start,
            confirmed: start,
            batches: 0,
            settled: 0,
            ends: VecDeque::new(),
            quiet: start,
            waiting: None,
        }
    }

    /// Bytes up to here were read.
    pub fn received(&mut self, position: Lsn) {
        self.received = self.received.max(position);
    }

    /// What was gathered has become a batch; once it and all before it are settled, `resume` may be stored. A batch
    /// without events only says how far the server is, and is nobody's to settle. True: worth a checkpoint at once.
    pub fn batch(&mut self, resume: Lsn, has_events: bool) -> bool {
        let mut offered = false;
        if has_events {
            self.batches += 1;
            self.received(resume);
            self.ends.push_back((self.batches, resume));
        } else {
            offered = self.quiet(resume, false);
        }
        match self.waiting.take() {
            Some((end, wanted)) => self.quiet(end, wanted) || offered,
            None => offered,
        }
    }

    /// The server says how far its WAL was read; `wanted`: it waits for us. True: worth a checkpoint at once.
    pub fn keepalive(&mut self, end: Lsn, wanted: bool, stand: Stand) -> bool {
        match stand {
            Stand::Clear => return self.quiet(end, wanted),
            Stand::Gathered => self.waiting = Some((end, wanted)),
            Stand::Inside => {}
        }
        false
    }

    /// Every transaction that ended before `position` is in the batches made so far.
    fn quiet(&mut self, position: Lsn, wanted: bool) -> bool {
        if position > self.quiet {
            self.quiet = position;
            self.received(position);
            match self.ends.back_mut() {
                Some(last) => last.1 = last.1.max(position),
                None => self.storable = self.storable.max(position),
            }
            self.check();
        }
        let ahead_bytes = self.storable.bytes_since(self.stored);
        ahead_bytes >= IDLE_STEP_BYTES || wanted && ahead_bytes > 0
    }

    /// The first `batches` batches of this session are settled in every lane. Returns what may be stored now.
    ///
    /// # Panics
    /// If more are said to be settled than were made, or fewer than before.
    pub fn settled(&mut self, batches: u64) -> Lsn {
        assert!(batches <= self.batches, "settled batches that were never made");
        assert!(batches >= self.settled, "settled batches became unsettled");
        self.settled = batches;
        while let Some((_, resume)) = self.ends.pop_front_if(|(batches, _)| *batches <= self.settled) {
            self.storable = self.storable.max(resume);
        }
        self.check();
        #[cfg(pgcdc_sabotage = "confirm_before_store")]
        {
            self.confirmed = self.storable;
        }
        self.storable
    }

    /// How far the checkpoint may go at this moment.
    #[must_use]
    pub fn storable(&self) -> Lsn {
        self.storable
    }

    /// The checkpoint with this position is on the device: PostgreSQL may forget what is before it. True if that is news.
    ///
    /// # Panics
    /// If it was never offered as storable, or is behind what was stored before.
    pub fn stored(&mut self, position: Lsn) -> bool {
        assert!(position <= self.storable, "stored what was not settled");
        assert!(position >= self.stored, "the stored position went back");
        let moved = position > self.confirmed;
        self.stored = position;
        self.confirmed = position;
        self.check();
        moved
    }

    /// What the next status update says.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { received: self.received, confirmed: self.confirmed }
    }

    fn check(&self) {
        assert!(
            self.confirmed <= self.stored || cfg!(pgcdc_sabotage = "confirm_before_store"),
            "confirmed more than was stored"
        );
        assert!(self.stored <= self.storable, "stored more than was settled");
        assert!(self.storable <= self.received, "settled more than was received");
    }
}

/// Which batches of the live session are settled once the bus has settled so many of its own. The bus gets fewer
/// batches than a session makes when some come a second time.
#[derive(Clone, Debug, Default)]
pub struct HandedOn {
    /// (batches the bus must have settled, batches of the session that are settled then), ascending.
    passed: VecDeque<(u64, u64)>,
    settled: u64,
}

impl HandedOn {
    /// Batch `number` of the session is done for once the bus has settled its first `bus` batches.
    ///
    /// # Panics
    /// If one of the two went back.
    pub fn handed_on(&mut self, number: u64, bus: u64) {
        let batches = number + 1;
        match self.passed.back_mut() {
            Some(last) => {
                assert!(bus >= last.0 && batches > last.1, "batches were handed on out of order");
                if last.0 == bus {
                    last.1 = batches;
                    return;
                }
            }
            None => assert!(batches > self.settled, "a settled batch was handed on"),
        }
        self.passed.push_back((bus, batches));
    }

    /// The bus has settled its first `frontier` batches. Returns how many of the session are settled, contiguously.
    pub fn settled(&mut self, frontier: u64) -> u64 {
        while let Some((_, batches)) = self.passed.pop_front_if(|(bus, _)| *bus <= frontier) {
            self.settled = batches;
        }
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_wal_end_waits_for_unsettled_batches() {
        let mut at = Positions::new(Lsn(10));
        at.batch(Lsn(20), true);
        assert!(!at.keepalive(Lsn(50), true, Stand::Clear));
        assert_eq!(at.storable(), Lsn(10));
        assert_eq!(at.settled(1), Lsn(50));
        at.keepalive(Lsn(70), false, Stand::Clear);
        assert_eq!(at.storable(), Lsn(70));
        at.keepalive(Lsn(60), false, Stand::Clear);
        assert_eq!(at.storable(), Lsn(70));
    }

    #[test]
    fn a_keepalive_counts_with_the_batch_before_it_and_not_inside_of_a_transaction() {
        let mut at = Positions::new(Lsn(10));
        at.keepalive(Lsn(90), true, Stand::Inside);
        at.keepalive(Lsn(40), true, Stand::Gathered);
        assert_eq!((at.storable(), at.status().received), (Lsn(10), Lsn(10)));
        at.batch(Lsn(30), true);
        at.batch(Lsn(60), true);
        assert_eq!(at.settled(1), Lsn(40));
        assert_eq!(at.settled(2), Lsn(60));
        assert_eq!(at.status(), Status { received: Lsn(60), confirmed: Lsn(10) });
    }

    #[test]
    fn a_batch_without_events_moves_the_position_and_is_not_waited_for() {
        let mut at = Positions::new(Lsn(10));
        assert!(!at.batch(Lsn(20), false));
        assert_eq!(at.storable(), Lsn(20));
        at.batch(Lsn(30), true);
        assert!(!at.batch(Lsn(40), false));
        assert_eq!(at.storable(), Lsn(20));
        assert_eq!(at.settled(1), Lsn(40));
    }

    #[test]
    fn a_checkpoint_is_offered_to_a_server_that_waits_and_at_every_step() {
        let mut at = Positions::new(Lsn(10));
        assert!(!at.keepalive(Lsn(10), true, Stand::Clear), "nothing to store");
        assert!(!at.keepalive(Lsn(11), false, Stand::Clear));
        assert!(at.keepalive(Lsn(11), true, Stand::Clear));
        assert!(!at.keepalive(Lsn(9 + IDLE_STEP_BYTES), false, Stand::Clear));
        assert!(at.keepalive(Lsn(10 + IDLE_STEP_BYTES), false, Stand::Clear));
        assert!(at.stored(at.storable()));
        assert!(!at.stored(at.storable()), "no news");
        assert!(at.batch(Lsn(20 + 2 * IDLE_STEP_BYTES), false));
        at.stored(at.storable());
        at.keepalive(Lsn(30 + 3 * IDLE_STEP_BYTES), false, Stand::Gathered);
        assert!(at.batch(Lsn(21 + 2 * IDLE_STEP_BYTES), false), "the keepalive behind it");
    }

    #[test]
    #[should_panic(expected = "not settled")]
    fn storing_ahead_of_the_lanes_is_refused() {
        let mut at = Positions::new(Lsn(10));
        at.batch(Lsn(20), true);
        at.stored(Lsn(20));
    }

    #[test]
    #[should_panic(expected = "went back")]
    fn storing_less_than_before_is_refused() {
        let mut at = Positions::new(Lsn(10));
        at.keepalive(Lsn(20), false, Stand::Clear);
        at.stored(Lsn(20));
        at.stored(Lsn(19));
    }

    #[test]
    #[should_panic(expected = "never made")]
    fn settling_what_was_never_made_is_refused() {
        Positions::new(Lsn(10)).settled(1);
    }

    #[test]
    #[should_panic(expected = "became unsettled")]
    fn unsettling_is_refused() {
        let mut at = Positions::new(Lsn(10));
        at.batch(Lsn(20), true);
        at.settled(1);
        at.settled(0);
    }

    #[test]
    fn a_session_follows_the_bus_which_gets_fewer_batches() {
        let mut handed = HandedOn::default();
        // The first two came a second time: the bus has had them, and two more besides.
        handed.handed_on(0, 2);
        handed.handed_on(1, 2);
        handed.handed_on(2, 3);
        handed.handed_on(3, 4);
        assert_eq!(handed.settled(1), 0);
        assert_eq!(handed.settled(2), 2);
        assert_eq!(handed.settled(2), 2);
        assert_eq!(handed.settled(9), 4);
        handed.handed_on(4, 9);
        assert_eq!(handed.settled(9), 5);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn the_bus_never_goes_back() {
        let mut handed = HandedOn::default();
        handed.handed_on(0, 2);
        handed.handed_on(1, 1);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_batch_is_handed_on_once() {
        let mut handed = HandedOn::default();
        handed.handed_on(0, 1);
        handed.handed_on(0, 2);
    }

    #[test]
    #[should_panic(expected = "settled batch")]
    fn a_settled_batch_is_not_handed_on_again() {
        let mut handed = HandedOn::default();
        handed.handed_on(0, 1);
        handed.settled(1);
        handed.handed_on(0, 2);
    }
}
