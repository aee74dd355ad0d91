//! The whole manifest as types, as the operator wrote it: nothing is merged, no default is filled in.
//!
//! Invariants: everything keeps the order of the file; names are the operator's and unique within
//! their section; a connector's `config` is still a tree, because only its own schema knows what it means
//! ([`super::check`]); `Debug` of a config shows no values.

use std::path::PathBuf;
use std::time::Duration;

use pgcdc_core::nack;
use pgcdc_core::pressure::Priority;

use super::settings::Overrides;
use super::source::{At, Source, Span};
use super::tree::{Node, Text};

/// One file, or the flags of `pgcdc listen`, as a structure.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where changes come from; one or more.
    pub detectors: Vec<Connector>,
    /// Applied in order, for every sink.
    pub transforms: Vec<Connector>,
    /// Where changes go; one or more.
    pub sinks: Vec<Sink>,
    /// Where refused changes are kept; standard error if absent.
    pub dlq: Option<Dlq>,
    /// pgcdc's durable memory; a local file under the state directory if absent.
    pub checkpoint: Option<Connector>,
    /// Named secrets and where their values are.
    pub secrets: Vec<NamedSecret>,
    /// The scalar settings that the file sets.
    pub settings: Overrides,
    /// Where all this was written.
    pub place: Place,
}

/// The file behind a manifest.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name and text; for `listen` a made-up name and no text.
    pub source: Source,
    /// The tree of the file, for showing lines with problems.
    pub root: Node,
    /// The file's folder. `use`, `secrets.*.file` and paths in configs are relative to it; empty
    /// means the working directory.
    pub folder: PathBuf,
    /// It was made of the flags of `pgcdc listen`: messages name flags.
    pub from_flags: bool,
}

/// A component, and how it is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// The operator's name; for transforms, which have none, `transforms.0` or `sinks.audit.transforms.0`.
    pub name: At<String>,
    /// Which component.
    pub uses: At<Use>,
    /// The digest that the component's bytes must have.
    pub sha256: Option<At<[u8; 32]>>,
    /// The connector's own settings, unchecked.
    pub config: Node,
    /// What it may reach beyond what its config names.
    pub grants: Vec<GrantLine>,
    /// What one instance may use.
    pub limits: Limits,
}

/// Which component a connector uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// One that comes with pgcdc, by its description's name.
    Shipped(String),
    /// A component file; as typed, relative to the manifest's folder.
    File(PathBuf),
    /// A reference into a registry; always with a digest.
    Oci(String),
}

/// `interface: [ what, … ]` under `grants`.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantLine {
    /// A `pgcdc:host` interface, such as `http`.
    pub interface: At<String>,
    /// Endpoints, paths or names, as typed; an endpoint may hold a password.
    pub what: Vec<At<Text>>,
}

/// What one instance of a component may use; the host's defaults where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory.
    pub memory_bytes: Option<u64>,
    /// On a CPU between two completions.
    pub cpu: Option<Duration>,
    /// By the clock, for one call.
    pub wall: Option<Duration>,
    /// What one call may return.
    pub output_bytes: Option<u64>,
    /// Log lines a second.
    pub log_lines_per_second: Option<u32>,
}

/// A sink's connector, what it gets, and what the host does around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// The component.
    pub connector: Connector,
    /// Channels, matched whole. `None` is every channel.
    pub routes: Option<Vec<At<String>>>,
    /// Applied after the manifest's own, for this sink only.
    pub transforms: Vec<Connector>,
    /// Retry, timeout, rate, breaker, full queue.
    pub policy: Policy,
}

/// What the host does around a sink; the host's defaults where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// Attempts after the first; 0 never retries.
    pub retries: Option<u32>,
    /// Wait before the first retry, and the longest wait.
    pub backoff: Backoff,
    /// For one attempt.
    pub timeout: Option<Duration>,
    /// Events a second, more than 0.
    pub rate_limit_per_second: Option<f64>,
    /// Events that may go at once after a pause.
    pub rate_burst_events: Option<u32>,
    /// Stops trying for a while.
    pub breaker: Option<Breaker>,
    /// What happens when the lane's queue is full.
    pub on_full: Option<OnFull>,
    /// Bytes on the disk that the lane may take when its queue is full; 0 = none.
    pub overflow_bytes: Option<u64>,
    /// Whether it is spared when a slot lags; never if absent.
    pub priority: Option<Priority>,
}

/// How retries wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first retry.
    pub base: Option<Duration>,
    /// At most.
    pub cap: Option<Duration>,
}

/// When a sink is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row, 1 or more.
    pub failures: u32,
    /// Until the next try.
    pub reset: Duration,
}

/// What a full lane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Goes to the disk, then holds its source back.
    Block,
    /// Drops events, counted as loss.
    Shed,
    /// Goes to the disk, then ends the process.
    Fail,
}

impl OnFull {
    /// Every spelling.
    pub const WORDS: &'static [&'static str] = &["block", "shed", "fail"];

    /// From its spelling.
    pub fn from_word(word: &str) -> Option<OnFull> {
        [OnFull::Block, OnFull::Shed, OnFull::Fail].into_iter().find(|choice| choice.as_str() == word)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            OnFull::Block => "block",
            OnFull::Shed => "shed",
            OnFull::Fail => "fail",
        }
    }
}

/// The dead-letter queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Dlq {
    /// The component; `none` stands for no queue at all.
    pub connector: Connector,
    /// Store what a failed transform was given, not only its id, position and key.
    pub raw: bool,
    /// When a sink is passed by; never if absent.
    pub window: Option<nack::Settings>,
}

/// One entry of `secrets`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedSecret {
    /// The name by which configs refer to it.
    pub name: At<String>,
    /// Where the value is.
    pub from: SecretFrom,
}

/// Where a secret's value is. The value itself is never in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// An environment variable.
    Env(String),
    /// A file, as typed, relative to the manifest's folder; a final line break is not part of the secret.
    File(PathBuf),
}

impl Use {
    /// As it is written after `use:`.
    pub fn typed(&self) -> String {
        match self {
            Use::Shipped(name) | Use::Oci(name) => name.clone(),
            Use::File(path) => path.display().to_string(),
        }
    }
}

impl Connector {
    /// A connector of the shipped component `uses`, with an empty config.
    pub fn shipped(name: &str, uses: &str) -> Self {
        Connector {
            name: At::nowhere(name.to_owned()),
            uses: At::nowhere(Use::Shipped(uses.to_owned())),
            sha256: None,
            config: Node::empty_map(Span::default()),
            grants: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl PartialEq for Manifest {
    /// The same settings, wherever they were written.
    fn eq(&self, other: &Self) -> bool {
        self.detectors == other.detectors
            && self.transforms == other.transforms
            && self.sinks == other.sinks
            && self.dlq == other.dlq
            && self.checkpoint == other.checkpoint
            && self.secrets == other.secrets
            && self.settings == other.settings
    }
}
