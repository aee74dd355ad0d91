//! The databases of the manifest whose WAL is read, for commands that look at them without starting anything.

use std::sync::Arc;

use super::Workshop;
use crate::component::grants::Grants;
use crate::manifest::ready::Ready;
use crate::postgres::Params;
use crate::wal::Options;

/// A detector that reads WAL.
pub(crate) struct WalSource {
    /// The operator's name for it.
    pub(crate) name: String,
    pub(crate) params: Arc<Params>,
    /// What it is to read; none if the component's options are not the host's.
    pub(crate) options: Option<Options>,
}

impl Workshop {
    /// Every detector of the manifest that asks for the power to read WAL.
    pub(crate) fn wal_sources(&self) -> Result<Vec<WalSource>, String> {
        let mut found = Vec::new();
        for ready in &self.plan.checked.detectors {
            if !ready.description.asks_for("wal") {
                continue;
            }
            let grants = Grants::resolve(&ready.grants, &self.secrets)?;
            for name in ready.grants.endpoints.keys() {
                if let Some(params) = grants.postgres(name) {
                    found.push(WalSource {
                        name: ready.name.clone(),
                        params: Arc::clone(params),
                        options: options(ready),
                    });
                }
            }
        }
        Ok(found)
    }
}

/// The config without its endpoints, as the shipped component hands it on.
fn options(ready: &Ready) -> Option<Options> {
    let mut config = ready.config.clone();
    let map = config.as_object_mut()?;
    ready.grants.endpoints.keys().for_each(|name| drop(map.remove(name)));
    serde_json::from_value(config).ok()
}
