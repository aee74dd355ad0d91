//! pgcdc's durable memory: a checkpoint-store component behind one door.
//!
//! Invariants. A write is durable when it returns. Every write names the version that it replaces, so that of two
//! processes with one store the second is stopped, not mixed in: a key that somebody else has written is lost to this
//! process for good. A write without an answer is neither done nor undone until the store has been looked into.

mod fate;
pub(crate) mod migrations;

use std::collections::HashMap;
use std::sync::Arc;

use fate::{Doubt, Fate};
use tokio::sync::Mutex;

use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::calls::Put;

/// Why the memory did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("checkpoint store: {message}")]
pub(crate) struct Error {
    message: String,
    /// Somebody else writes what this process takes for its own: no later attempt will do.
    pub(crate) conflict: bool,
}

impl Error {
    pub(crate) fn new(message: impl ToString) -> Error {
        Error { message: message.to_string(), conflict: false }
    }

    fn conflict(key: &str) -> Error {
        let message = format!(
            "`{key}` was written by somebody else, so nothing more is confirmed here; stop the other pgcdc, or give \
             this one a store, a slot and a state directory of its own, then start it again"
        );
        Error { message, conflict: true }
    }
}

/// The one handle on the store.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

struct Inner {
    blueprint: Blueprint,
    config: String,
    instance: Instance,
    keys: HashMap<String, Known>,
}

/// What is known of a key; the version 0 is an absent value's.
#[derive(Debug, Clone, Default)]
struct Known {
    version: u64,
    doubt: Option<Doubt>,
    lost: bool,
}

async fn open(blueprint: &Blueprint, config: &str) -> Result<Instance, Failure> {
    let instance = Instance::start(blueprint).await?;
    let context = serde_json::json!({ "kind": "checkpoint-store", "name": &*blueprint.name, "instance": 0 });
    instance.open(config.to_string(), context.to_string()).await?;
    Ok(instance)
}

impl Memory {
    pub(crate) async fn open(blueprint: Blueprint, config: String) -> Result<Memory, Error> {
        let instance = open(&blueprint, &config).await.map_err(Error::new)?;
        Ok(Memory(Arc::new(Mutex::new(Inner { blueprint, config, instance, keys: HashMap::new() }))))
    }

    /// The value; from now on a write replaces exactly this one.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut inner = self.0.lock().await;
        let found = inner.look(key).await?;
        let known = inner.keys.entry(key.to_owned()).or_default();
        known.version = version(found.as_ref());
        known.doubt = None;
        Ok(found.map(|(_, value)| value))
    }

    /// The same from a store that is opened anew: what another process has written counts, too.
    pub(crate) async fn read_anew(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut inner = self.0.lock().await;
        inner.instance = open(&inner.blueprint, &inner.config).await.map_err(Error::new)?;
        drop(inner);
        self.get(key).await
    }

    /// Durable when it returns; none removes the key.
    pub(crate) async fn set(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        self.0.lock().await.set(key, value).await
    }
}

impl Inner {
    async fn set(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        let mut known = match self.keys.get(key) {
            Some(known) if known.lost => return Err(Error::conflict(key)),
            Some(known) => known.clone(),
            None => Known { version: version(self.look(key).await?.as_ref()), ..Known::default() },
        };
        if let Some(doubt) = &known.doubt {
            match doubt.fate(self.look(key).await?.as_ref()) {
                Fate::Done(version) => known = Known { version, ..Known::default() },
                Fate::Undone => {}
                Fate::Foreign => return Err(self.lose(key)),
            }
        }
        let doubt = Doubt { expected: known.version, value: value.clone() };
        if self.replaced(key, known.version, value.clone(), &doubt).await? {
            return Ok(());
        }
        // A write that was looked for and not found may have come through since.
        let Some(earlier) = known.doubt else { return Err(self.lose(key)) };
        let Fate::Done(version) = earlier.fate(self.look(key).await?.as_ref()) else {
            return Err(self.lose(key));
        };
        let doubt = Doubt { expected: version, value: value.clone() };
        if self.replaced(key, version, value, &doubt).await? { Ok(()) } else { Err(self.lose(key)) }
    }

    /// Whether the write found the version that it names.
    async fn replaced(
        &mut self,
        key: &str,
        expected: u64,
        value: Option<Vec<u8>>,
        doubt: &Doubt,
    ) -> Result<bool, Error> {
        let removed = value.is_none();
        let put = Put { key: key.to_owned(), expected_version: expected, value };
        match self.instance.store(vec![put]).await {
            Ok(()) => {
                // A key that was absent may have had versions before: the next write looks.
                let doubt = (expected == 0 && !removed).then(|| doubt.clone());
                let version = if removed || expected == 0 { 0 } else { expected + 1 };
                self.keys.insert(key.to_owned(), Known { version, doubt, lost: false });
                Ok(true)
            }
            Err(failure) if code(&failure) == Some("conflict") => Ok(false),
            Err(failure) => {
                let refused = matches!(code(&failure), Some("too-large" | "invalid"));
                let doubt = (!refused).then(|| doubt.clone());
                self.keys.insert(key.to_owned(), Known { version: expected, doubt, lost: false });
                self.revive(&failure).await;
                Err(Error::new(failure))
            }
        }
    }

    fn lose(&mut self, key: &str) -> Error {
        self.keys.entry(key.to_owned()).or_default().lost = true;
        Error::conflict(key)
    }

    /// What is stored under exactly this key, with its version.
    async fn look(&mut self, key: &str) -> Result<Option<(u64, Vec<u8>)>, Error> {
        match self.instance.load(key.to_owned()).await {
            Ok(entries) => {
                let found = entries.into_iter().find(|entry| entry.key == key);
                Ok(found.map(|entry| (entry.version, entry.value)))
            }
            Err(failure) => {
                self.revive(&failure).await;
                Err(Error::new(failure))
            }
        }
    }

    /// Makes a new instance in the place of one that is dead or has lost its files.
    async fn revive(&mut self, failure: &Failure) {
        if matches!(code(failure), Some("too-large" | "invalid")) {
            return;
        }
        if let Ok(instance) = open(&self.blueprint, &self.config).await {
            self.instance = instance;
        }
    }
}

fn version(found: Option<&(u64, Vec<u8>)>) -> u64 {
    found.map_or(0, |(version, _)| *version)
}

fn code(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Refused(error) => Some(&error.code),
        Failure::Dead(_) => None,
    }
}
