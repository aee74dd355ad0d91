//! Where changes go.

use crate::{Batch, Config, Context, Error, Facts, Result};

/// An event that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its index in the batch of this delivery.
    pub index: u32,
    /// The code decides: tried again, or dead-lettered.
    pub error: Error,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every event survives a crash of this process and of the machine, as far as the other side promises so.
    Durable,
    /// These events failed, every other one is durable.
    Failed(Vec<Failure>),
    /// Taken, and neither durable nor failed yet; a settlement will say.
    Held,
}

/// What the host says of a batch beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteContext {
    /// The host's number for this delivery, never used again in an instance: a retry, or a part of a batch, has its
    /// own. Settlements name it.
    pub sequence: u64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// JSON, for what later versions have to say; may be empty.
    pub more: String,
}

/// What became of a held batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The batch's number in its `WriteContext`.
    pub sequence: u64,
    /// `Durable` or `Failed`; an error is about the batch as a whole.
    pub outcome: Result<Outcome>,
}

/// Takes batches, and says when they are safe.
///
/// Calls of `write` overlap if `facts` asks for a concurrency above 1; then the sink keeps whatever order it
/// promises. Later events of a row key whose earlier event failed are not to be tried, in overlapping calls
/// either: they fail with `Error::not_tried`. Nor are batches that the host had sent before it heard of a failure: nothing
/// is to be tried until what failed comes again, which is what comes first then. The same event may come again with the same id: after a crash, a
/// timeout, or a failed attempt.
#[allow(async_fn_in_trait, reason = "an instance has one thread")]
pub trait Sink: Sized + 'static {
    /// The options an operator has; `()` for none.
    type Config: Config;

    /// Before anything else but `check`, once.
    async fn open(config: Self::Config, context: &Context) -> Result<Self>;

    /// Looks at a config without opening anything for good: is it coherent, does the other side answer?
    async fn check(_config: Self::Config) -> Result<()> {
        Ok(())
    }

    /// A hand tool of the connector's own. Arguments and answer are JSON.
    async fn command(&self, name: &str, _arguments: &str) -> Result<String> {
        Err(Error::unsupported(format!("there is no command {name}")))
    }

    /// Last call. What is held is lost to this instance and comes again.
    async fn close(&self) -> Result<()> {
        Ok(())
    }

    /// What this connector, now open, asks of the host.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// Delivers a batch. An error is about the batch as a whole: none of it is known to be durable.
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome>;

    /// Settles held batches, as many as can be. `reason` is `age`, `bytes`, `drain`, `reload` or `budget`;
    /// `drain` and `reload` leave nothing held. After an error everything held is still held. No `write` is under
    /// way meanwhile.
    async fn flush(&self, _reason: &str) -> Result<Vec<Settlement>> {
        Ok(Vec::new())
    }
}

impl Outcome {
    /// `Failed`, or `Durable` if nothing did.
    pub fn of(failures: Vec<Failure>) -> Self {
        if failures.is_empty() { Self::Durable } else { Self::Failed(failures) }
    }
}
