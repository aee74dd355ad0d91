//! Letters on their way to the sink that they are for: with its config, its secrets, its transforms and its policy.
//!
//! What a sink refused re-enters after the transforms, as it was; what a transform failed on re-enters before that
//! transform. Events keep their ids, so that a sink recognises what it has had.
//!
//! Invariant: a letter counts as delivered only when the sink has said of every event of it that it is durable.

use std::sync::Arc;

use pgcdc_core::backoff::Backoff;
use pgcdc_core::error::{Action, Kind};

use super::Record;
use crate::batch::Batch;
use crate::component::instance::{Failure, Instance};
use crate::component::v1::WireError;
use crate::component::v1::calls::{Letter, Outcome};
use crate::sink::Lane;
use crate::transform::Chain;

/// Attempts after the first, if the sink's policy says nothing: a replay comes to an end.
const RETRIES: u32 = 3;

/// Why a letter was not delivered.
#[derive(Debug)]
pub(crate) struct Refused {
    /// One line.
    pub(crate) message: String,
    /// The sink as a whole does not work: further letters would fare the same.
    pub(crate) sink_is_out: bool,
}

/// One sink, open for letters.
pub(crate) struct Desk {
    lane: Lane,
    instance: Option<Instance>,
    instances: u32,
    sequence: u64,
}

impl Desk {
    pub(crate) async fn open(lane: Lane) -> Result<Desk, Failure> {
        let mut desk = Desk { lane, instance: None, instances: 0, sequence: 0 };
        desk.living().await?;
        Ok(desk)
    }

    /// Delivers a letter, with as many attempts as the sink's policy allows.
    pub(crate) async fn deliver(&mut self, letter: &Letter, record: &Record) -> Result<(), Refused> {
        let one = |message: String| Refused { message, sink_is_out: false };
        if letter.rows.is_empty() {
            let why = match record.transform {
                Some(_) => "a transform failed on it, and what it was is not kept (see `dlq.raw`)",
                None => "the change was too large or not readable, so only its name is kept",
            };
            return Err(one(format!("{why}; copy the row anew from its source")));
        }
        let batch = Batch::from_guest(letter.rows.clone()).map_err(|e| one(e.to_string()))?;
        let mut batches = vec![Arc::new(batch)];
        if let Some(transform) = &record.transform {
            let chain = from(&self.lane.chain, transform)
                .ok_or_else(|| one(format!("there is no place `{transform}` in this manifest")))?;
            let derived = chain.apply(batches.remove(0)).await;
            if let Some(failed) = derived.failed.first() {
                let error = &failed.error;
                return Err(one(format!("{}: {}: {}", failed.by, error.code, error.message)));
            }
            batches = derived.batches;
        }
        for batch in batches {
            self.deliver_batch(batch).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        if let Some(instance) = self.instance
            && let Err(failure) = instance.close().await
        {
            tracing::warn!(sink = &*self.lane.name, error = %failure, "sink did not close cleanly");
        }
    }

    async fn deliver_batch(&mut self, batch: Arc<Batch>) -> Result<(), Refused> {
        let retries = self.lane.policy.retries.unwrap_or(RETRIES);
        let mut backoff = Backoff::new(self.lane.policy.backoff);
        for attempt in 1.. {
            let error = match self.attempt(&batch, attempt).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let message = format!("{}: {}", error.code, error.message);
            match Kind::from_code(&error.code).policy().action {
                Action::DeadLetter => return Err(Refused { message, sink_is_out: false }),
                Action::Stop => return Err(Refused { message, sink_is_out: true }),
                Action::Retry if attempt > retries => return Err(Refused { message, sink_is_out: true }),
                Action::Retry => {}
            }
            let asked = std::time::Duration::from_millis(error.retry_after_ms.unwrap_or(0));
            let wait = backoff.failed(std::time::Duration::ZERO, crate::random());
            tokio::time::sleep(wait.max(asked.min(self.lane.policy.backoff.cap * 10))).await;
        }
        Ok(())
    }

    /// One write, and the settlement if the sink holds it. The error is the first event's that failed.
    async fn attempt(&mut self, batch: &Arc<Batch>, attempt: u32) -> Result<(), WireError> {
        let sequence = self.sequence;
        self.sequence += 1;
        let instance = self.living().await.map_err(as_error)?;
        let mut outcome = instance.write(Arc::clone(batch), sequence, attempt).await;
        if matches!(outcome, Ok(Outcome::Held)) {
            outcome = match instance.flush("drain").await {
                Ok(settled) => match settled.into_iter().find(|one| one.sequence == sequence) {
                    Some(settlement) => settlement.outcome.map_err(Failure::Refused),
                    None => Err(Failure::Dead("a flush for drain left a batch held".into())),
                },
                Err(failure) => Err(failure),
            };
        }
        if matches!(outcome, Err(Failure::Dead(_)) | Ok(Outcome::Held)) {
            self.instance = None;
        }
        match outcome {
            Ok(Outcome::Durable) => Ok(()),
            Ok(Outcome::Failed(failures)) => failures.into_iter().next().map_or(Ok(()), |f| Err(f.error)),
            Ok(Outcome::Held) => Err(as_error(Failure::Dead("a settlement says that it is held".into()))),
            Err(failure) => Err(as_error(failure)),
        }
    }

    async fn living(&mut self) -> Result<&Instance, Failure> {
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let instance = Instance::start(&self.lane.blueprint).await?;
                let context = serde_json::json!({
                    "kind": "sink", "name": &*self.lane.name, "instance": self.instances
                });
                self.instances += 1;
                instance.open(self.lane.config.clone(), context.to_string()).await?;
                instance
            }
        };
        Ok(self.instance.insert(instance))
    }
}

/// An instance that ended is tried again: whether it was the event's doing is not known here.
fn as_error(failure: Failure) -> WireError {
    match failure {
        Failure::Refused(error) => error,
        Failure::Dead(reason) => WireError {
            code: "unavailable".into(),
            message: format!("the sink ended: {reason}"),
            context: Vec::new(),
            retry_after_ms: None,
        },
    }
}

/// What is left of a chain from the place `transforms.0` or `sinks.name.transforms.0` on: what stood there failed.
fn from(chain: &Chain, place: &str) -> Option<Chain> {
    let (before, index) = place.rsplit_once('.')?;
    let index: usize = index.parse().ok()?;
    if before == "transforms" {
        let common = chain.common.get(index..)?.to_vec();
        return Some(Chain { common, ..chain.clone() });
    }
    let own = chain.own.get(index..)?.to_vec();
    Some(Chain { common: Vec::new(), routes: None, own })
}
