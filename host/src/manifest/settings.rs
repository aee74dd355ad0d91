//! The host's scalar settings: defaults, then the file, then `PGCDC_*`, then flags; the later wins.
//!
//! figment merges them. What the file holds was checked before, with its place; a bad variable is
//! reported by its name, never with its content.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Deserializer, Serialize};

use super::backpressure::{self, Backpressure, BackpressureOverrides};
use super::interpolate::Lookup;
use super::quantity;

/// Every scalar setting, final.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is logged, and how.
    pub log: Log,
    /// The queue between sources and sinks.
    pub bus: Bus,
    /// Where metrics and health are served; nowhere if absent.
    pub metrics_addr: Option<SocketAddr>,
    /// For draining everything after a signal.
    #[serde(deserialize_with = "positive_duration")]
    pub shutdown_timeout: Duration,
    /// Where pgcdc keeps what must survive; the platform's state directory if absent.
    pub state_dir: Option<PathBuf>,
    /// Start without asking connectors whether the other side answers.
    pub skip_validation: bool,
    /// Wait for another pgcdc to leave the state directory, instead of ending.
    pub standby: bool,
    /// What a slot's lag does to its source.
    pub backpressure: Backpressure,
    /// Start without making or changing tables.
    pub skip_migrations: bool,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// The least level that is logged.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
}

/// The queue between sources and sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Bus {
    /// What happens when a lane is full; by the kind of source if absent.
    pub mode: Option<BusMode>,
    /// Events that one lane may hold, 1 or more.
    #[serde(deserialize_with = "positive_count")]
    pub buffer_events: u32,
    /// Bytes that all lanes may hold together, 1 or more.
    #[serde(deserialize_with = "positive_bytes")]
    pub buffer_bytes: u64,
    /// Bytes that one lane may put on the disk when it is full; 0 = none.
    #[serde(deserialize_with = "bytes")]
    pub overflow_bytes: u64,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$case_doc])* #[serde(rename = $word)] $case),+ }

        impl $name {
            /// Every spelling.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$case => $word),+ }
            }

            /// From its spelling.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$case),)+ _ => None }
            }
        }
    };
}

words!(
    /// The least level that is logged.
    LogLevel {
        /// Everything.
        Trace = "trace",
        /// For finding faults.
        Debug = "debug",
        /// What an operator follows.
        Info = "info",
        /// Odd, and pgcdc goes on.
        Warn = "warn",
        /// Something stopped.
        Error = "error",
    }
);

words!(
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One object a line.
        Json = "json",
    }
);

words!(
    /// What a full lane does.
    BusMode {
        /// Drops, and counts the loss.
        Fast = "fast",
        /// Holds the source back.
        Reliable = "reliable",
    }
);

impl Default for Settings {
    fn default() -> Self {
        Settings {
            log: Log { level: LogLevel::Info, format: LogFormat::Text },
            bus: Bus { mode: None, buffer_events: 1024, buffer_bytes: 32 << 20, overflow_bytes: 1 << 30 },
            metrics_addr: None,
            shutdown_timeout: Duration::from_secs(5),
            state_dir: None,
            skip_validation: false,
            standby: false,
            backpressure: Backpressure::default(),
            skip_migrations: false,
        }
    }
}

/// The settings that one layer (a file, the flags) sets; absent ones leave the layer below alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overrides {
    /// Logging.
    pub log: LogOverrides,
    /// The bus.
    pub bus: BusOverrides,
    /// Where metrics and health are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_addr: Option<SocketAddr>,
    /// For draining everything after a signal.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_duration")]
    pub shutdown_timeout: Option<Duration>,
    /// Where pgcdc keeps what must survive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Start without asking connectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_validation: Option<bool>,
    /// Wait for another pgcdc to leave the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<bool>,
    /// What a slot's lag does.
    pub backpressure: BackpressureOverrides,
    /// Start without making or changing tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_migrations: Option<bool>,
}

/// Logging, as one layer sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogOverrides {
    /// The least level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// The look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// The bus, as one layer sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BusOverrides {
    /// What a full lane does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<BusMode>,
    /// Events a lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_events: Option<u32>,
    /// Bytes in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_bytes: Option<u64>,
    /// Bytes on the disk, a lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_bytes: Option<u64>,
}

/// Every setting that the environment can give: variable and path.
pub const VARIABLES: &[(&str, &str)] = &[
    ("PGCDC_LOG_LEVEL", "log.level"),
    ("PGCDC_LOG_FORMAT", "log.format"),
    ("PGCDC_BUS_MODE", "bus.mode"),
    ("PGCDC_BUS_BUFFER_EVENTS", "bus.buffer_events"),
    ("PGCDC_BUS_BUFFER_BYTES", "bus.buffer_bytes"),
    ("PGCDC_BUS_OVERFLOW_BYTES", "bus.overflow_bytes"),
    ("PGCDC_METRICS_ADDR", "metrics_addr"),
    ("PGCDC_SHUTDOWN_TIMEOUT", "shutdown_timeout"),
    ("PGCDC_STATE_DIR", "state_dir"),
    ("PGCDC_SKIP_VALIDATION", "skip_validation"),
    ("PGCDC_STANDBY", "standby"),
    ("PGCDC_BACKPRESSURE", "backpressure.enabled"),
    ("PGCDC_BP_WARN_THRESHOLD", "backpressure.warn_threshold"),
    ("PGCDC_BP_CRITICAL_THRESHOLD", "backpressure.critical_threshold"),
    ("PGCDC_BP_MAX_THROTTLE", "backpressure.max_throttle"),
    ("PGCDC_BP_POLL_INTERVAL", "backpressure.poll_interval"),
    ("PGCDC_SKIP_MIGRATIONS", "skip_migrations"),
];

impl Settings {
    /// Merges the layers. The error is one line that names the bad variable or setting.
    pub fn merge(file: &Overrides, lookup: Lookup<'_>, flags: &Overrides) -> Result<Settings, String> {
        let variables = Variables::read(lookup)?;
        let merged = Figment::from(Defaults)
            .merge(Serialized::defaults(file))
            .merge(&variables)
            .merge(Serialized::defaults(flags));
        let settings: Settings = merged.extract().map_err(|error| describe(&error, &variables))?;
        settings.backpressure.settings()?;
        Ok(settings)
    }

    /// The state directory: as set, else systemd's, else the user's.
    pub fn state_dir_or_default(&self, lookup: Lookup<'_>) -> Result<PathBuf, String> {
        if let Some(dir) = &self.state_dir {
            return Ok(dir.clone());
        }
        let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("STATE_DIRECTORY")
            .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join("pgcdc")))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state/pgcdc")))
            .ok_or_else(|| "no place for pgcdc's state: set --state-dir, XDG_STATE_HOME or HOME".to_owned())
    }
}

/// What is wrong, without the content of a variable.
fn describe(error: &figment::Error, variables: &Variables) -> String {
    let path = error.path.join(".");
    let variable = VARIABLES.iter().find(|(name, key)| *key == path && variables.is_set(name));
    let want = match path.as_str() {
        "log.level" => LogLevel::WORDS.join(", "),
        "log.format" => LogFormat::WORDS.join(", "),
        "bus.mode" => BusMode::WORDS.join(", "),
        "bus.buffer_events" => "a whole number of events, 1 or more".to_owned(),
        "bus.buffer_bytes" => "a size such as 32MiB, 1 byte or more".to_owned(),
        "bus.overflow_bytes" => "a size such as 1GiB, or 0 for none".to_owned(),
        "metrics_addr" => "an address and port such as 127.0.0.1:9090".to_owned(),
        "shutdown_timeout" => "a duration such as 5s, more than 0".to_owned(),
        "skip_validation" | "skip_migrations" | "standby" => "true or false".to_owned(),
        path if backpressure::wanted(path).is_some() => {
            backpressure::wanted(path).unwrap_or_default().to_owned()
        }
        _ => "another value".to_owned(),
    };
    match variable {
        Some((name, _)) => format!("the environment variable {name} does not fit; wanted: {want}"),
        None => format!("{path} does not fit; wanted: {want}"),
    }
}

/// [`Settings::default`], as a layer.
struct Defaults;

impl Provider for Defaults {
    fn metadata(&self) -> Metadata {
        Metadata::named("defaults")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let settings = Settings::default();
        let layer = Overrides {
            log: LogOverrides { level: Some(settings.log.level), format: Some(settings.log.format) },
            bus: BusOverrides {
                mode: settings.bus.mode,
                buffer_events: Some(settings.bus.buffer_events),
                buffer_bytes: Some(settings.bus.buffer_bytes),
                overflow_bytes: Some(settings.bus.overflow_bytes),
            },
            metrics_addr: settings.metrics_addr,
            shutdown_timeout: Some(settings.shutdown_timeout),
            state_dir: settings.state_dir,
            skip_validation: Some(settings.skip_validation),
            standby: Some(settings.standby),
            backpressure: settings.backpressure.into(),
            skip_migrations: Some(settings.skip_migrations),
        };
        Serialized::defaults(layer).data()
    }
}

/// The environment, as a layer; only [`VARIABLES`] are looked at.
struct Variables {
    set: Vec<(&'static str, &'static str, String)>,
}

impl Variables {
    fn read(lookup: Lookup<'_>) -> Result<Self, String> {
        let mut set = Vec::new();
        for (name, key) in VARIABLES {
            if let Some(value) = lookup(name) {
                let value = value
                    .into_string()
                    .map_err(|_| format!("the environment variable {name} is not valid UTF-8"))?;
                set.push((*name, *key, value));
            }
        }
        Ok(Variables { set })
    }

    fn is_set(&self, name: &str) -> bool {
        self.set.iter().any(|(set, _, _)| *set == name)
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (_, key, text) in &self.set {
            let value = match *key {
                "skip_validation" | "standby" | "backpressure.enabled" => {
                    text.parse::<bool>().map_or_else(|_| Value::from(text.as_str()), Value::from)
                }
                "bus.buffer_events" => {
                    text.parse::<u32>().map_or_else(|_| Value::from(text.as_str()), Value::from)
                }
                _ => Value::from(text.as_str()),
            };
            match key.split_once('.') {
                None => drop(dict.insert((*key).to_owned(), value)),
                Some((section, key)) => {
                    let section = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
                    if let Value::Dict(_, section) = section {
                        section.insert(key.to_owned(), value);
                    }
                }
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

pub(super) fn as_duration<S: serde::Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&quantity::show_duration(value.unwrap_or_default()))
}

pub(super) fn positive_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    quantity::duration(&text)
        .filter(|value| !value.is_zero())
        .ok_or_else(|| serde::de::Error::custom("not a duration of more than 0"))
}

fn positive_count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = u32::deserialize(from)?;
    (count > 0).then_some(count).ok_or_else(|| serde::de::Error::custom("must be 1 or more"))
}

pub(super) fn positive_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let size = bytes(from)?;
    (size > 0).then_some(size).ok_or_else(|| serde::de::Error::custom("not a size of 1 byte or more"))
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    let size = match Size::deserialize(from)? {
        Size::Bytes(bytes) => Some(bytes),
        Size::Text(text) => quantity::bytes(&text),
    };
    size.ok_or_else(|| serde::de::Error::custom("not a size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn the_later_layer_wins() {
        let file = Overrides {
            shutdown_timeout: Some(Duration::from_secs(9)),
            log: LogOverrides { level: Some(LogLevel::Debug), format: None },
            ..Overrides::default()
        };
        let flags = Overrides {
            log: LogOverrides { level: Some(LogLevel::Error), format: None },
            ..Overrides::default()
        };
        let env = |name: &str| -> Option<OsString> {
            match name {
                "PGCDC_LOG_LEVEL" => Some("warn".into()),
                "PGCDC_LOG_FORMAT" => Some("json".into()),
                "PGCDC_BUS_BUFFER_BYTES" => Some("64MiB".into()),
                "PGCDC_BUS_BUFFER_EVENTS" => Some("7".into()),
                "PGCDC_BUS_OVERFLOW_BYTES" => Some("0".into()),
                "PGCDC_BUS_MODE" => Some("fast".into()),
                "PGCDC_SKIP_VALIDATION" => Some("true".into()),
                "PGCDC_METRICS_ADDR" => Some("127.0.0.1:9187".into()),
                _ => None,
            }
        };
        let settings = Settings::merge(&file, &env, &flags).unwrap();
        assert_eq!(settings.log, Log { level: LogLevel::Error, format: LogFormat::Json });
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(9));
        let bus =
            Bus { mode: Some(BusMode::Fast), buffer_events: 7, buffer_bytes: 64 << 20, overflow_bytes: 0 };
        assert_eq!(settings.bus, bus);
        assert!(settings.skip_validation);
        assert_eq!(settings.metrics_addr, Some("127.0.0.1:9187".parse().unwrap()));
    }

    #[test]
    fn nothing_set_is_the_defaults() {
        let none = Overrides::default();
        assert_eq!(Settings::merge(&none, &|_| None, &none), Ok(Settings::default()));
    }

    #[test]
    fn a_bad_variable_is_named_and_not_quoted() {
        for (name, _) in VARIABLES.iter().filter(|(_, key)| *key != "state_dir") {
            let env = |asked: &str| (asked == *name).then(|| OsString::from("canary"));
            let none = Overrides::default();
            let error = Settings::merge(&none, &env, &none).unwrap_err();
            assert!(error.contains(name) && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn the_state_directory_has_a_default() {
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/me"));
        let settings = Settings::default();
        assert_eq!(settings.state_dir_or_default(&home), Ok("/home/me/.local/state/pgcdc".into()));
        assert!(settings.state_dir_or_default(&|_| None).is_err());
    }
}
