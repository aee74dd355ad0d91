//! Who this instance is.

use serde_json::Value;

use crate::{Error, Result};

/// What the host says at `open`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The operator's name for this connector.
    pub name: String,
    /// The kind that it was opened as.
    pub kind: String,
    /// Which instance since the start: a new one after every trap.
    pub instance: u64,
    /// For a source: what is stored of each of its strands.
    pub resume: Vec<Resume>,
}

/// Where a strand goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The strand.
    pub strand: String,
    /// The source's own token, in base64.
    pub token: String,
}

impl Context {
    /// From the JSON of the contract; keys of later versions are passed over.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("context: not JSON: {error}")))?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let instance = value.get("instance").and_then(Value::as_u64).unwrap_or_default();
        let resume = value.get("resume").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let resume = resume.iter().filter_map(Resume::of).collect();
        Ok(Self { name: word("name"), kind: word("kind"), instance, resume })
    }
}

impl Resume {
    fn of(value: &Value) -> Option<Self> {
        let word = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self { strand: word("strand")?, token: word("token")? })
    }
}
