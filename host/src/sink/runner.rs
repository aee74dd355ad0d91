//! The loop of one lane; the only `select!` of this room.
//!
//! ```text
//! intake.rs ─► line ─► write.rs ─► settle.rs ─► receipt, dead letter, or back in the line
//!                         │            ▲
//!                         ▼ held ─► flush.rs
//!                      recovery.rs: pauses, new instances, the event that is at fault
//! ```
//!
//! Invariants. Nothing here sleeps: what has to wait is a time in the loop, so that answers, and a new policy, are always heard. What
//! ran out of time is unknown: it comes again under the same ids, to another instance, once all else under way has come back.

mod flush;
mod intake;
mod recovery;
mod settle;
pub(super) mod swap;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgcdc_core::backoff::Backoff;
use tokio::time::Instant;

use super::gate::{Gate, May};
use super::held::Held;
use super::line::Line;
use super::{Facts, Lane, Opened, Policy};
use crate::admin::guard::Life;
use crate::bus::Queue;
use crate::component::instance::Instance;
use write::Writing;

/// A wait that the other side asks for is believed up to so many times the longest of our own.
const ASKED_CAPS_MAX: u32 = 10;

pub(super) struct Runner {
    lane: Lane,
    instance: Arc<Instance>,
    /// Instances so far.
    instances: u32,
    alive: bool,
    /// It still answers, and is to be made anew all the same: something in it ran out of time.
    stale: bool,
    facts: Facts,
    line: Line,
    held: Held,
    writing: FuturesUnordered<Writing>,
    sequence: u64,
    began: Instant,
    gate: Gate,
    backoff: Backoff,
    /// Between instances that end without the fault of one event.
    respawn: Backoff,
    /// Since when deliveries succeed.
    healthy_since: Option<Instant>,
    /// Since when no instance has ended and something was delivered.
    sound_since: Option<Instant>,
    /// Events found at fault for the end of instances, since the last delivery.
    condemned: u32,
    wait_at_least: Duration,
    /// The end of the pause that is under way.
    pause_until: Option<Instant>,
    /// When the gate is to be asked again.
    gate_until: Option<Instant>,
    /// Why the last instance ended.
    last_death: String,
    /// The last failure that was logged, and when.
    reported: Option<(Instant, String)>,
}

impl Runner {
    pub(super) fn new(opened: Opened) -> Runner {
        let policy = opened.lane.policy.clone();
        let settings = policy.backoff;
        let mut runner = Runner {
            lane: opened.lane,
            instance: Arc::new(opened.instance),
            instances: 1,
            alive: true,
            stale: false,
            facts: opened.facts,
            line: Line::default(),
            held: Held::default(),
            writing: FuturesUnordered::new(),
            sequence: 0,
            began: Instant::now(),
            gate: Gate::new(),
            backoff: Backoff::of_requests(settings),
            respawn: Backoff::new(settings),
            healthy_since: None,
            sound_since: None,
            condemned: 0,
            wait_at_least: Duration::ZERO,
            pause_until: None,
            gate_until: None,
            last_death: String::new(),
            reported: None,
        };
        runner.apply_policy(policy);
        runner.lives(Life::Running);
        runner
    }

    /// Another policy from now on. Nothing is forgotten: an open breaker stays open, a debt is still owed, and a pause that is under way
    /// is at most as long as the new policy allows.
    pub(super) fn apply_policy(&mut self, policy: Policy) {
        self.gate.tune(&policy, self.began.elapsed());
        self.backoff.tune(policy.backoff);
        self.respawn.tune(policy.backoff);
        let longest = Instant::now() + policy.backoff.cap * ASKED_CAPS_MAX;
        self.pause_until = self.pause_until.map(|until| until.min(longest));
        if policy.breaker.is_none() {
            self.lane.metrics.guard.no_breaker(&self.lane.name);
        }
        self.lane.policy = policy;
        self.show();
    }

    pub(super) async fn run(mut self, mut queue: Queue) -> Result<(), String> {
        let mut open = true;
        loop {
            if self.lane.changes.wants_rest() && self.writing.is_empty() {
                self.rest().await;
            }
            self.begin_pause();
            super::shed::waiting(&mut self.line, &self.lane);
            while let Some(work) = self.line.pop_done() {
                self.finish(work);
            }
            if !self.lane.changes.wants_rest() {
                self.start_writes().await;
            }
            let idle = self.line.is_empty();
            if !open && idle && self.held.is_empty() {
                break;
            }
            let room = self.line.len() <= self.facts.concurrency() && !self.lane.changes.wants_rest();
            let flush_at = self.flush_at(open || !idle);
            tokio::select! {
                biased;
                // 0. what the operator wants changed: between two batches
                Some(change) = self.lane.changes.next() => self.heed(change),
                // 1. answers, because they free what everybody else waits for
                Some(back) = self.writing.next(), if !self.writing.is_empty() => self.came_back(back).await?,
                // 2. the end of a pause
                () = until(self.pause_until), if self.pause_until.is_some() => self.recover().await,
                // 3. what a sink holds, when its time has come and nothing is being written
                () = until(flush_at), if flush_at.is_some() => {
                    self.flush(if open && !self.suspicious() { "age" } else { "drain" }).await;
                }
                // 4. the gate, which may open now
                () = until(self.gate_until), if self.gate_until.is_some() => {}
                // 5. new work
                delivery = queue.recv(), if open && room => match delivery {
                    Some(delivery) => self.take(delivery).await?,
                    None => open = false,
                },
            }
        }
        if self.alive
            && !self.stale
            && let Err(failure) = self.instance.close().await
        {
            tracing::warn!(sink = &*self.lane.name, error = %failure, "sink did not close cleanly");
        }
        Ok(())
    }

    /// When to flush: at the age or the bytes that the sink asked for; at once when nothing more comes, or when it has to be
    /// seen whether the instance survives it. Not while anything is being written, nor in a pause, nor against the breaker.
    fn flush_at(&self, more: bool) -> Option<Instant> {
        if !self.writing.is_empty() || self.pause_until.is_some() || self.line.wants_pause() {
            return None;
        }
        let due = self.held.due(self.facts.flush_after())?;
        let full = self.facts.flush_bytes.is_some_and(|max| self.held.bytes() >= max);
        let at = if full || !more || self.suspicious() { Instant::now() } else { due };
        match self.gate.may_flush(self.began.elapsed()) {
            Ok(()) => Some(at),
            Err(until) => Some(at.max(self.began + until)),
        }
    }

    /// Something is suspected of ending instances: one thing at a time.
    fn suspicious(&self) -> bool {
        self.line.suspects() || self.held.suspects()
    }

    /// Starts what may be started; what is passed by is dead-lettered instead.
    async fn start_writes(&mut self) {
        self.gate_until = None;
        while !(self.held.suspects() || self.line.suspects() && !self.held.is_empty()) {
            let Some(events) = self.line.next(self.facts.concurrency()) else { return };
            let now = self.began.elapsed();
            match self.gate.may(events, self.line.at_rest(), now) {
                May::Go { events_max } => self.start_write(events_max, now),
                May::Until(at) => {
                    self.gate_until = Some(self.began + at);
                    return;
                }
                May::AfterAnswers => return,
                May::Skip => self.pass_by().await,
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
