//! pgcdc's durable memory: a checkpoint-store component behind one door.
//!
//! Invariants. A write is durable when it returns. Every write names the version that it replaces, so that of two
//! processes with one store the second is stopped, not mixed in.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::calls::Put;

/// Why the memory did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("checkpoint store: {0}")]
pub(crate) struct Error(pub(crate) String);

/// The one handle on the store.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

struct Inner {
    blueprint: Blueprint,
    config: String,
    instance: Instance,
    versions: HashMap<String, u64>,
}

async fn open(blueprint: &Blueprint, config: &str) -> Result<Instance, Failure> {
    let instance = Instance::start(blueprint).await?;
    let context = serde_json::json!({ "kind": "checkpoint-store", "name": &*blueprint.name, "instance": 0 });
    instance.open(config.to_string(), context.to_string()).await?;
    Ok(instance)
}

impl Memory {
    pub(crate) async fn open(blueprint: Blueprint, config: String) -> Result<Memory, Error> {
        let instance = open(&blueprint, &config).await.map_err(|e| Error(e.to_string()))?;
        Ok(Memory(Arc::new(Mutex::new(Inner { blueprint, config, instance, versions: HashMap::new() }))))
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut inner = self.0.lock().await;
        Ok(inner.load(key).await?.into_iter().find(|(found, _)| found == key).map(|(_, value)| value))
    }

    /// The same from a store that is opened anew: what another process has written counts, too.
    pub(crate) async fn read_anew(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut inner = self.0.lock().await;
        inner.instance = open(&inner.blueprint, &inner.config).await.map_err(|e| Error(e.to_string()))?;
        Ok(inner.load(key).await?.into_iter().find(|(found, _)| found == key).map(|(_, value)| value))
    }

    /// Durable when it returns; none removes the key.
    pub(crate) async fn set(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        let mut inner = self.0.lock().await;
        if !inner.versions.contains_key(key) {
            inner.load(key).await?;
        }
        let removing = value.is_none();
        let expected = inner.versions.get(key).copied().unwrap_or(0);
        let put = Put { key: key.to_string(), expected_version: expected, value };
        match inner.instance.store(vec![put]).await {
            Ok(()) => {
                if removing {
                    inner.versions.remove(key);
                } else {
                    inner.versions.insert(key.to_string(), expected + 1);
                }
                Ok(())
            }
            Err(failure) => {
                // What is stored now is not known: look before the next write.
                inner.versions.remove(key);
                inner.revive(&failure).await;
                Err(Error(failure.to_string()))
            }
        }
    }
}

impl Inner {
    async fn load(&mut self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        match self.instance.load(prefix.to_string()).await {
            Ok(entries) => {
                for entry in &entries {
                    self.versions.insert(entry.key.clone(), entry.version);
                }
                Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
            }
            Err(failure) => {
                self.revive(&failure).await;
                Err(Error(failure.to_string()))
            }
        }
    }

    /// Makes a new instance in the place of one that is dead or has lost its files.
    async fn revive(&mut self, failure: &Failure) {
        let still_good = matches!(failure, Failure::Refused(error) if matches!(error.code.as_str(), "conflict" | "too-large" | "invalid"));
        if still_good {
            return;
        }
        if let Ok(instance) = open(&self.blueprint, &self.config).await {
            self.instance = instance;
        }
    }
}
