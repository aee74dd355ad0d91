//! Who has really got what: the answers of all lanes for one strand of a source.
//!
//! ```text
//! deliver ─► number n ─► lane a ─► tracker ─► mark ─┐
//!                    └─► lane b ─► tracker ─► mark ─┴─► frontier = the least of the marks
//! ```
//!
//! Invariants, of which the last two are asserted in release builds:
//! - every batch has a dense number, and every lane that was there when it was delivered answers for it once;
//! - a lane's mark passes a batch only when that and all before it are done: what is dropped, filtered, shed or
//!   dead-lettered counts only in its turn (I1);
//! - a lane that joins owes nothing that was delivered before; one that leaves takes along what it has not done;
//! - the frontier never goes back, and never passes what was delivered;
//! - an answer is never counted twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::checkpoint::LaneMark;
use crate::frontier::Frontier;
use crate::order_key::OrderKey;
use crate::tracker::{Refused, Tracker};

/// Batches that may be unanswered; the lanes' queues are far smaller.
pub const OPEN_MAX: u64 = 1 << 20;

/// The lanes of one strand, and what they have done of it.
#[derive(Debug)]
pub struct Acks {
    /// Ascending by number.
    lanes: Vec<Lane>,
    next_lane: u32,
    frontier: Frontier,
    next: u64,
    /// What batches from number `first_span` on cover.
    spans: VecDeque<Span>,
    first_span: u64,
    bytes_done: u64,
    /// The strands that batches came of, by number; the first is the one without a name, which the WAL is.
    strands: Vec<Strand>,
}

#[derive(Debug)]
struct Strand {
    name: Arc<str>,
    /// The last key that was delivered, or that all lanes may be taken to have had.
    reached: OrderKey,
}

#[derive(Debug)]
struct Lane {
    number: u32,
    name: Arc<str>,
    tracker: Tracker,
    /// What this lane had done before it joined, of the first strand.
    before: LaneMark,
    /// By strand: the last key below the tracker's mark. Shorter than there are strands: nothing of the others.
    marks: Vec<OrderKey>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    strand: u32,
    last: OrderKey,
    bytes: u64,
}

/// Where everything stands, for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Batches below it are done in all lanes.
    pub frontier: u64,
    /// Bytes done, ever.
    pub bytes_done: u64,
    /// By lane, if the source has an order; of the strand without a name.
    pub lanes: BTreeMap<String, LaneMark>,
    /// The same of every other strand, by its name.
    pub strands: BTreeMap<String, BTreeMap<String, LaneMark>>,
}

/// What a lane leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it has done. A lane that joins with it goes on there, if `open` is 0.
    pub mark: LaneMark,
    /// Batches that were delivered to it and that it has not answered for: nobody waits for them any more.
    pub open: u64,
}

/// There is a lane of that name, whose marks the checkpoint could not tell from the new one's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a lane {0} already: it has to leave before another of that name joins")]
pub struct Joined(pub Arc<str>);

impl Acks {
    /// For these lanes, numbered from 0, each with what it had done before. A name stands there once.
    #[must_use]
    pub fn new(lanes: impl IntoIterator<Item = (Arc<str>, LaneMark)>) -> Acks {
        let mut acks = Acks {
            lanes: Vec::new(),
            next_lane: 0,
            frontier: Frontier::new(0),
            next: 0,
            spans: VecDeque::new(),
            first_span: 0,
            bytes_done: 0,
            strands: vec![Strand { name: "".into(), reached: OrderKey::EMPTY }],
        };
        lanes.into_iter().for_each(|(name, before)| _ = acks.add(name, before));
        acks
    }

    /// A lane joins, and gets what is delivered from now on. `before` is what it had done; what lies between that
    /// and the last key that was delivered it never gets, so whoever replaces a lane drains it first.
    pub fn join(&mut self, name: Arc<str>, before: LaneMark) -> Result<u32, Joined> {
        match self.lanes.iter().any(|lane| lane.name == name) {
            true => Err(Joined(name)),
            false => Ok(self.add(name, before)),
        }
    }

    fn add(&mut self, name: Arc<str>, before: LaneMark) -> u32 {
        let number = self.next_lane;
        self.next_lane += 1;
        let joined = self.frontier.join(number, self.next);
        assert!(joined.is_ok(), "a new lane has a new number, and starts where no lane is yet");
        let marks = self.strands.iter().map(|strand| strand.reached).collect();
        self.lanes.push(Lane { number, name, tracker: Tracker::new(self.next, OPEN_MAX), before, marks });
        number
    }

    /// A lane leaves. `None`: there is none of that number.
    pub fn leave(&mut self, lane: u32) -> Option<Left> {
        let at = self.find(lane)?;
        let gone = self.lanes.remove(at);
        let left = Left { mark: self.mark_of(&gone), open: gone.tracker.open() };
        // Refused only for a lane that is not there.
        if let Ok(at) = self.frontier.leave(lane) {
            self.forget_below(at);
        }
        Some(left)
    }

    /// Another process has done this much of lanes, by name; what a lane had done before never goes back.
    pub fn remember(&mut self, marks: &BTreeMap<String, LaneMark>) {
        for lane in &mut self.lanes {
            if let Some(mark) = marks.get(&*lane.name).filter(|mark| mark.mark >= lane.before.mark) {
                lane.before = mark.clone();
            }
        }
    }

    /// Registers the next batch with every lane, and returns its number. Refused, nothing has changed.
    pub fn deliver(&mut self, last: OrderKey, bytes: u64) -> Result<u64, Refused> {
        self.deliver_in(0, last, bytes)
    }

    /// The number of a strand, for [`Acks::deliver_in`]. One that is new begins with nothing done.
    pub fn strand(&mut self, name: &str) -> u32 {
        let known = self.strands.iter().position(|strand| &*strand.name == name);
        let at = known.unwrap_or_else(|| {
            self.strands.push(Strand { name: name.into(), reached: OrderKey::EMPTY });
            self.strands.len() - 1
        });
        at as u32
    }

    /// The same for a batch of a strand. Batches of all strands are answered for in one order, that of their delivery.
    pub fn deliver_in(&mut self, strand: u32, last: OrderKey, bytes: u64) -> Result<u64, Refused> {
        if self.next - self.frontier.at() >= OPEN_MAX {
            return Err(Refused::Full { open_max: OPEN_MAX });
        }
        let number = self.next;
        for lane in &mut self.lanes {
            lane.tracker.deliver(number)?;
        }
        self.next += 1;
        if let Some(strand) = self.strands.get_mut(strand as usize) {
            strand.reached = last.max(strand.reached);
        }
        self.spans.push_back(Span { strand, last, bytes });
        #[cfg(pgcdc_sabotage = "ack_early")]
        for lane in self.lanes().collect::<Vec<_>>() {
            self.count(lane, number)?;
        }
        Ok(number)
    }

    /// The lanes that the next batch is for, ascending.
    pub fn lanes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.lanes.iter().map(|lane| lane.number)
    }

    /// A lane has durably got a batch, or dead-lettered it, or has no use for it. True if its mark moved. What a
    /// lane that has left still answers is nobody's business any more.
    pub fn settle(&mut self, lane: u32, number: u64) -> Result<bool, Refused> {
        if cfg!(pgcdc_sabotage = "ack_early") {
            return Ok(false);
        }
        self.count(lane, number)
    }

    fn count(&mut self, lane: u32, number: u64) -> Result<bool, Refused> {
        let Some(at) = self.find(lane) else { return Ok(false) };
        let was = self.lanes[at].tracker.mark();
        if !self.lanes[at].tracker.settle(number)? {
            return Ok(false);
        }
        let (mark, before) = (self.lanes[at].tracker.mark(), self.frontier.at());
        for number in was..mark {
            if let Some(Span { strand, last, .. }) = self.span(number).copied() {
                let marks = &mut self.lanes[at].marks;
                let strand = strand as usize;
                marks.resize(marks.len().max(strand + 1), OrderKey::EMPTY);
                marks[strand] = marks[strand].max(last);
            }
        }
        let at = self.frontier.advance(lane, mark).unwrap_or(before);
        assert!(at >= before && at <= self.next, "the frontier left its bounds");
        self.forget_below(at);
        Ok(true)
    }

    /// How many batches were delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.next
    }

    /// The highest key that was delivered; empty at first.
    #[must_use]
    pub fn reached(&self) -> OrderKey {
        self.strands.first().map_or(OrderKey::EMPTY, |strand| strand.reached)
    }

    /// Batches below it are done in all lanes.
    #[must_use]
    pub fn frontier(&self) -> u64 {
        self.frontier.at()
    }

    /// Bytes of batches that passed the frontier, ever.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done
    }

    /// What a lane had done before it joined.
    #[must_use]
    pub fn before(&self, lane: u32) -> Option<&LaneMark> {
        self.find(lane).map(|at| &self.lanes[at].before)
    }

    /// Batches that a lane has not answered for.
    #[must_use]
    pub fn open(&self, lane: u32) -> u64 {
        self.find(lane).map_or(0, |at| self.lanes[at].tracker.open())
    }

    /// What a lane has done.
    #[must_use]
    pub fn mark(&self, lane: u32) -> Option<LaneMark> {
        self.find(lane).map(|at| self.mark_of(&self.lanes[at]))
    }

    /// What lanes have done, for a checkpoint.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let lanes = self.lanes.iter().map(|lane| (lane.name.to_string(), self.mark_of(lane))).collect();
        let others = self.strands.iter().enumerate().skip(1);
        let strands = others.map(|(at, strand)| {
            let mark = |lane: &Lane| LaneMark::at(lane.marks.get(at).copied().unwrap_or(OrderKey::EMPTY));
            let lanes = self.lanes.iter().map(|lane| (lane.name.to_string(), mark(lane))).collect();
            (strand.name.to_string(), lanes)
        });
        let strands = strands.collect();
        Standing { frontier: self.frontier.at(), bytes_done: self.bytes_done, lanes, strands }
    }

    /// Lanes rarely leave, so a lane mostly stands where its number says.
    fn find(&self, lane: u32) -> Option<usize> {
        match self.lanes.get(lane as usize) {
            Some(held) if held.number == lane => Some(lane as usize),
            _ => self.lanes.binary_search_by_key(&lane, |held| held.number).ok(),
        }
    }

    fn span(&self, number: u64) -> Option<&Span> {
        self.spans.get(number.checked_sub(self.first_span)? as usize)
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

    /// What lies above the mark is not listed, though the lane may have done some of it. A sink that works on
    /// several batches at once, or holds some back, keeps order by row; if a batch came again without those behind
    /// it, an old row would be the last word. And a sink that does neither leaves no holes but where there was
    /// nothing for it.
    fn mark_of(&self, lane: &Lane) -> LaneMark {
        let reached = lane.marks.first().copied().unwrap_or(OrderKey::EMPTY);
        LaneMark::at(reached.max(lane.before.mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::Refused;

    fn key(n: u8) -> OrderKey {
        OrderKey::new(&[n]).unwrap()
    }

    fn acks(lanes: &[&str]) -> Acks {
        Acks::new(lanes.iter().map(|name| ((*name).into(), LaneMark::at(OrderKey::EMPTY))))
    }

    fn deliver(acks: &mut Acks, count: u8) {
        (0..count).for_each(|_| _ = acks.deliver(key(acks.delivered() as u8 * 10 + 9), 100).unwrap());
    }

    fn mark(acks: &Acks, lane: &str) -> OrderKey {
        acks.standing().lanes[lane].mark
    }

    #[test]
    fn a_fast_lane_has_a_mark_of_its_own_and_no_holes() {
        let mut acks = acks(&["fast", "slow"]);
        deliver(&mut acks, 4);
        assert_eq!((acks.settle(0, 0), acks.settle(0, 2)), (Ok(true), Ok(false)));
        let standing = acks.standing();
        assert_eq!((standing.frontier, acks.frontier(), acks.delivered()), (0, 0, 4));
        assert_eq!(standing.lanes["fast"], LaneMark::at(key(9)));
        assert_eq!(standing.lanes["slow"], LaneMark::at(OrderKey::EMPTY));
        assert_eq!((acks.open(0), acks.open(1), acks.open(2)), (2, 4, 0));
        assert_eq!((acks.mark(0), acks.mark(2)), (Some(LaneMark::at(key(9))), None));
    }

    #[test]
    fn bytes_are_done_when_no_mark_can_need_their_batch_any_more() {
        let mut acks = acks(&["a", "b"]);
        deliver(&mut acks, 3);
        (0..3).for_each(|n| _ = acks.settle(0, n).unwrap());
        assert_eq!(acks.bytes_done(), 0);
        assert_eq!(acks.settle(1, 0), Ok(true));
        assert_eq!(acks.bytes_done(), 0);
        acks.settle(1, 1).unwrap();
        acks.settle(1, 2).unwrap();
        assert_eq!((acks.frontier(), acks.bytes_done(), acks.standing().bytes_done), (3, 200, 200));
        assert_eq!(mark(&acks, "b"), key(29));
    }

    #[test]
    fn whoever_has_lost_count_is_refused() {
        let mut acks = acks(&["a"]);
        deliver(&mut acks, 1);
        assert_eq!(acks.settle(0, 1), Err(Refused::Future(1)));
        assert_eq!(acks.settle(0, 0), Ok(true));
        assert_eq!(acks.settle(0, 0), Err(Refused::Twice(0)));
        assert_eq!(acks.settle(7, 0), Ok(false), "no such lane");
    }

    #[test]
    fn a_lane_that_was_ahead_keeps_its_mark_until_the_source_has_caught_up() {
        let ahead = LaneMark::at(key(25));
        let mut acks =
            Acks::new([("ahead".into(), ahead.clone()), ("new".into(), LaneMark::at(OrderKey::EMPTY))]);
        assert_eq!((acks.before(0), acks.before(2)), (Some(&ahead), None));
        deliver(&mut acks, 3);
        assert_eq!(mark(&acks, "ahead"), key(25));
        acks.settle(0, 0).unwrap();
        assert_eq!(mark(&acks, "ahead"), key(25));
        acks.settle(0, 1).unwrap();
        acks.settle(0, 2).unwrap();
        assert_eq!((mark(&acks, "ahead"), acks.reached()), (key(29), key(29)));
    }

    #[test]
    fn a_lane_that_joins_owes_nothing_of_before() {
        let mut acks = acks(&["old"]);
        deliver(&mut acks, 2);
        acks.settle(0, 0).unwrap();
        let lane = acks.join("new".into(), LaneMark::at(OrderKey::EMPTY)).unwrap();
        assert_eq!(acks.lanes().collect::<Vec<_>>(), [0, lane]);
        assert_eq!(mark(&acks, "new"), key(19), "it will get what comes after that");
        assert_eq!(acks.open(lane), 0);
        deliver(&mut acks, 1);
        assert_eq!(acks.settle(lane, 1), Err(Refused::Unknown(1)));
        acks.settle(0, 1).unwrap();
        assert_eq!(acks.frontier(), 2);
        acks.settle(lane, 2).unwrap();
        acks.settle(0, 2).unwrap();
        assert_eq!((acks.frontier(), mark(&acks, "new")), (3, key(29)));
        assert_eq!(acks.join("old".into(), LaneMark::at(key(1))), Err(Joined("old".into())));
    }

    #[test]
    fn a_lane_that_leaves_holds_nobody_back_and_may_come_back() {
        let mut acks = acks(&["stays", "goes"]);
        deliver(&mut acks, 3);
        (0..3).for_each(|n| _ = acks.settle(0, n).unwrap());
        acks.settle(1, 0).unwrap();
        assert_eq!(acks.frontier(), 1);
        let left = acks.leave(1).unwrap();
        assert_eq!(left, Left { mark: LaneMark::at(key(9)), open: 2 });
        assert_eq!((acks.frontier(), acks.bytes_done()), (3, 200));
        assert_eq!(acks.leave(1), None);
        assert_eq!(acks.settle(1, 1), Ok(false), "a late answer is nobody's business");
        assert!(!acks.standing().lanes.contains_key("goes"));
        let back = acks.join("goes".into(), left.mark).unwrap();
        assert_eq!(back, 2, "numbers are never used twice");
        deliver(&mut acks, 1);
        assert_eq!(acks.settle(back, 3), Ok(true));
        assert_eq!((acks.open(back), acks.open(0)), (0, 1));
        acks.leave(0).unwrap();
        assert_eq!((acks.frontier(), acks.lanes().next()), (4, Some(back)));
        deliver(&mut acks, 1);
        assert_eq!(acks.settle(back, 4), Ok(true));
    }

    #[test]
    fn every_strand_has_marks_of_its_own_and_all_are_answered_for_in_one_order() {
        let mut acks = acks(&["a", "b"]);
        let table = acks.strand("snapshot/public.t");
        assert_eq!((acks.strand(""), table, acks.strand("snapshot/public.t")), (0, 1, 1));
        acks.deliver_in(table, key(7), 10).unwrap();
        acks.deliver(key(3), 10).unwrap();
        acks.deliver_in(table, key(8), 10).unwrap();
        acks.settle(0, 1).unwrap();
        acks.settle(0, 0).unwrap();
        acks.settle(1, 2).unwrap();
        let standing = acks.standing();
        let of_table = &standing.strands["snapshot/public.t"];
        assert_eq!((of_table["a"].mark, of_table["b"].mark), (key(7), OrderKey::EMPTY));
        assert_eq!((standing.lanes["a"].mark, standing.lanes["b"].mark), (key(3), OrderKey::EMPTY));
        assert_eq!((acks.frontier(), acks.reached()), (0, key(3)));
        let late = acks.join("late".into(), LaneMark::at(OrderKey::EMPTY)).unwrap();
        assert_eq!(acks.standing().strands["snapshot/public.t"]["late"].mark, key(8));
        assert_eq!(acks.mark(late), Some(LaneMark::at(key(3))));
    }

    #[test]
    fn without_lanes_nothing_moves_and_nothing_is_kept_without_bound() {
        let mut acks = acks(&[]);
        deliver(&mut acks, 2);
        assert_eq!((acks.frontier(), acks.standing().lanes.len()), (0, 0));
        acks.next = OPEN_MAX;
        assert_eq!(acks.deliver(key(1), 1), Err(Refused::Full { open_max: OPEN_MAX }));
        assert_eq!(acks.spans.len(), 2);
        // What counts is how far the slowest lane is behind.
        acks.frontier = Frontier::new(1);
        assert_eq!(acks.deliver(key(1), 1), Ok(OPEN_MAX));
    }
}
