//! The section `backpressure`: read, merged, checked, printed. What it means is `pgcdc_core::pressure`.

use std::time::Duration;

use pgcdc_core::pressure;
use serde::{Deserialize, Serialize};

use super::fields::{self, Fields};
use super::problem::Problems;
use super::quantity::{show_bytes, show_duration};
use super::settings;
use super::tree::{Node, Value};

/// What a slot's lag does to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Backpressure {
    /// Off unless said.
    pub enabled: bool,
    /// From this lag on the source is slowed down; bytes.
    #[serde(deserialize_with = "settings::positive_bytes")]
    pub warn_threshold: u64,
    /// From this lag on it is paused; bytes.
    #[serde(deserialize_with = "settings::positive_bytes")]
    pub critical_threshold: u64,
    /// The longest wait before a portion is read.
    #[serde(deserialize_with = "settings::positive_duration")]
    pub max_throttle: Duration,
    /// How often the lag is asked for.
    #[serde(deserialize_with = "settings::positive_duration")]
    pub poll_interval: Duration,
}

impl Default for Backpressure {
    fn default() -> Self {
        Backpressure {
            enabled: false,
            warn_threshold: 524_288_000,
            critical_threshold: 2_147_483_648,
            max_throttle: Duration::from_millis(500),
            poll_interval: Duration::from_secs(10),
        }
    }
}

/// The section, as one layer sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackpressureOverrides {
    /// On or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_threshold: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_threshold: Option<u64>,
    /// The longest wait.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "settings::as_duration")]
    pub max_throttle: Option<Duration>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "settings::as_duration")]
    pub poll_interval: Option<Duration>,
}

impl From<Backpressure> for BackpressureOverrides {
    fn from(all: Backpressure) -> Self {
        BackpressureOverrides {
            enabled: Some(all.enabled),
            warn_threshold: Some(all.warn_threshold),
            critical_threshold: Some(all.critical_threshold),
            max_throttle: Some(all.max_throttle),
            poll_interval: Some(all.poll_interval),
        }
    }
}

impl Backpressure {
    /// The bounds for whoever decides; none while it is off. The error is one line.
    pub fn settings(&self) -> Result<Option<pressure::Settings>, String> {
        if !self.enabled {
            return Ok(None);
        }
        pressure::Settings::new(
            self.warn_threshold,
            self.critical_threshold,
            self.max_throttle,
            self.poll_interval,
        )
        .map(Some)
        .map_err(|error| error.to_string())
    }
}

/// What is wanted of a setting that does not fit; `None` for another section's.
pub(super) fn wanted(path: &str) -> Option<&'static str> {
    Some(match path {
        "backpressure.enabled" => "true or false",
        "backpressure.warn_threshold" | "backpressure.critical_threshold" => {
            "a size such as 500MB, 1 byte or more"
        }
        "backpressure.max_throttle" | "backpressure.poll_interval" => "a duration such as 10s, more than 0",
        _ => return None,
    })
}

/// Reads the section.
pub(super) fn read(node: &Node, what: &str, problems: &mut Problems) -> Option<BackpressureOverrides> {
    let known = ["enabled", "warn_threshold", "critical_threshold", "max_throttle", "poll_interval"];
    let fields = Fields::new(node, what, &known, problems)?;
    Some(BackpressureOverrides {
        enabled: fields.read("enabled", problems, fields::truth),
        warn_threshold: fields.read("warn_threshold", problems, fields::size),
        critical_threshold: fields.read("critical_threshold", problems, fields::size),
        max_throttle: fields.read("max_throttle", problems, fields::duration),
        poll_interval: fields.read("poll_interval", problems, fields::duration),
    })
}

/// The section as it is written; empty if nothing is set.
pub(super) fn print(settings: &BackpressureOverrides) -> Node {
    let mut node = Node::nowhere(Value::Map(Vec::new()));
    let mut set = |key: &str, value: Option<Node>| {
        if let Some(value) = value {
            node.set(key, value);
        }
    };
    set("enabled", settings.enabled.map(|enabled| Node::nowhere(Value::Bool(enabled))));
    set("warn_threshold", settings.warn_threshold.map(|bytes| Node::text(&show_bytes(bytes))));
    set("critical_threshold", settings.critical_threshold.map(|bytes| Node::text(&show_bytes(bytes))));
    set("max_throttle", settings.max_throttle.map(|wait| Node::text(&show_duration(wait))));
    set("poll_interval", settings.poll_interval.map(|wait| Node::text(&show_duration(wait))));
    node
}
