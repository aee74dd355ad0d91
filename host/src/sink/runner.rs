//! The loop of one lane; the only `select!` of this room.
//!
//! Invariants. Nothing here sleeps: what has to wait is a time in the loop, so that answers, and a new policy, are always heard. What
//! ran out of time is unknown: it comes again under the same ids, to another instance, once all else under way has come back.

pub(super) mod swap;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgcdc_core::backoff::Backoff;
use pgcdc_core::error::Kind;
use tokio::time::Instant;
use tracing::Instrument;

use super::gate::{Came, Gate, May, Said};
use super::held::Held;
use super::line::{Line, Work};
use super::verdict::{Verdict, judge};
use super::{Facts, Lane, Opened, Policy};
use crate::admin::guard::Life;
use crate::batch::Batch;
use crate::bus::{Delivery, Queue};
use crate::component::instance::{Failure, Instance};
use crate::component::v1::WireError;
use crate::component::v1::calls::Outcome;
use crate::dlq::{Refusal, What};

/// A write that has come back.
struct Back {
    ticket: u64,
    sequence: u64,
    took: Duration,
    answer: Answer,
}

enum Answer {
    Came(Result<Outcome, Failure>),
    /// Not within the policy's time.
    Late(Duration),
}

type Writing = Pin<Box<dyn Future<Output = Back> + Send>>;

/// The same failure is logged again after this long.
const SAME_AGAIN: Duration = Duration::from_secs(5);
/// The pause after a death while the event is looked for that is at fault: 4,096 take some fifteen.
const DIVIDING_PAUSE: Duration = Duration::from_millis(10);
/// A wait that the other side asks for is believed up to so many times the longest of our own.
const ASKED_CAPS_MAX: u32 = 10;
/// Growing pauses, one after the other, that make a quarantine.
const QUARANTINE_AFTER: u32 = 2;

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

    fn start_write(&mut self, events_max: u32, now: Duration) {
        let started = self.line.start(self.facts.concurrency(), events_max);
        let Some((ticket, batch, attempt)) = started else { return };
        let (instance, sequence, events) = (Arc::clone(&self.instance), self.sequence, batch.events());
        self.sequence += 1;
        let waited = self.gate.started(events, now);
        self.lane.metrics.guard.rate_waited(&self.lane.name, waited);
        self.show();
        let timeout = self.lane.policy.timeout;
        #[cfg(feature = "faults")]
        let (lane, splits) = (
            self.lane.name.to_string(),
            self.writing.is_empty() && crate::fault::goes_on(&self.lane.name, &batch),
        );
        let span = tracing::debug_span!("deliver", sink = &*self.lane.name, events, attempt);
        let write = async move {
            let began = Instant::now();
            #[cfg(feature = "faults")]
            crate::fault::send(&lane, splits).await;
            let answer = match timeout {
                None => Answer::Came(instance.write(batch, sequence, attempt).await),
                Some(limit) => {
                    let write = instance.write_patiently(batch, sequence, attempt);
                    tokio::time::timeout(limit, write).await.map_or(Answer::Late(limit), Answer::Came)
                }
            };
            let took = began.elapsed();
            tracing::debug!(
                took_ms = took.as_millis() as u64,
                answer = answer.as_str(),
                "delivery came back"
            );
            Back { ticket, sequence, took, answer }
        };
        self.writing.push(Box::pin(write.instrument(span)));
    }

    /// Dead-letters what would have been next: too much of what went before ended there.
    async fn pass_by(&mut self) {
        let Some(work) = self.line.skip() else { return };
        let error = WireError {
            code: "unavailable".into(),
            message: "not delivered: too many of the last deliveries ended as dead letters (dlq.window_size)"
                .into(),
            context: Vec::new(),
            retry_after_ms: None,
        };
        let events = work.batch.events();
        let refusals = (0..events).map(|index| Refusal::delivery(&work.batch, index, error.clone()));
        self.lane.metrics.guard.passed_by(&self.lane.name, u64::from(events));
        self.lane.status.dead_lettered(u64::from(events));
        self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        work.receipt.settle();
    }

    /// Transforms a batch and puts what is left of it in the line.
    async fn take(&mut self, delivery: Delivery) -> Result<(), String> {
        let Delivery { batch, receipt, room } = delivery;
        if let Some(origin) = batch.origin().filter(|origin| !origin.refused.is_empty()) {
            let refusals = origin.refused.iter().map(Refusal::named).collect();
            self.lane.dlq.put(&self.lane.name, refusals).await;
        }
        let events = batch.events();
        if events == 0 {
            receipt.settle();
            return Ok(());
        }
        let derived = self.lane.chain.apply(batch).await;
        let left: u32 = derived.batches.iter().map(|batch| batch.events()).sum();
        let failed = derived.failed.len() as u64;
        self.lane.metrics.transformed(&self.lane.name, u64::from(events.saturating_sub(left)), failed);
        self.lane.status.dead_lettered(failed);
        if !derived.failed.is_empty() {
            let refusals = derived.failed.iter().map(|failed| Refusal {
                what: What::Event { batch: Arc::clone(&failed.batch), index: failed.index },
                error: failed.error.clone(),
                transform: Some(Arc::clone(&failed.by)),
            });
            self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        }
        for batch in derived.batches {
            let work = Work {
                batch,
                receipt: receipt.split(),
                room: Arc::clone(&room),
                attempts: 0,
                deaths: 0,
                accompanied: false,
            };
            self.line.push(work);
        }
        receipt.settle();
        Ok(())
    }

    async fn came_back(&mut self, back: Back) -> Result<(), String> {
        crate::fault::point!("sink::send::after");
        self.lane.metrics.delivery_took(&self.lane.name, back.took);
        let late = matches!(back.answer, Answer::Late(_));
        let answer = match back.answer {
            Answer::Came(Ok(outcome)) => Ok(outcome),
            Answer::Came(Err(Failure::Refused(error))) => Err(error),
            Answer::Came(Err(Failure::Dead(reason))) => {
                if self.alive {
                    self.died(&reason);
                }
                return Ok(());
            }
            Answer::Late(limit) => Err(out_of_time(limit)),
        };
        let Some((batch, attempts)) = self.work_of(back.ticket) else { return Ok(()) };
        if late {
            self.gate.too_slow(batch.events());
            self.stale = true;
            self.line.recover();
        } else {
            self.gate.in_time(batch.events());
        }
        let out_of_attempts = self.lane.policy.retries.is_some_and(|retries| attempts > retries);
        match judge(answer, batch.events(), out_of_attempts) {
            Err(garbled) => self.died(&garbled.to_string()),
            Ok(None) => {
                if let Some(work) = self.line.finish(back.ticket) {
                    self.held.insert(back.sequence, work);
                }
            }
            Ok(Some(verdict)) => {
                if let Some(error) = verdict.error.as_ref().filter(|error| error.code == "end") {
                    return Err(format!("sinks.{}: {}", self.lane.name, error.message));
                }
                if verdict.untried {
                    self.line.was_no_attempt(back.ticket);
                }
                let again = self.settle(&batch, verdict).await;
                match again {
                    None => self.done(back.ticket),
                    // Out of attempts is a dead letter; what is left then was not even tried.
                    Some(left) => self.line.retry(back.ticket, left, out_of_attempts),
                }
            }
        }
        Ok(())
    }

    fn work_of(&self, ticket: u64) -> Option<(Arc<Batch>, u32)> {
        self.line.running(ticket).map(|work| (Arc::clone(&work.batch), work.attempts))
    }

    fn done(&mut self, ticket: u64) {
        self.line.done(ticket);
        while let Some(work) = self.line.pop_done() {
            self.finish(work);
        }
        self.backoff.succeeded();
    }

    /// Something was delivered: the other side is well, and so is the instance.
    fn well(&mut self) {
        self.healthy_since.get_or_insert_with(Instant::now);
        self.sound_since.get_or_insert_with(Instant::now);
        self.condemned = 0;
        if self.alive && self.lane.status.guard.life() != Life::Running {
            self.lives(Life::Running);
        }
    }

    fn finish(&self, work: Work) {
        self.lane.status.delivered(&work.batch);
        #[cfg(feature = "faults")]
        crate::fault::done(&self.lane.name, &work.batch);
        crate::fault::point!("ack::settle::before");
        work.receipt.settle();
        crate::fault::point!("ack::settle::after");
        drop(work.room);
    }

    /// Dead-letters what is to be, and returns what is to be tried again.
    async fn settle(&mut self, batch: &Arc<Batch>, verdict: Verdict) -> Option<Arc<Batch>> {
        let dead = verdict.letters.len() as u32;
        let durable = batch.events() - dead - verdict.again.len() as u32;
        self.lane.metrics.delivered(&self.lane.name, u64::from(durable));
        self.lane.status.dead_lettered(u64::from(dead));
        if durable > 0 {
            self.well();
        }
        let error = verdict.error.as_ref().or(verdict.letters.first().map(|(_, error)| error));
        let error = error.map(|error| error.message.clone()).unwrap_or_default();
        if !verdict.letters.is_empty() {
            let letters = verdict.letters.into_iter();
            let refusals = letters.map(|(index, error)| Refusal::delivery(batch, index, error));
            self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        }
        if let Some(error) = &verdict.error
            && !verdict.again.is_empty()
        {
            self.report(error);
        }
        let said = if durable > 0 || verdict.answered { Said::Works } else { Said::Fails };
        self.came(Came { durable, dead, said }, &error);
        if verdict.again.is_empty() {
            return None;
        }
        let asked = verdict.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        let cap = self.lane.policy.backoff.cap;
        let wait = if verdict.stuck { cap } else { asked.min(cap * ASKED_CAPS_MAX) };
        self.wait_at_least = self.wait_at_least.max(wait);
        self.lane.metrics.retried(&self.lane.name);
        if verdict.again.len() == batch.events() as usize {
            return Some(Arc::clone(batch));
        }
        // Indexes that were judged are in the batch; if it cannot be cut, all of it is tried again.
        Some(batch.select(&verdict.again).map_or_else(|_| Arc::clone(batch), Arc::new))
    }

    /// Tells the gate what came of a delivery, and the operator what follows.
    fn came(&mut self, came: Came, error: &str) {
        let changed = self.gate.came(came, self.began.elapsed());
        let (sink, guard) = (&*self.lane.name, &self.lane.metrics.guard);
        if let Some(breaker) = self.lane.policy.breaker.filter(|_| changed.opened) {
            let failures = self.gate.breaker().map_or(0, |breaker| breaker.failures());
            let reset_ms = breaker.reset.as_millis() as u64;
            guard.tripped(sink);
            let opened =
                format!("the circuit breaker is open, {failures} failures in a row, the last: {error}");
            self.lane
                .status
                .failed(&opened, "nothing is lost: one event is tried after policy.breaker.reset");
            tracing::warn!(sink, failures, reset_ms, error, "circuit breaker opened: the lane waits");
        }
        if changed.closed {
            tracing::info!(sink, "circuit breaker closed");
        }
        if changed.exceeded {
            tracing::error!(sink, error, "too many dead letters: what follows is dead-lettered undelivered");
        }
        if changed.resumed {
            tracing::info!(sink, "deliveries go on: a probe got through");
        }
        self.show();
    }

    /// The gate's state for metrics, health and status.
    fn show(&self) {
        let (sink, guard) = (&*self.lane.name, &self.lane.metrics.guard);
        let breaker = self.gate.breaker().map(|breaker| breaker.state());
        if let Some(state) = breaker {
            guard.breaker(sink, state);
        }
        self.lane.status.guard.set_breaker(breaker);
        let passed_by = self.gate.passes_by();
        guard.paused(sink, passed_by == Some(true));
        self.lane.status.guard.set_paused(passed_by == Some(true));
    }

    fn lives(&self, life: Life) {
        self.lane.status.guard.set_life(life);
        self.lane.metrics.guard.life(&self.lane.name, life);
    }

    fn report(&mut self, error: &WireError) {
        let next_step = Kind::from_code(&error.code).policy().next_step;
        self.healthy_since = None;
        self.lane.status.failed(&error.message, next_step);
        let same = |(at, said): &(Instant, String)| at.elapsed() < SAME_AGAIN && *said == error.message;
        if self.reported.as_ref().is_some_and(same) {
            return;
        }
        self.reported = Some((Instant::now(), error.message.clone()));
        tracing::warn!(
            sink = &*self.lane.name,
            code = error.code,
            error = error.message,
            next_step,
            "delivery failed, will be tried again"
        );
    }

    fn died(&mut self, reason: &str) {
        self.line.died();
        self.ended(reason);
        self.lane.status.failed(reason, "see the log for what the component did; its batches come again");
        tracing::warn!(sink = &*self.lane.name, reason, "sink ended and will be made anew");
    }

    /// The instance ended while it flushed: what it held is suspected.
    fn died_flushing(&mut self, reason: &str) {
        let accompanied = self.held.len() > 1;
        self.held.suspect(accompanied);
        self.died(reason);
    }

    /// There is no instance any more; what it held comes back.
    fn ended(&mut self, reason: &str) {
        (self.alive, self.stale) = (false, false);
        self.last_death = reason.to_string();
        self.writing.clear();
        for mut work in self.held.take_all().into_iter().rev() {
            work.attempts = 0;
            self.line.push_front(work);
        }
        self.line.recover();
        self.gate.probe_lost();
        self.healthy_since = None;
        self.show();
    }

    /// After a failure, once nothing is under way: how long to pause.
    fn begin_pause(&mut self) {
        if self.pause_until.is_some() || !self.line.wants_pause() {
            return;
        }
        let wait = if self.alive {
            let healthy_for = self.healthy_since.map_or(Duration::ZERO, |since| since.elapsed());
            self.backoff.failed(healthy_for, crate::random())
        } else {
            self.respawn_pause()
        };
        let wait = wait.max(std::mem::take(&mut self.wait_at_least));
        self.pause_until = Some(Instant::now() + wait);
    }

    /// Short while an event is looked for that is at fault. If there are two in a row and nothing was delivered between them, or
    /// none is to be found, it is the component that keeps ending, and the pauses grow.
    fn respawn_pause(&mut self) -> Duration {
        let sound_for = self.sound_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        if self.line.suspects() && self.condemned == 0 {
            self.lives(Life::Restarting);
            return DIVIDING_PAUSE;
        }
        let wait = self.respawn.failed(sound_for, crate::random());
        if self.respawn.attempt() < QUARANTINE_AFTER {
            self.lives(Life::Restarting);
            return wait;
        }
        self.lives(Life::Quarantined);
        let (times, wait_ms) = (self.respawn.attempt(), wait.as_millis() as u64);
        let quarantined = format!("in quarantine, it keeps ending, the last time by: {}", self.last_death);
        self.lane.status.failed(&quarantined, "replace or repair the component; what it was given is kept");
        tracing::warn!(
            sink = &*self.lane.name,
            times,
            wait_ms,
            reason = self.last_death,
            "sink is quarantined"
        );
        wait
    }

    /// The pause is over: a new instance if there is none, and the culprit's halves.
    async fn recover(&mut self) {
        self.pause_until = None;
        if self.stale {
            self.ended("an attempt in it ran out of time");
        }
        if !self.alive {
            self.divide_culprit().await;
            match self.lane.start(self.instances).await {
                Ok((instance, facts)) => {
                    (self.instance, self.facts, self.alive) = (Arc::new(instance), facts, true);
                    self.instances += 1;
                    self.lane.metrics.restarted(&self.lane.name);
                    self.lane.status.guard.restarted();
                    if self.lane.status.guard.life() == Life::Restarting {
                        self.lives(Life::Running);
                    }
                }
                Err(failure) => {
                    self.last_death = format!("it does not start: {failure}");
                    // No event is at fault for that.
                    self.condemned += 1;
                    self.lane.status.failed(&self.last_death, "see the log for what the component did");
                    tracing::warn!(sink = &*self.lane.name, error = %failure, "sink does not start");
                    return;
                }
            }
        }
        self.line.paused();
    }

    /// A batch that ends every instance is halved; a single event is dead-lettered.
    async fn divide_culprit(&mut self) {
        let Some(work) = self.line.culprit() else { return };
        let events = work.batch.events();
        let halves =
            [0..events / 2, events / 2..events].map(|range| work.batch.select(&range.collect::<Vec<u32>>()));
        if let (true, [Ok(first), Ok(second)]) = (events > 1, halves) {
            let half = |batch, receipt| Work {
                batch: Arc::new(batch),
                receipt,
                room: Arc::clone(&work.room),
                attempts: 0,
                deaths: 1,
                accompanied: false,
            };
            let parts = [half(first, work.receipt.split()), half(second, work.receipt.clone())];
            self.line.put_back(parts);
            return;
        }
        let error = WireError {
            code: "rejected".into(),
            message: format!(
                "this event ended the sink's instance twice, the last time by: {}",
                self.last_death
            ),
            context: Vec::new(),
            retry_after_ms: None,
        };
        let refusal = Refusal::delivery(&work.batch, 0, error);
        self.condemned += 1;
        self.lane.status.dead_lettered(1);
        self.lane.dlq.put(&self.lane.name, vec![refusal]).await;
        self.came(Came { durable: 0, dead: 1, said: Said::Nothing }, "");
        work.receipt.settle();
    }

    async fn flush(&mut self, reason: &'static str) {
        self.gate.flushing();
        self.show();
        let flush = self.instance.flush(reason);
        let answer = match self.lane.policy.timeout {
            None => flush.await,
            Some(limit) => match tokio::time::timeout(limit, flush).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.stale = true;
                    Err(Failure::Refused(out_of_time(limit)))
                }
            },
        };
        let settlements = match answer {
            Ok(settlements) => settlements,
            Err(Failure::Dead(reason)) => return self.died_flushing(&reason),
            Err(Failure::Refused(error)) => {
                self.report(&error);
                self.came(Came { durable: 0, dead: 0, said: Said::Fails }, &error.message);
                self.line.recover();
                return;
            }
        };
        let mut again = Vec::new();
        for settlement in settlements {
            let Some(work) = self.held.remove(settlement.sequence) else {
                self.died("a settlement names a batch that is not held");
                break;
            };
            let out_of_attempts = self.lane.policy.retries.is_some_and(|retries| work.attempts > retries);
            let batch = Arc::clone(&work.batch);
            match judge(settlement.outcome, batch.events(), out_of_attempts) {
                Ok(Some(verdict)) => match self.settle(&batch, verdict).await {
                    None => self.finish(work),
                    Some(left) => again.push(Work { batch: left, ..work }),
                },
                Ok(None) | Err(_) => {
                    again.push(work);
                    self.died("a settlement is not as it should be");
                    break;
                }
            }
        }
        if !again.is_empty() {
            self.line.recover();
            again.into_iter().rev().for_each(|work| self.line.push_front(work));
        }
        self.held.flushed();
        if reason == "drain" && !self.held.is_empty() {
            self.died("a flush for drain left batches held");
        }
    }
}

impl Answer {
    fn as_str(&self) -> &'static str {
        match self {
            Answer::Came(Ok(Outcome::Durable)) => "durable",
            Answer::Came(Ok(Outcome::Failed(_))) => "failed in part",
            Answer::Came(Ok(Outcome::Held)) => "held",
            Answer::Came(Err(Failure::Refused(_))) => "failed",
            Answer::Came(Err(Failure::Dead(_))) => "ended",
            Answer::Late(_) => "none in time",
        }
    }
}

/// Whether it was done is not known.
fn out_of_time(limit: Duration) -> WireError {
    WireError {
        code: "timeout".into(),
        message: format!("no answer within {} ms (policy.timeout); it comes again", limit.as_millis()),
        context: Vec::new(),
        retry_after_ms: None,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
