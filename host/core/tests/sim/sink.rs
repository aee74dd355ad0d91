//! One lane of pgcdc from its queue to its sink, as the host's lane works: a line of writes that start in order, several at once
//! if the sink can; after a failure nothing starts until all that was under way has come back; held batches wait for a
//! flush; a receipt is answered from the front of the line only.

use std::collections::VecDeque;
use std::rc::Rc;

use fastrand::Rng;
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::id::Id;
use pgcdc_core::order_key::OrderKey;

use crate::truth::{Anomaly, Receiver, Seen, Truth};

/// How a sink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Several writes at once; it keeps the order of a row itself.
    Concurrent(usize),
    /// Batches are gathered, and settled at a flush.
    Holding,
}

/// What the bus hands to a lane.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) number: u64,
    pub(crate) events: Rc<Vec<Seen>>,
    pub(crate) refused: Rc<Vec<(OrderKey, Id)>>,
}

struct Work {
    number: u64,
    events: Vec<Seen>,
    running: bool,
    done: bool,
    /// The sink does not answer.
    hung: bool,
}

pub(crate) struct Lane {
    pub(crate) number: u32,
    pub(crate) name: String,
    style: Style,
    pub(crate) queue: VecDeque<Delivery>,
    pub(crate) queue_max: usize,
    line: VecDeque<Work>,
    held: Vec<Work>,
    recovering: bool,
}

/// What a lane needs of the world for one step.
pub(crate) struct Around<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) truth: &'a Truth,
    pub(crate) receiver: &'a mut Receiver,
    /// What the lane must not get again.
    pub(crate) had: [&'a LaneMark; 2],
    /// Whether sinks fail.
    pub(crate) flaky: bool,
}

impl Around<'_> {
    fn apply(&mut self, events: &[Seen]) -> Result<(), Anomaly> {
        for seen in events {
            if self.receiver.rejects(seen.id) {
                self.receiver.letter(self.truth, seen.key, seen.id, &self.had)?;
            } else {
                self.receiver.apply(self.truth, seen, &self.had)?;
            }
        }
        Ok(())
    }
}

fn share_a_row(one: &Work, other: &Work) -> bool {
    one.events.iter().any(|a| a.row.is_some() && other.events.iter().any(|b| a.row == b.row))
}

impl Lane {
    pub(crate) fn new(number: u32, name: &str, style: Style, queue_max: usize) -> Lane {
        Lane {
            number,
            name: name.into(),
            style,
            queue: VecDeque::new(),
            queue_max,
            line: VecDeque::new(),
            held: Vec::new(),
            recovering: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.line.is_empty() && self.held.is_empty()
    }

    fn concurrency(&self) -> usize {
        if let Style::Concurrent(n) = self.style { n } else { 1 }
    }

    /// One step of the lane. What is settled now comes back; `None`: there was nothing to do.
    pub(crate) fn step(&mut self, around: &mut Around<'_>) -> Result<Option<Vec<u64>>, Anomaly> {
        let running = self.line.iter().filter(|work| work.running).count();
        if self.recovering && running == 0 {
            self.recovering = false;
        }
        match around.rng.u8(..8) {
            0..3 => self.take(around),
            3..5 if !self.recovering && running < self.concurrency() => Ok(self.start().then(Vec::new)),
            5 if !self.held.is_empty() && running == 0 => self.flush(around).map(Some),
            _ if running > 0 => self.answer(around),
            _ => self.take(around),
        }
    }

    fn take(&mut self, around: &mut Around<'_>) -> Result<Option<Vec<u64>>, Anomaly> {
        if self.line.len() > self.concurrency() {
            return Ok(None);
        }
        let Some(delivery) = self.queue.pop_front() else { return Ok(None) };
        for (key, id) in delivery.refused.iter() {
            around.receiver.letter(around.truth, *key, *id, &around.had)?;
        }
        let kept = delivery.events.iter().filter(|seen| !around.receiver.filters(seen.row));
        let events: Vec<Seen> = kept.cloned().collect();
        let number = delivery.number;
        if events.is_empty() {
            return Ok(Some(vec![number]));
        }
        self.line.push_back(Work { number, events, running: false, done: false, hung: false });
        Ok(Some(Vec::new()))
    }

    fn start(&mut self) -> bool {
        let next = self.line.iter_mut().find(|work| !work.running && !work.done);
        next.is_some_and(|work| {
            work.running = true;
            true
        })
    }

    /// One of the writes under way comes back.
    fn answer(&mut self, around: &mut Around<'_>) -> Result<Option<Vec<u64>>, Anomaly> {
        let running: Vec<usize> = (0..self.line.len()).filter(|at| self.line[*at].running).collect();
        let at = running[around.rng.usize(..running.len())];
        if self.line[at].hung && around.flaky && around.rng.u8(..20) != 0 {
            return Ok(None);
        }
        let before: Vec<&Work> = self.line.range(..at).filter(|work| !work.done).collect();
        let conflicts: Vec<&&Work> = before.iter().filter(|work| share_a_row(work, &self.line[at])).collect();
        if conflicts.iter().any(|work| work.running) {
            // The sink waits for the earlier one, to keep the order of the row.
            return Ok(None);
        }
        if !conflicts.is_empty() {
            // The earlier one has failed, so this one is not tried.
            self.retry(at);
            return Ok(Some(Vec::new()));
        }
        match around.rng.u8(..if around.flaky { 16 } else { 8 }) {
            // Refused for the moment, nothing is done.
            8 | 9 => self.retry(at),
            // Nothing that it gathers is done before a flush.
            10..13 if self.style == Style::Holding => self.retry(at),
            // Done, and the answer is lost.
            10 | 11 => {
                around.apply(&self.line[at].events)?;
                self.retry(at);
            }
            // Done in part: the rest is tried again.
            12 => {
                let events = &mut self.line[at].events;
                let rest = events.split_off(around.rng.usize(..events.len()));
                around.apply(&self.line[at].events)?;
                self.line[at].events = rest;
                self.retry(at);
            }
            13 => self.die(around)?,
            14 | 15 => self.line[at].hung = true,
            _ if self.style == Style::Holding => {
                if let Some(work) = self.line.remove(at) {
                    self.held.push(Work { running: false, ..work });
                }
            }
            _ => {
                around.apply(&self.line[at].events)?;
                self.line[at].running = false;
                self.line[at].done = true;
                let mut settled = Vec::new();
                while let Some(work) = self.line.pop_front_if(|work| work.done) {
                    settled.push(work.number);
                }
                return Ok(Some(settled));
            }
        }
        Ok(Some(Vec::new()))
    }

    fn retry(&mut self, at: usize) {
        self.line[at].running = false;
        self.line[at].hung = false;
        self.recovering = true;
    }

    /// The sink makes some of what it holds durable: what it leaves must not share a row with what is behind it.
    fn flush(&mut self, around: &mut Around<'_>) -> Result<Vec<u64>, Anomaly> {
        if around.flaky && around.rng.u8(..6) == 0 {
            self.die(around)?;
            return Ok(Vec::new());
        }
        let mut settled = Vec::new();
        let mut left: Vec<Work> = Vec::new();
        for work in std::mem::take(&mut self.held) {
            if around.flaky && around.rng.u8(..3) == 0 || left.iter().any(|held| share_a_row(held, &work)) {
                left.push(work);
                continue;
            }
            around.apply(&work.events)?;
            settled.push(work.number);
        }
        self.held = left;
        Ok(settled)
    }

    /// The sink's instance ends. Some of what was under way may have reached the world.
    pub(crate) fn die(&mut self, around: &mut Around<'_>) -> Result<(), Anomaly> {
        self.reach(around)?;
        for work in &mut self.line {
            (work.running, work.done, work.hung) = (false, false, false);
        }
        for work in std::mem::take(&mut self.held).into_iter().rev() {
            self.line.push_front(work);
        }
        self.recovering = true;
        Ok(())
    }

    /// What was sent may have arrived, in the order that the sink keeps.
    pub(crate) fn reach(&self, around: &mut Around<'_>) -> Result<(), Anomaly> {
        let mut missed: Vec<&Work> = Vec::new();
        for work in self.held.iter().chain(self.line.iter().filter(|work| !work.done)) {
            let sent = work.running || self.held.iter().any(|held| held.number == work.number);
            if sent && around.rng.bool() && !missed.iter().any(|earlier| share_a_row(earlier, work)) {
                around.apply(&work.events)?;
            } else {
                missed.push(work);
            }
        }
        Ok(())
    }
}
