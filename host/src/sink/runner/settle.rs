//! What an outcome sets off: receipts, dead letters, another try; and what the operator is told of it.

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::error::Kind;
use tokio::time::Instant;

use super::{ASKED_CAPS_MAX, Runner};
use crate::admin::guard::Life;
use crate::batch::Batch;
use crate::component::v1::WireError;
use crate::dlq::Refusal;
use crate::sink::gate::{Came, Said};
use crate::sink::line::{Left, Work};
use crate::sink::tries::Tries;
use crate::sink::verdict::Verdict;

/// The same failure is logged again after this long.
const SAME_AGAIN: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn done(&mut self, ticket: u64) {
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

    pub(super) fn finish(&self, work: Work) {
        self.lane.status.delivered(&work.batch);
        #[cfg(feature = "faults")]
        crate::fault::done(&self.lane.name, &work.batch);
        crate::fault::point!("ack::settle::before");
        work.receipt.settle();
        crate::fault::point!("ack::settle::after");
        drop(work.room);
    }

    /// Dead-letters what is to be, and returns what is to be tried again.
    pub(super) async fn settle(&mut self, batch: &Arc<Batch>, verdict: Verdict) -> Option<Left> {
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
            return Some(Left { batch: Arc::clone(batch), tries: verdict.tries });
        }
        // Indexes that were judged are in the batch; if it cannot be cut, all of it is tried again.
        let left = match batch.select(&verdict.again) {
            Ok(cut) => Left { batch: Arc::new(cut), tries: verdict.tries },
            Err(_) => Left { batch: Arc::clone(batch), tries: Tries::default() },
        };
        Some(left)
    }

    /// Tells the gate what came of a delivery, and the operator what follows.
    pub(super) fn came(&mut self, came: Came, error: &str) {
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
    pub(super) fn show(&self) {
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

    pub(super) fn lives(&self, life: Life) {
        self.lane.status.guard.set_life(life);
        self.lane.metrics.guard.life(&self.lane.name, life);
    }

    pub(super) fn report(&mut self, error: &WireError) {
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
}
