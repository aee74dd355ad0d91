//! Where refused changes are kept.

use crate::{Config, Context, Error, Result};

/// A refused change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The host's, one for each event and sink; putting it again replaces.
    pub id: String,
    /// JSON: event (the envelope), adapter, error, timestamp, position, and more.
    pub meta: String,
    /// A batch of the one event in the flat layout, for replay; may be empty.
    pub rows: Vec<u8>,
}

/// Keeps letters.
#[allow(async_fn_in_trait, reason = "an instance has one thread")]
pub trait Dlq: Sized + 'static {
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

    /// Returns when the letters are as durable as the component says it makes them.
    async fn put(&self, letters: Vec<Letter>) -> Result<()>;

    /// Letters, newest first. `filter` is JSON: sink, since, until, id, pending, limit, after, order, rows.
    async fn list(&self, _filter: &str) -> Result<Vec<Letter>> {
        Err(Error::unsupported("letters cannot be listed here"))
    }

    /// One letter.
    async fn get(&self, _id: &str) -> Result<Option<Letter>> {
        Err(Error::unsupported("letters cannot be read back here"))
    }

    /// Sets the state of letters; how many there were.
    async fn mark(&self, _ids: &[String], _state: &str) -> Result<u64> {
        Err(Error::unsupported("letters cannot be marked here"))
    }

    /// Removes letters; how many there were. `filter` as in `list`.
    async fn purge(&self, _filter: &str) -> Result<u64> {
        Err(Error::unsupported("letters cannot be purged here"))
    }
}
