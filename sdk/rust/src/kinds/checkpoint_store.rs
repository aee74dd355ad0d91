//! pgcdc's durable memory.

use crate::{Config, Context, Error, Result};

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// How often it was written, from 1.
    pub version: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// A value to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Its name.
    pub key: String,
    /// The version that this write replaces, 0 for an absent value; another one there is `conflict`.
    pub expected_version: u64,
    /// The value; `None` removes the key. Versions of a key are never used again.
    pub value: Option<Vec<u8>>,
}

/// Keeps values. A checkpoint is confirmed to the source right after `store` returns, so whatever that call
/// promises is what no crash may undo.
#[allow(async_fn_in_trait, reason = "an instance has one thread")]
pub trait CheckpointStore: Sized + 'static {
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

    /// Every value whose key begins with `prefix`.
    async fn load(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// All or nothing, and on the device before it returns.
    async fn store(&self, puts: Vec<Put>) -> Result<()>;
}
