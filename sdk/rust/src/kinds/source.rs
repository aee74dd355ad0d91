//! Where changes come from.

use crate::{Batch, Config, Context, Error, Facts, Result};

/// Brings batches.
#[allow(async_fn_in_trait, reason = "an instance has one thread")]
pub trait Source: Sized + 'static {
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

    /// Waits for changes; one call at a time. An empty list means: nothing yet, ask again, after
    /// [`Facts::ask_again_after`]. `Error::end` ends the
    /// source for good; after any other error the host opens a new instance.
    async fn next(&self) -> Result<Vec<Batch>>;

    /// These batches are durable in every lane, and the checkpoint that says so is stored. They are numbered
    /// from 0 in the order in which `next` has returned them since this instance's `open`, and named
    /// once, in whatever order they were settled. May overlap `next`.
    async fn settled(&self, _batches: &[u64]) -> Result<()> {
        Ok(())
    }
}
