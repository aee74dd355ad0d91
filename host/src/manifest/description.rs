//! What a component says about itself: the JSON that its file carries.
//!
//! It comes from the component's author, so it is checked before it is believed, and it grants nothing.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::problem::printable;
use super::schema::{Schema, Type};

/// A longer self-description is refused.
pub const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// What a connector is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Where changes come from; `detectors` in a manifest.
    Source,
    /// What changes changes.
    Transform,
    /// Where changes go.
    Sink,
    /// Where refused changes are kept.
    Dlq,
    /// pgcdc's durable memory.
    CheckpointStore,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Source, Kind::Transform, Kind::Sink, Kind::Dlq, Kind::CheckpointStore];

    /// As descriptions spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Transform => "transform",
            Kind::Sink => "sink",
            Kind::Dlq => "dlq",
            Kind::CheckpointStore => "checkpoint-store",
        }
    }
}

/// A self-description. A connector is identified by its kind and its name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Description {
    /// What manifests call it after `use:`.
    pub name: String,
    /// The component's own version.
    #[serde(default)]
    pub version: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// One or more.
    pub kinds: Vec<Kind>,
    /// The version of `wit/` that it was built against.
    pub api: String,
    /// The batch layouts that it reads.
    #[serde(default)]
    pub layouts: Vec<u32>,
    /// What it was built with.
    #[serde(default)]
    pub sdk: Option<Sdk>,
    /// Its settings.
    #[serde(default)]
    pub config: Schema,
    /// Flag names by property, for properties that have no `flag` of their own.
    #[serde(default)]
    pub flags: IndexMap<String, String>,
    /// What it asks for, and why.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// What its answers promise.
    #[serde(default)]
    pub delivery: Option<String>,
    /// More text, or where it is.
    #[serde(default)]
    pub docs: Option<String>,
    /// A piece of a manifest.
    #[serde(default)]
    pub example: Option<String>,
    /// The text that it was read from.
    #[serde(skip)]
    json: String,
}

/// What a component was built with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sdk {
    /// The SDK's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One `pgcdc:host` interface that a component asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The interface's name, such as `http`.
    pub interface: String,
    /// For the operator.
    #[serde(default)]
    pub reason: String,
}

impl Description {
    /// Reads and checks one. The error is one line without the file's name.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        if json.len() > DESCRIPTION_BYTES_MAX {
            return Err("the self-description is over 1 MiB".to_owned());
        }
        let odd = |error: String| printable(&format!("the self-description is not as it should be: {error}"));
        let mut description: Description =
            serde_json::from_slice(json).map_err(|error| odd(error.to_string()))?;
        description.sound().map_err(odd)?;
        description.json = String::from_utf8_lossy(json).into_owned();
        Ok(description)
    }

    /// The text that it was read from.
    pub fn json(&self) -> &str {
        &self.json
    }

    fn sound(&self) -> Result<(), String> {
        if !is_component_name(&self.name) {
            return Err(
                "`name` must be 1 to 63 small letters, digits, `_` and `-`, first a letter".to_owned()
            );
        }
        if self.kinds.is_empty() {
            return Err("`kinds` is empty".to_owned());
        }
        if !matches!(self.config.kind, None | Some(Type::Object)) {
            return Err("`config` must be a schema of type object".to_owned());
        }
        self.config.sound("", 0)
    }

    /// Is it of this kind?
    pub fn is(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Does it ask for this interface?
    pub fn asks_for(&self, interface: &str) -> bool {
        self.capabilities.iter().any(|capability| capability.interface == interface)
    }
}

fn is_component_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Description, String> {
        let json = format!(r#"{{"name":"x","kinds":["sink"],"api":"1.0.0-draft","config":{config}}}"#);
        Description::from_json(json.as_bytes())
    }

    #[test]
    fn properties_keep_their_order() {
        let description = read(r#"{"type":"object","properties":{"b":{},"a":{}}}"#).unwrap();
        assert_eq!(description.config.properties.keys().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let error = read(r#"{"properties":{"a":{"items":{"oneOf":[]}}}}"#).unwrap_err();
        assert!(error.ends_with("a.0: pgcdc does not check the keyword `oneOf`"), "{error}");
        assert!(read(r#"{"properties":{"a":{"secret":true,"default":"x"}}}"#).is_err());
        assert!(read(r#"{"required":["a"]}"#).is_err());
        assert!(read(r#"{"properties":{"a":{"x-ui":"wide","title":"A"}}}"#).is_ok());
        assert!(Description::from_json(b"\xff").is_err());
        assert!(Description::from_json(br#"{"name":"X Y","kinds":["sink"],"api":"1"}"#).is_err());
    }
}
