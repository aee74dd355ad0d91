//! A checked manifest: what each connector gets, what it may reach, and where the secrets are.
//!
//! Invariants: `config` holds no secret and no endpoint's address, only their names; whatever is not in
//! [`Grants`] is not granted; nothing here shows a secret in `Debug`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use super::address::Address;
use super::description::{Description, Kind};
use super::model::{Limits, Policy, Use};

/// Everything that runs.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where changes come from.
    pub detectors: Vec<Ready>,
    /// Applied in order, for every sink.
    pub transforms: Vec<Ready>,
    /// Where changes go.
    pub sinks: Vec<ReadySink>,
    /// Where refused changes are kept. `None` if the manifest says `use: none`: refused is lost.
    pub dlq: Option<ReadyDlq>,
    /// pgcdc's durable memory. `None` if the manifest names none: a file under the state directory.
    pub checkpoint: Option<Ready>,
    /// Every secret that some connector uses, by the name that configs have.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Odd, and no reason to stop; each with its place.
    pub warnings: Vec<String>,
}

/// One component, ready to be opened. `Debug` leaves out the config: plain settings may be delicate, too.
#[derive(Clone)]
pub struct Ready {
    /// What it is for.
    pub kind: Kind,
    /// The operator's name; see [`super::model::Connector::name`].
    pub name: String,
    /// Which component; a file's path is relative to the working directory or absolute.
    pub uses: Use,
    /// The digest that its bytes must have.
    pub sha256: Option<[u8; 32]>,
    /// What the component says about itself.
    pub description: Description,
    /// Its config as the guest sees it, defaults filled in.
    pub config: serde_json::Value,
    /// What it may reach.
    pub grants: Grants,
    /// What one instance may use.
    pub limits: Limits,
}

/// A sink, ready to be opened.
#[derive(Clone, Debug)]
pub struct ReadySink {
    /// The component.
    pub connector: Ready,
    /// Channels, matched whole; `None` is every channel.
    pub routes: Option<Vec<String>>,
    /// Applied after the common ones.
    pub transforms: Vec<Ready>,
    /// What the host does around it.
    pub policy: Policy,
}

/// The dead-letter queue, ready to be opened.
#[derive(Clone, Debug)]
pub struct ReadyDlq {
    /// The component.
    pub connector: Ready,
    /// Store what a failed transform was given.
    pub raw: bool,
    /// When a sink is passed by; never if absent.
    pub window: Option<pgcdc_core::nack::Settings>,
}

/// What one connector may reach. Deny is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// By the name that the guest knows: the path of the property in its config, e.g. `url` or
    /// `brokers.0`.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Secrets that its config names.
    pub secrets: BTreeSet<String>,
    /// The lines under `grants`.
    pub extra: Vec<Extra>,
}

/// The address behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http`, `postgres`, `file`, `folder`, …
    pub kind: String,
    /// Exactly what was typed, or which secret holds it.
    pub address: EndpointAddress,
}

/// Where an endpoint's address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAddress {
    /// In the manifest.
    Typed(Address),
    /// In this secret; [`Address::parse`] it once the secret is read.
    Secret(String),
}

/// One item of a line under `grants`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The `pgcdc:host` interface.
    pub interface: String,
    /// What of it; the guest names it by this very text.
    pub what: Address,
}

/// Where a secret's value is.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
    /// In the manifest or on the command line, spelled out.
    Literal(SecretString),
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("uses", &self.uses)
            .field("grants", &self.grants)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
