//! Backpressure from settings and manifest to the parts of a pipeline, and what cannot work refused before anything opens.

use std::sync::Arc;

use super::Workshop;
use crate::manifest::ready::{Checked, Ready};
use crate::manifest::settings::Settings;
use crate::source::SourceLink;
use crate::source::pressure::{Pressure, Shared, Valve, valves};

/// Only a slot that stays has a lag that is worth anything.
fn has_slot(detector: &Ready) -> bool {
    is_wal(detector)
        && detector.config.get("persistent_slot").and_then(serde_json::Value::as_bool) == Some(true)
}

fn is_wal(detector: &Ready) -> bool {
    detector.description.name == "wal"
}

/// Refuses backpressure that no source can have. The error is one line.
pub(super) fn check(checked: &Checked, settings: &Settings) -> Result<(), String> {
    if settings.backpressure.settings()?.is_none() {
        let prioritised = checked.sinks.iter().find(|sink| sink.policy.priority.is_some());
        if let Some(sink) = prioritised {
            let sink = &sink.connector.name;
            tracing::warn!(sink, "its priority means nothing without backpressure: set backpressure.enabled");
        }
        return Ok(());
    }
    if !checked.detectors.iter().any(is_wal) {
        return Err(
            "backpressure requires the detector wal: it is a replication slot's lag that decides".into()
        );
    }
    if !checked.detectors.iter().any(has_slot) {
        return Err("backpressure requires persistent_slot: true (--persistent-slot): another slot has no lag to keep".into());
    }
    Ok(())
}

impl Workshop {
    /// The pressure of a source, if the operator wants it and the source has a slot that can lag.
    pub(super) fn pressure(&self, detector: &Ready) -> Shared {
        let wanted = &self.settings().backpressure;
        let settings = wanted.settings().ok().flatten().filter(|_| has_slot(detector))?;
        Some(Arc::new(Pressure::new(settings, wanted.poll_interval)))
    }

    /// The valves of all lanes, in their order, for one source.
    pub(super) fn valves(&self, link: &SourceLink) -> Vec<Valve> {
        valves(link, self.sinks().iter().map(|sink| sink.policy.priority))
    }
}
