//! After a failure: how long to pause, another instance, and which event is at fault.
//!
//! Invariants. What an instance had when it ended comes again, suspected, one batch at a time. An event is dead-lettered only once it
//! has ended two instances, the second one alone. An instance that keeps ending with no event at fault is in quarantine, and tried on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::admin::guard::Life;
use crate::component::v1::WireError;
use crate::dlq::Refusal;
use crate::sink::gate::{Came, Said};
use crate::sink::line::Work;
use crate::sink::tries::Tries;

/// The pause after a death while the event is looked for that is at fault: 4,096 take some fifteen.
const DIVIDING_PAUSE: Duration = Duration::from_millis(10);
/// Growing pauses, one after the other, that make a quarantine.
const QUARANTINE_AFTER: u32 = 2;

impl Runner {
    pub(super) fn died(&mut self, reason: &str) {
        self.line.died();
        self.ended(reason);
        self.lane.status.failed(reason, "see the log for what the component did; its batches come again");
        tracing::warn!(sink = &*self.lane.name, reason, "sink ended and will be made anew");
    }

    /// The instance ended while it flushed: what it held is suspected.
    pub(super) fn died_flushing(&mut self, reason: &str) {
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
    pub(super) fn begin_pause(&mut self) {
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
    pub(super) async fn recover(&mut self) {
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
                tries: Tries::default(),
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
}
