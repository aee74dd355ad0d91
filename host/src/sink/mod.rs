//! A lane meets a sink: takes batches in order, transforms them, writes them, and answers for them.
//!
//! ```text
//! queue ─► chain of transforms ─► line of work ─► gate ─► write (several at once) ─► durable  ─► receipt
//!                    │                 ▲      breaker, rate           ├─► failed: retry ──┘ (nothing new meanwhile)
//!                    └─ failed ─────┐  └── halves, if a               ├─► failed: refused ─► dead letter ─► receipt
//!                                   ▼      batch kills                └─► held ─► flush ─► settlement
//!                              dead letter
//! ```
//!
//! Invariants. Work starts in the order of the queue. After a failure nothing new starts until all that was under way has
//! come back; then it goes on from the earliest. A receipt is answered when every event of its batch is durable, dropped
//! by a transform, or durably dead-lettered.

mod gate;
mod held;
mod line;
mod policy;
mod runner;
mod shed;
mod tries;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use crate::admin::metrics::Metrics;
use crate::admin::status::LaneStatus;
use crate::bus::Queue;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::dlq::Dlq;
use crate::transform::Chain;

pub(crate) use policy::Policy;
pub(crate) use runner::swap::{Change, Changes, Fresh, Mailbox, Rest, Setup, mailbox};

/// Writes that overlap at most, whatever a guest asks for.
const CONCURRENCY_MAX: usize = 32;

/// What a guest said when it was opened.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Facts {
    flush_after_ms: Option<u64>,
    flush_bytes: Option<u64>,
    concurrency: Option<usize>,
}

impl Facts {
    fn parse(json: &str) -> Result<Facts, String> {
        match json {
            "" => Ok(Facts::default()),
            json => serde_json::from_str(json)
                .map_err(|e| format!("facts of `open` are not as they should be: {e}")),
        }
    }

    fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(1).clamp(1, CONCURRENCY_MAX)
    }

    fn flush_after(&self) -> Duration {
        Duration::from_millis(self.flush_after_ms.unwrap_or(1_000))
    }
}

/// A sink and everything that its lane needs.
pub(crate) struct Lane {
    pub(crate) name: Arc<str>,
    pub(crate) blueprint: Blueprint,
    pub(crate) config: String,
    pub(crate) chain: Chain,
    pub(crate) policy: Policy,
    pub(crate) dlq: Dlq,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) status: Arc<LaneStatus>,
    /// What the operator wants changed while it runs.
    pub(crate) changes: Changes,
}

/// A sink that answered `open`.
pub(crate) struct Opened {
    lane: Lane,
    instance: Instance,
    facts: Facts,
}

impl Lane {
    /// Starts the component and opens it: what is wrong with its config shows here, before anything flows.
    pub(crate) async fn open(self) -> Result<Opened, Failure> {
        let (instance, facts) = self.start(0).await?;
        Ok(Opened { lane: self, instance, facts })
    }

    async fn start(&self, number: u32) -> Result<(Instance, Facts), Failure> {
        start(&self.blueprint, &self.config, &self.name, number).await
    }
}

/// Starts an instance and opens it.
async fn start(
    blueprint: &Blueprint,
    config: &str,
    name: &str,
    number: u32,
) -> Result<(Instance, Facts), Failure> {
    let instance = Instance::start(blueprint).await?;
    let context = serde_json::json!({ "kind": "sink", "name": name, "instance": number });
    let facts = instance.open(config.to_string(), context.to_string()).await?;
    let facts = Facts::parse(&facts).map_err(|e| Failure::Dead(e.into()))?;
    Ok((instance, facts))
}

impl Opened {
    /// Runs until the queue is closed and worked off, or until the sink stops for good. The error is for the operator.
    pub(crate) async fn run(self, queue: Queue) -> Result<(), String> {
        runner::Runner::new(self).run(queue).await
    }
}
