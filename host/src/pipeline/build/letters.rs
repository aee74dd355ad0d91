//! The parts that a person's work on dead letters needs: the queue alone, and single sinks.

use std::fs::File;
use std::sync::Arc;

use super::Workshop;
use crate::dlq::{Desk, Dlq, Letters};
use crate::manifest::ready::ReadySink;
use crate::sink::mailbox;
use crate::store::Memory;
use crate::transform::Stage;

/// What sinks are opened with, one after the other.
pub(crate) struct Desks<'w> {
    workshop: &'w Workshop,
    memory: Memory,
    common: Vec<Arc<Stage>>,
    /// While it is here no pgcdc runs on the same state.
    alone: Option<File>,
}

impl Workshop {
    /// The manifest's dead-letter queue, and nothing else.
    pub(crate) async fn letters(&self) -> Result<Letters, String> {
        let Some(ready) = &self.plan.checked.dlq else {
            return Err(
                "this manifest has no dead-letter queue (`use: none`): what was refused is lost".to_owned()
            );
        };
        let named = |e: String| format!("dlq: {e}");
        let memory = match ready.connector.description.asks_for("kv") {
            true => Some(self.memory().await?),
            false => None,
        };
        let blueprint = self.blueprint(&ready.connector, memory.as_ref(), None).map_err(named)?;
        let config = ready.connector.config.to_string();
        Letters::open(&blueprint, config).await.map_err(|e| named(e.to_string()))
    }

    /// The transforms and the memory that sinks need.
    pub(crate) async fn desks(&self) -> Result<Desks<'_>, String> {
        let memory = self.memory().await?;
        let common = self.common_transforms(&memory).await?;
        Ok(Desks { workshop: self, memory, common, alone: None })
    }
}

impl Desks<'_> {
    /// Opens one sink for letters, by its name in the manifest.
    pub(crate) async fn open(&mut self, name: &str) -> Result<Desk, String> {
        let sinks = self.workshop.sinks().iter();
        let sink = sinks.clone().find(|sink| sink.connector.name == name).ok_or_else(|| {
            let names: Vec<&str> = sinks.map(|sink| sink.connector.name.as_str()).collect();
            format!("there is no sink `{name}` in this manifest; there are: {}", names.join(", "))
        })?;
        if self.alone.is_none() && keeps_local_state(sink) {
            self.alone = Some(self.workshop.lock()?);
        }
        let dlq = Dlq::none(self.workshop.metrics());
        // Nothing is changed under a person's hands.
        let (_, changes) = mailbox();
        let lane = self.workshop.lane(sink, &self.memory, &dlq, &self.common, changes).await?;
        Desk::open(lane).await.map_err(|e| format!("sinks.{name}: {e}"))
    }
}

/// A sink that must not run in two processes at once: it writes files, or remembers something.
fn keeps_local_state(sink: &ReadySink) -> bool {
    let description = &sink.connector.description;
    description.asks_for("files") || description.asks_for("kv")
}
