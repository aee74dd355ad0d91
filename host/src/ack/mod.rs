//! Who has really got what: the receipts of one source's batches, in every lane.
//!
//! ```text
//! confirmed ≤ stored checkpoint ≤ frontier = min(lane marks) ≤ received
//! ```
//!
//! What is counted, and how, is pure: [`pgcdc_core::acks`]. Here are the lock around it, the bell that rings when something
//! moved, and the receipts.
//!
//! Invariants. Every lane answers for a batch exactly once; a receipt that is dropped unanswered holds the frontier for good.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pgcdc_core::acks::Acks as Books;
pub(crate) use pgcdc_core::acks::Standing;
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::settled::Settled;
use pgcdc_core::tracker::Refused;
use tokio::sync::Notify;

use crate::source::pressure::Valve;

/// The receipts of one source.
pub(crate) struct Acks {
    books: Mutex<Books>,
    /// Batches without a place in an order, each of which is settled for itself.
    unordered: Mutex<Settled>,
    /// The frontier or a lane's mark has moved, or an unordered batch is done.
    pub(crate) moved: Notify,
    /// By lane: whether it gets anything now. None is open.
    valves: OnceLock<Vec<Valve>>,
}

impl Acks {
    /// For these lanes, each with what it had done before.
    pub(crate) fn new(lanes: Vec<(Arc<str>, LaneMark)>) -> Arc<Acks> {
        Arc::new(Acks {
            books: Mutex::new(Books::new(lanes)),
            unordered: Mutex::default(),
            moved: Notify::new(),
            valves: OnceLock::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unordered(&self) -> MutexGuard<'_, Settled> {
        self.unordered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unordered batches that every lane has, in whatever order, since this was asked last.
    pub(crate) fn take_settled(&self) -> Vec<Range<u64>> {
        self.unordered().take()
    }

    /// Gives the lanes their valves, once, in their order.
    pub(crate) fn guard(&self, valves: Vec<Valve>) {
        let _ = self.valves.set(valves);
    }

    /// A lane's valve.
    pub(crate) fn valve(&self, lane: usize) -> Valve {
        self.valves.get().and_then(|valves| valves.get(lane)).cloned().unwrap_or_default()
    }

    /// Another process has done this much of lanes, by name.
    pub(crate) fn remember(&self, marks: &BTreeMap<String, LaneMark>) {
        self.lock().remember(marks);
    }

    /// Registers the next batch with every lane: a receipt for each, in the lanes' order.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn deliver(self: &Arc<Self>, last: OrderKey, bytes: u64) -> Result<Vec<Receipt>, Refused> {
        self.deliver_in("", last, bytes)
    }

    /// The same for a batch of a strand beside the WAL.
    pub(crate) fn deliver_in(
        self: &Arc<Self>,
        strand: &str,
        last: OrderKey,
        bytes: u64,
    ) -> Result<Vec<Receipt>, Refused> {
        let mut books = self.lock();
        let strand = if strand.is_empty() { 0 } else { books.strand(strand) };
        let number = books.deliver_in(strand, last, bytes)?;
        if last == OrderKey::EMPTY {
            self.unordered().deliver(number, u32::try_from(books.lanes().len()).unwrap_or(u32::MAX));
        }
        Ok(books.lanes().map(|lane| Receipt::new(Arc::clone(self), lane, number)).collect())
    }

    /// How many batches were delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.lock().delivered()
    }

    /// What a lane had done before the process started.
    pub(crate) fn before(&self, lane: usize) -> LaneMark {
        self.lock().before(lane as u32).cloned().unwrap_or(crate::source::NOTHING)
    }

    fn settle(&self, lane: u32, number: u64) {
        let settled = self.lock().settle(lane, number);
        assert!(settled.is_ok(), "a receipt was answered twice: lane {lane}, batch {number}");
        let done = self.unordered().answer(number);
        if settled == Ok(true) || done {
            self.moved.notify_one();
        }
    }

    /// Bytes done, ever; asked at every answer, so it costs nothing.
    pub(crate) fn bytes_done(&self) -> u64 {
        self.lock().bytes_done()
    }

    /// What lanes have done, for a checkpoint.
    pub(crate) fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// Batches that a lane has not answered for.
    pub(crate) fn open(&self, lane: usize) -> u64 {
        self.lock().open(lane as u32)
    }
}

/// One lane's answer for one batch, in one or more parts. It counts when every part is done.
#[derive(Clone)]
pub(crate) struct Receipt(Arc<Owed>);

struct Owed {
    acks: Arc<Acks>,
    lane: u32,
    sequence: u64,
    parts: AtomicU32,
}

impl Receipt {
    fn new(acks: Arc<Acks>, lane: u32, sequence: u64) -> Receipt {
        Receipt(Arc::new(Owed { acks, lane, sequence, parts: AtomicU32::new(1) }))
    }

    /// What it says, for a batch that is put aside: `again` makes the same receipt of it.
    pub(crate) fn parts(&self) -> (&Arc<Acks>, u32, u64) {
        (&self.0.acks, self.0.lane, self.0.sequence)
    }

    /// The receipt of a batch that was put aside, when it is back. The first one must not be answered.
    pub(crate) fn again(acks: &Arc<Acks>, lane: u32, sequence: u64) -> Receipt {
        Receipt::new(Arc::clone(acks), lane, sequence)
    }

    /// One more part is owed.
    pub(crate) fn split(&self) -> Receipt {
        self.0.parts.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// Whether its lane is to get nothing of its source now.
    pub(crate) fn is_shed(&self) -> bool {
        let valves = self.0.acks.valves.get();
        valves.and_then(|valves| valves.get(self.0.lane as usize)).is_some_and(Valve::is_shut)
    }

    /// This part is done.
    pub(crate) fn settle(self) {
        if self.0.parts.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.acks.settle(self.0.lane, self.0.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> OrderKey {
        OrderKey::new(&[n]).unwrap()
    }

    fn acks(lanes: &[&str]) -> Arc<Acks> {
        Acks::new(lanes.iter().map(|name| ((*name).into(), LaneMark::at(OrderKey::EMPTY))).collect())
    }

    #[test]
    fn the_frontier_waits_for_every_lane_and_every_part() {
        let acks = acks(&["a", "b"]);
        let mut first = acks.deliver(key(3), 10).unwrap();
        let (b, a) = (first.pop().unwrap(), first.pop().unwrap());
        let part = a.split();
        a.settle();
        b.settle();
        assert_eq!(acks.standing().frontier, 0);
        part.settle();
        let standing = acks.standing();
        assert_eq!(standing.frontier, 1);
        assert_eq!(standing.lanes["a"].mark, key(3));
    }

    #[test]
    fn a_fast_lane_has_a_mark_of_its_own() {
        let acks = acks(&["fast", "slow"]);
        let mut receipts: Vec<Vec<Receipt>> =
            (0..4).map(|n| acks.deliver(key(n * 10 + 9), 1).unwrap()).collect();
        let mut fast = |n: usize| receipts[n].remove(0).settle();
        fast(0);
        fast(2);
        let standing = acks.standing();
        assert_eq!(standing.frontier, 0);
        assert_eq!(standing.lanes["fast"], LaneMark::at(key(9)));
        assert!(standing.lanes["slow"].mark.is_empty());
    }

    #[test]
    #[should_panic(expected = "answered twice")]
    fn a_receipt_is_answered_once() {
        let acks = acks(&["a"]);
        let receipt = acks.deliver(key(1), 1).unwrap().remove(0);
        receipt.clone().settle();
        receipt.0.parts.store(1, Ordering::Relaxed);
        receipt.settle();
    }
}
