//! A write to the sink, within the policy's time, and what came back of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::Runner;
use crate::component::instance::Failure;
use crate::component::v1::WireError;
use crate::component::v1::calls::Outcome;
use crate::sink::verdict::judge;

/// A write that has come back.
pub(super) struct Back {
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

pub(super) type Writing = Pin<Box<dyn Future<Output = Back> + Send>>;

impl Runner {
    pub(super) fn start_write(&mut self, events_max: u32, now: Duration) {
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

    pub(super) async fn came_back(&mut self, back: Back) -> Result<(), String> {
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
        let Some(work) = self.line.running(back.ticket) else { return Ok(()) };
        let (batch, tries) = (Arc::clone(&work.batch), work.tries.clone());
        if late {
            self.gate.too_slow(batch.events());
            self.stale = true;
            self.line.recover();
        } else {
            self.gate.in_time(batch.events());
        }
        match judge(answer, batch.events(), tries, self.lane.policy.retries) {
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
                match self.settle(&batch, verdict).await {
                    None => self.done(back.ticket),
                    Some(left) => self.line.retry(back.ticket, left),
                }
            }
        }
        Ok(())
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
pub(super) fn out_of_time(limit: Duration) -> WireError {
    WireError {
        code: "timeout".into(),
        message: format!("no answer within {} ms (policy.timeout); it comes again", limit.as_millis()),
        context: Vec::new(),
        retry_after_ms: None,
    }
}
