//! The line of work of one lane: what is to be written, in order, and what is under way.
//!
//! Invariants. Work starts front to back, and leaves front to back: what is done behind something that is not waits, because
//! when an instance ends all of it is written again, and an old row must not come behind a newer one. While the line recovers from a failure nothing starts until nothing is under
//! way; while anything in it is suspected of ending instances, one at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::tries::Tries;
use crate::ack::Receipt;
use crate::batch::Batch;

/// One write that is owed.
pub(super) struct Work {
    pub(super) batch: Arc<Batch>,
    pub(super) receipt: Receipt,
    /// The lane's bytes that it takes.
    pub(super) room: Arc<OwnedSemaphorePermit>,
    /// Writes so far.
    pub(super) attempts: u32,
    /// Those that failed, of each event.
    pub(super) tries: Tries,
    /// Instances that ended while they had it.
    pub(super) deaths: u32,
    /// Other work was under way at the last of those.
    pub(super) accompanied: bool,
}

/// More than two batches are under way at once only if they are small together: what overlaps is meant to be requests, and large
/// batches have enough of them.
const RUNNING_BYTES_MAX: usize = 2 << 20;

/// What is left of a batch to be tried again.
pub(super) struct Left {
    pub(super) batch: Arc<Batch>,
    pub(super) tries: Tries,
}

struct Slot {
    /// Unique in the line.
    ticket: u64,
    work: Work,
    running: bool,
    done: bool,
}

/// See the file's head.
#[derive(Default)]
pub(super) struct Line {
    slots: VecDeque<Slot>,
    next_ticket: u64,
    running: usize,
    recovering: bool,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn push(&mut self, work: Work) {
        let ticket = self.ticket();
        self.slots.push_back(Slot { ticket, work, running: false, done: false });
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// A pause is due before anything else is started.
    pub(super) fn wants_pause(&self) -> bool {
        self.recovering && self.running == 0
    }

    pub(super) fn paused(&mut self) {
        self.recovering = false;
    }

    /// Something in it has been in an instance that ended.
    pub(super) fn suspects(&self) -> bool {
        self.slots.iter().any(|slot| slot.work.deaths > 0)
    }

    /// Nothing is under way.
    pub(super) fn at_rest(&self) -> bool {
        self.running == 0
    }

    /// Takes out work that is not under way and not done, in order.
    pub(super) fn take_waiting(&mut self, unwanted: impl Fn(&Work) -> bool) -> Vec<Work> {
        let waits = |slot: &Slot| !slot.running && !slot.done && unwanted(&slot.work);
        if !self.slots.iter().any(waits) {
            return Vec::new();
        }
        let (taken, kept) = std::mem::take(&mut self.slots).into_iter().partition(waits);
        self.slots = kept;
        let taken: VecDeque<Slot> = taken;
        taken.into_iter().map(|slot| slot.work).collect()
    }

    fn next_slot(&self, concurrency: usize) -> Option<usize> {
        if self.recovering || self.running >= if self.suspects() { 1 } else { concurrency } {
            return None;
        }
        let running = self.slots.iter().filter(|slot| slot.running);
        if self.running >= 2
            && running.map(|slot| slot.work.batch.len_bytes()).sum::<usize>() >= RUNNING_BYTES_MAX
        {
            return None;
        }
        self.slots.iter().position(|slot| !slot.running && !slot.done)
    }

    /// How many events the next work has that may start.
    pub(super) fn next(&self, concurrency: usize) -> Option<u32> {
        self.next_slot(concurrency).and_then(|at| self.slots.get(at)).map(|slot| slot.work.batch.events())
    }

    /// Starts the next work, cut to so many events: its ticket, the batch, and which attempt it is. The rest stays behind it.
    pub(super) fn start(&mut self, concurrency: usize, events_max: u32) -> Option<(u64, Arc<Batch>, u32)> {
        let at = self.next_slot(concurrency)?;
        self.cut(at, events_max.max(1));
        let slot = self.slots.get_mut(at)?;
        slot.running = true;
        slot.work.attempts += 1;
        self.running += 1;
        Some((slot.ticket, Arc::clone(&slot.work.batch), slot.work.attempts))
    }

    /// What cannot be cut stays whole.
    fn cut(&mut self, at: usize, events_max: u32) {
        let ticket = self.ticket();
        let Some(slot) = self.slots.get_mut(at) else { return };
        let events = slot.work.batch.events();
        if events <= events_max {
            return;
        }
        let part = |range: std::ops::Range<u32>| slot.work.batch.select(&range.collect::<Vec<u32>>());
        let (Ok(head), Ok(tail)) = (part(0..events_max), part(events_max..events)) else { return };
        let rest = Work {
            batch: Arc::new(tail),
            receipt: slot.work.receipt.split(),
            room: Arc::clone(&slot.work.room),
            tries: slot.work.tries.select(events_max..events),
            ..slot.work
        };
        slot.work.batch = Arc::new(head);
        slot.work.tries = slot.work.tries.select(0..events_max);
        self.slots.insert(at + 1, Slot { ticket, work: rest, running: false, done: false });
    }

    /// Takes out the next work without starting it.
    pub(super) fn skip(&mut self) -> Option<Work> {
        let at = self.slots.iter().position(|slot| !slot.running && !slot.done)?;
        self.slots.remove(at).map(|slot| slot.work)
    }

    /// A pause is due once nothing is under way.
    pub(super) fn recover(&mut self) {
        self.recovering = true;
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.ticket == ticket && slot.running)
    }

    /// Takes out work that has come back.
    pub(super) fn finish(&mut self, ticket: u64) -> Option<Work> {
        let position = self.position(ticket)?;
        self.running -= 1;
        self.slots.remove(position).map(|slot| slot.work)
    }

    /// Work that has come back, and is done.
    pub(super) fn done(&mut self, ticket: u64) {
        let Some(slot) = self.position(ticket).and_then(|position| self.slots.get_mut(position)) else {
            return;
        };
        slot.running = false;
        slot.done = true;
        self.running -= 1;
    }

    /// The front of the line, if it is done.
    pub(super) fn pop_done(&mut self) -> Option<Work> {
        self.slots.front().filter(|slot| slot.done)?;
        self.slots.pop_front().map(|slot| slot.work)
    }

    /// What is left of work that has come back is to be tried again.
    pub(super) fn retry(&mut self, ticket: u64, left: Left) {
        let Some(slot) = self.position(ticket).and_then(|position| self.slots.get_mut(position)) else {
            return;
        };
        slot.running = false;
        (slot.work.batch, slot.work.tries) = (left.batch, left.tries);
        self.running -= 1;
        self.recovering = true;
    }

    /// Work that is under way.
    pub(super) fn running(&self, ticket: u64) -> Option<&Work> {
        self.position(ticket).and_then(|position| self.slots.get(position)).map(|slot| &slot.work)
    }

    /// Work that was held comes back, ahead of all else.
    pub(super) fn push_front(&mut self, work: Work) {
        let ticket = self.ticket();
        self.slots.push_front(Slot { ticket, work, running: false, done: false });
    }

    /// The instance has ended: everything under way comes back, suspected.
    pub(super) fn died(&mut self) {
        let accompanied = self.running > 1;
        for slot in self.slots.iter_mut().filter(|slot| slot.running) {
            slot.running = false;
            slot.work.deaths += 1;
            slot.work.accompanied = accompanied;
        }
        self.slots.iter_mut().for_each(|slot| slot.done = false);
        self.running = 0;
        self.recovering = true;
    }

    /// Another instance goes on with what is not through: also with what is done behind it, so that order holds.
    pub(super) fn renewed(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.done = false);
        self.recovering = false;
    }

    /// Work that has ended instances twice, the last time alone.
    pub(super) fn culprit(&mut self) -> Option<Work> {
        let proven =
            |slot: &Slot| slot.work.deaths >= 2 && !slot.work.accompanied && !slot.running && !slot.done;
        let position = self.slots.iter().position(proven)?;
        self.slots.remove(position).map(|slot| slot.work)
    }

    /// Puts the halves of the culprit, which was in front of all that is not under way, in its place.
    pub(super) fn put_back(&mut self, halves: [Work; 2]) {
        halves.into_iter().rev().for_each(|work| self.push_front(work));
    }
}
