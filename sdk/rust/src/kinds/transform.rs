//! What changes, drops or splits events, and has no effect outside.

use crate::{Batch, Config, Context, Error, Facts, Result};

pub use super::sink::Failure;

/// What became of a batch's events. Every one of them is accounted for: it has a row in `batches`, or is
/// dropped, or failed.
#[derive(Debug, Default)]
pub struct Applied {
    /// What goes on. Each row names the input that it comes from; of several batches the host makes one, in the
    /// order of the inputs.
    pub batches: Vec<Batch>,
    /// Inputs that end here on purpose, ascending.
    pub dropped: Vec<u32>,
    /// Inputs that could not be transformed, ascending.
    pub failures: Vec<Failure>,
}

impl Applied {
    /// Every event, as it is.
    ///
    /// # Errors
    ///
    /// The host's, which has none for an existing batch.
    pub fn unchanged(batch: &Batch) -> Result<Self> {
        let all: Vec<u32> = (0..batch.count()).collect();
        Ok(Self { batches: vec![batch.select(&all)?], ..Self::default() })
    }

    /// The events of `batch` that `keep` wants, as they are.
    ///
    /// # Errors
    ///
    /// The host's, which has none for an existing batch.
    pub fn filtered(batch: &Batch, mut keep: impl FnMut(u32) -> bool) -> Result<Self> {
        let (kept, dropped): (Vec<u32>, Vec<u32>) = (0..batch.count()).partition(|&index| keep(index));
        let batches = if kept.is_empty() { Vec::new() } else { vec![batch.select(&kept)?] };
        Ok(Self { batches, dropped, failures: Vec::new() })
    }
}

/// Makes batches out of batches.
#[allow(async_fn_in_trait, reason = "an instance has one thread")]
pub trait Transform: Sized + 'static {
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

    /// Transforms a batch. An error is about the batch as a whole, and the host then narrows it down.
    async fn apply(&self, batch: &Batch) -> Result<Applied>;
}
