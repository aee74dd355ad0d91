//! Connectors linked into this process: what the sandbox costs is measured against them (tests/bench).
//!
//! Invariant: the program that ships installs none. With one installed everything is as it was: the component of that name
//! is started, checks its config and is opened; only `apply` and `write` are answered by the linked code, on the task
//! that asks, without a mailbox.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::instance::Blueprint;
use super::v1::calls::{Applied, Outcome};
use crate::batch::Batch;
use crate::console::Console;

/// A batch of the host's, lent for a call.
#[derive(Clone)]
pub struct Lent(pub(super) Arc<Batch>);

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a batch of {} events", self.0.events())
    }
}

impl Lent {
    /// A batch from bytes in the flat layout.
    pub fn from_rows(rows: Vec<u8>) -> Result<Lent, String> {
        Batch::from_guest(rows).map(|batch| Lent(Arc::new(batch))).map_err(|e| e.to_string())
    }

    /// The same bytes, with nothing encoded yet.
    pub fn afresh(&self) -> Result<Lent, String> {
        Ok(Lent(Arc::new(Batch::trusted(self.rows()?.into()))))
    }

    /// All of it, in the flat layout; shared.
    pub fn rows(&self) -> Result<Bytes, String> {
        self.0.rows(0, u32::MAX).map_err(|e| e.to_string())
    }

    /// A part in a named encoding; shared, and encoded once.
    pub fn encode(&self, encoding: &str, start: u32, n: u32) -> Result<Vec<Bytes>, String> {
        self.0.encode(encoding, start, n).map_err(|e| e.to_string())
    }
}

/// Linked code in the place of a component. An error ends its instance, as a trap would.
pub trait Connector: Send + Sync {
    /// A transform's batches, in the flat layout; each event names its input, and none is dropped or fails.
    fn apply(&self, batch: Lent) -> Result<Vec<Vec<u8>>, String>;

    /// What a sink prints to the standard output. With it there, the batch is durable.
    fn write(&self, batch: Lent) -> Result<Vec<Bytes>, String>;
}

static INSTALLED: OnceLock<HashMap<String, Arc<dyn Connector>>> = OnceLock::new();

/// Before anything runs, once: by what the manifest calls them: a sink by its name, a transform by its place such as `transforms.0`.
pub fn install(connectors: HashMap<String, Arc<dyn Connector>>) {
    let _ = INSTALLED.set(connectors);
}

/// What an instance asks instead of its guest.
pub(in crate::component) struct Linked {
    connector: Arc<dyn Connector>,
    console: Console,
}

impl Linked {
    pub(super) fn find(blueprint: &Blueprint) -> Option<Linked> {
        let connector = Arc::clone(INSTALLED.get()?.get(&*blueprint.name)?);
        Some(Linked { connector, console: blueprint.services.console.clone() })
    }

    pub(in crate::component) fn apply(&self, batch: Arc<Batch>) -> Result<Applied, String> {
        let made = self.connector.apply(Lent(batch))?;
        let batches = made.into_iter().map(|rows| Arc::new(Batch::trusted(rows))).collect();
        Ok(Applied { batches, dropped: Vec::new(), failed: Vec::new() })
    }

    pub(in crate::component) async fn write(&self, batch: Arc<Batch>) -> Result<Outcome, String> {
        let chunks = self.connector.write(Lent(batch))?;
        self.console.stdout.write(chunks).await.map_err(|e| format!("stdout: {e}"))?;
        Ok(Outcome::Durable)
    }
}
