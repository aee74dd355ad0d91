//! Who has really got what: the receipts of one source's batches, in every lane.
//!
//! ```text
//! confirmed ≤ stored checkpoint ≤ frontier = min(lane marks) ≤ received
//! ```
//!
//! Invariants. Every batch has a dense number, and every lane answers for it exactly once; a receipt that
//! is dropped unanswered holds the frontier for good. A lane's mark passes a batch only when all before it are done. A dropped,
//! filtered or dead-lettered event counts only with its batch, in its turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::frontier::Frontier;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::tracker::Tracker;
use tokio::sync::Notify;

use crate::source::pressure::Valve;

/// Batches of one source that may be unanswered in one lane; the lanes' queues are far smaller.
const OPEN_MAX: u64 = 1 << 20;

/// The receipts of one source.
pub(crate) struct Acks {
    state: Mutex<State>,
    /// The frontier or a lane's mark has moved.
    pub(crate) moved: Notify,
    /// By lane: whether it gets anything now. None is open.
    valves: OnceLock<Vec<Valve>>,
}

struct State {
    lanes: Vec<Lane>,
    frontier: Frontier,
    next: u64,
    /// What batches from number `first_span` on cover.
    spans: VecDeque<Span>,
    first_span: u64,
    /// Bytes whose batches passed the frontier, ever.
    bytes_done: u64,
}

struct Lane {
    name: Arc<str>,
    tracker: Tracker,
    /// What this lane had done before the process started.
    before: LaneMark,
}

#[derive(Clone, Copy)]
struct Span {
    last: OrderKey,
    bytes: u64,
}

/// Where everything stands, for a checkpoint.
pub(crate) struct Standing {
    /// Batches below it are done in all lanes.
    pub(crate) frontier: u64,
    /// Bytes done, ever.
    pub(crate) bytes_done: u64,
    /// By lane, if the source has an order.
    pub(crate) lanes: BTreeMap<String, LaneMark>,
}

impl Acks {
    /// For these lanes, each with what it had done before.
    pub(crate) fn new(lanes: Vec<(Arc<str>, LaneMark)>) -> Arc<Acks> {
        let mut frontier = Frontier::new(0);
        for lane in 0..lanes.len() as u32 {
            let _ = frontier.join(lane, 0);
        }
        let lanes = lanes
            .into_iter()
            .map(|(name, before)| Lane { name, tracker: Tracker::new(0, OPEN_MAX), before })
            .collect();
        let state = State { lanes, frontier, next: 0, spans: VecDeque::new(), first_span: 0, bytes_done: 0 };
        Arc::new(Acks { state: Mutex::new(state), moved: Notify::new(), valves: OnceLock::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn remember(&self, mut marks: BTreeMap<String, LaneMark>) {
        for lane in &mut self.lock().lanes {
            if let Some(mark) = marks.remove(&*lane.name).filter(|mark| mark.mark >= lane.before.mark) {
                lane.before = mark;
            }
        }
    }

    /// Registers the next batch with every lane: a receipt for each, in the lanes' order.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        last: OrderKey,
        bytes: u64,
    ) -> Result<Vec<Receipt>, pgcdc_core::tracker::Refused> {
        let mut state = self.lock();
        let sequence = state.next;
        for lane in &mut state.lanes {
            lane.tracker.deliver(sequence)?;
        }
        state.next += 1;
        state.spans.push_back(Span { last, bytes });
        let lanes = 0..state.lanes.len() as u32;
        Ok(lanes.map(|lane| Receipt::new(Arc::clone(self), lane, sequence)).collect())
    }

    /// How many batches were delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.lock().next
    }

    /// What a lane had done before the process started.
    pub(crate) fn before(&self, lane: usize) -> LaneMark {
        self.lock().lanes.get(lane).map_or(LaneMark::at(OrderKey::EMPTY), |lane| lane.before.clone())
    }

    fn settle(&self, lane: u32, sequence: u64) {
        let mut state = self.lock();
        let Some(held) = state.lanes.get_mut(lane as usize) else { return };
        let settled = held.tracker.settle(sequence);
        assert!(settled.is_ok(), "a receipt was answered twice: lane {lane}, batch {sequence}");
        let mark = held.tracker.mark();
        let before = state.frontier.at();
        let at = state.frontier.advance(lane, mark).unwrap_or(before);
        assert!(at >= before && at <= state.next, "the frontier left its bounds");
        state.forget_below(at);
        drop(state);
        self.moved.notify_one();
    }

    /// Bytes done, ever; asked at every answer, so it costs nothing.
    pub(crate) fn bytes_done(&self) -> u64 {
        self.lock().bytes_done
    }

    /// What lanes have done, for a checkpoint.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.lock();
        let lanes = state.lanes.iter().map(|lane| (lane.name.to_string(), state.mark_of(lane))).collect();
        Standing { frontier: state.frontier.at(), bytes_done: state.bytes_done, lanes }
    }

    /// Batches that a lane has not answered for.
    pub(crate) fn open(&self, lane: usize) -> u64 {
        self.lock().lanes.get(lane).map_or(0, |lane| lane.tracker.open())
    }
}

impl State {
    fn span(&self, sequence: u64) -> Option<&Span> {
        self.spans.get(sequence.checked_sub(self.first_span)? as usize)
    }

    /// Spans from one below the frontier on are kept: a lane's mark is the last key of the batch before it.
    fn forget_below(&mut self, frontier: u64) {
        while self.first_span + 1 < frontier {
            if let Some(span) = self.spans.pop_front() {
                self.bytes_done += span.bytes;
            }
            self.first_span += 1;
        }
    }

    /// What lies above the mark is not listed, though the lane may have done some of it: a sink that works on several batches at
    /// once keeps order by row, and a batch that comes again without those behind it would bring an old row back.
    fn mark_of(&self, lane: &Lane) -> LaneMark {
        let reached = lane.tracker.mark().checked_sub(1).and_then(|last| self.span(last));
        let mark = reached.map_or(lane.before.mark, |span| span.last.max(lane.before.mark));
        LaneMark::at(mark)
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
