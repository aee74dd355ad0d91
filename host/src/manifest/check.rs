//! A manifest against what its connectors say about themselves.
//!
//! Everything wrong is collected. Nothing is opened and nothing is run: descriptions are data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::check_config::ConfigCheck;
use super::check_grants;
use super::description::{Description, Kind};
use super::model::{Connector, Manifest, SecretFrom, Sink, Use};
use super::nearest::hint;
use super::problem::{Problems, Report};
use super::ready::{Checked, Ready, ReadyDlq, ReadySink, SecretSource};

/// Where the descriptions of components that do not come with pgcdc are read from. Paths are
/// relative to the working directory or absolute. The error is one line.
pub type Foreign<'a> = &'a dyn Fn(&Use, Option<&[u8; 32]>) -> Result<Description, String>;

/// Checks everything against `shipped` and `foreign` descriptions.
pub fn check(manifest: &Manifest, shipped: &[Description], foreign: Foreign<'_>) -> Result<Checked, Report> {
    let mut check = Check {
        manifest,
        shipped,
        foreign,
        problems: Problems::new(manifest.place.source.clone()),
        secrets: BTreeMap::new(),
        used: BTreeSet::new(),
    };
    check.show_names();
    let detectors = check.all(&manifest.detectors, Kind::Source, "detectors.");
    let transforms = check.all(&manifest.transforms, Kind::Transform, "");
    let sinks: Vec<_> = manifest.sinks.iter().map(|sink| check.sink(sink)).collect();
    let dlq = check.dlq();
    let checkpoint =
        manifest.checkpoint.as_ref().map(|connector| check.connector(connector, Kind::CheckpointStore, ""));
    check.unused_secrets();
    let (problems, secrets) = (check.problems, check.secrets);
    let sound = !problems.any_error();
    let report = problems.report(Some(&manifest.place.root));
    if !sound {
        return Err(report);
    }
    let complete = || {
        Some(Checked {
            detectors: detectors?,
            transforms: transforms?,
            sinks: sinks.into_iter().collect::<Option<_>>()?,
            dlq: dlq?,
            checkpoint: match checkpoint {
                Some(checkpoint) => Some(checkpoint?),
                None => None,
            },
            secrets,
            warnings: report.warnings().map(str::to_owned).collect(),
        })
    };
    complete().ok_or(report.clone())
}

struct Check<'a> {
    manifest: &'a Manifest,
    shipped: &'a [Description],
    foreign: Foreign<'a>,
    problems: Problems,
    secrets: BTreeMap<String, SecretSource>,
    used: BTreeSet<String>,
}

impl Check<'_> {
    /// Lines about components may be printed.
    fn show_names(&mut self) {
        let sinks = self.manifest.sinks.iter();
        let in_sinks = sinks.flat_map(|sink| std::iter::once(&sink.connector).chain(&sink.transforms));
        let others = self.manifest.dlq.iter().map(|dlq| &dlq.connector).chain(&self.manifest.checkpoint);
        let all =
            self.manifest.detectors.iter().chain(&self.manifest.transforms).chain(in_sinks).chain(others);
        for connector in all {
            self.problems.show(connector.uses.span);
        }
    }

    fn all(&mut self, connectors: &[Connector], kind: Kind, prefix: &str) -> Option<Vec<Ready>> {
        let ready: Vec<_> =
            connectors.iter().map(|connector| self.connector(connector, kind, prefix)).collect();
        ready.into_iter().collect()
    }

    fn sink(&mut self, sink: &Sink) -> Option<ReadySink> {
        let connector = self.connector(&sink.connector, Kind::Sink, "sinks.");
        let transforms = self.all(&sink.transforms, Kind::Transform, "");
        let routes = sink.routes.as_ref();
        Some(ReadySink {
            connector: connector?,
            routes: routes.map(|routes| routes.iter().map(|route| route.value.clone()).collect()),
            transforms: transforms?,
            policy: sink.policy,
        })
    }

    /// Nothing inside is `use: none`; nothing outside is a problem that was noted.
    fn dlq(&mut self) -> Option<Option<ReadyDlq>> {
        let Some(dlq) = &self.manifest.dlq else {
            let default = Connector::shipped("dlq", "stderr");
            let connector = self.connector(&default, Kind::Dlq, "")?;
            return Some(Some(ReadyDlq { connector, raw: false, window: None }));
        };
        if dlq.connector.uses.value == Use::Shipped("none".to_owned()) {
            if dlq.window.is_some() {
                let message = "a nack window without a dead-letter queue would lose events: leave window_size out, or name a queue";
                self.problems.error(dlq.connector.uses.span, message);
            }
            return Some(None);
        }
        let connector = self.connector(&dlq.connector, Kind::Dlq, "")?;
        Some(Some(ReadyDlq { connector, raw: dlq.raw, window: dlq.window }))
    }

    fn connector(&mut self, connector: &Connector, kind: Kind, prefix: &str) -> Option<Ready> {
        let path = format!("{prefix}{}", connector.name.value);
        let uses = located(&connector.uses.value, &self.manifest.place.folder);
        let description = self.description(connector, &uses, kind)?;
        let config = ConfigCheck {
            manifest: self.manifest,
            connector,
            path: &path,
            description: &description,
            kind,
            problems: &mut self.problems,
            secrets: &mut self.secrets,
            grants: Default::default(),
        };
        let (config, mut grants) = config.run();
        grants.extra = check_grants::lines(connector, &description, self.manifest, &mut self.problems);
        for extra in grants.extra.iter().filter(|extra| extra.interface == "crypto") {
            grants.secrets.insert(extra.what.expose().to_owned());
        }
        for name in &grants.secrets {
            self.used.insert(name.clone());
            self.resolve_secret(name);
        }
        Some(Ready {
            kind,
            name: connector.name.value.clone(),
            uses,
            sha256: connector.sha256.map(|digest| digest.value),
            description,
            config: config?,
            grants,
            limits: connector.limits,
        })
    }

    fn description(&mut self, connector: &Connector, uses: &Use, kind: Kind) -> Option<Description> {
        let at = connector.uses.span;
        let Use::Shipped(name) = uses else {
            let found = (self.foreign)(uses, connector.sha256.as_ref().map(|digest| &digest.value));
            return match found {
                Ok(description) if description.is(kind) => Some(description),
                Ok(description) => {
                    let message = format!("{} is no {}", connector.uses.value.typed(), kind.as_str());
                    self.problems.error_with(at, message, Some(kinds_of(&[&description])));
                    None
                }
                Err(error) => {
                    self.problems.error(at, format!("{}: {error}", connector.uses.value.typed()));
                    None
                }
            };
        };
        let same_name: Vec<&Description> = self.shipped.iter().filter(|known| known.name == *name).collect();
        if let Some(description) = same_name.iter().find(|known| known.is(kind)) {
            return Some((*description).clone());
        }
        if !same_name.is_empty() {
            let message = format!("`{name}` is no {}", kind.as_str());
            self.problems.error_with(at, message, Some(kinds_of(&same_name)));
            return None;
        }
        let names: Vec<&str> =
            self.shipped.iter().filter(|known| known.is(kind)).map(|known| known.name.as_str()).collect();
        let help = hint(name, names.iter().copied())
            .unwrap_or_else(|| "`pgcdc list` shows what comes with pgcdc; a file needs its path".to_owned());
        self.problems.error_with(at, format!("there is no {} `{name}`", kind.as_str()), Some(help));
        None
    }

    fn resolve_secret(&mut self, name: &str) {
        let Some(secret) = self.manifest.secrets.iter().find(|secret| secret.name.value == name) else {
            return;
        };
        let source = match &secret.from {
            SecretFrom::Env(variable) => SecretSource::Env(variable.clone()),
            SecretFrom::File(path) => SecretSource::File(self.manifest.place.folder.join(path)),
        };
        self.secrets.insert(name.to_owned(), source);
    }

    fn unused_secrets(&mut self) {
        for secret in &self.manifest.secrets {
            if !self.used.contains(&secret.name.value) && !self.problems.any_error() {
                self.problems
                    .warning(secret.name.span, format!("no config uses the secret `{}`", secret.name.value));
            }
        }
    }
}

/// What these are, for someone who asked for something else.
fn kinds_of(descriptions: &[&Description]) -> String {
    let kinds: Vec<&str> =
        descriptions.iter().flat_map(|known| &known.kinds).map(|kind| kind.as_str()).collect();
    format!("it is a {}", kinds.join(" and a "))
}

/// A component's file, relative to the manifest's folder.
fn located(uses: &Use, folder: &Path) -> Use {
    match uses {
        Use::File(path) => Use::File(folder.join(path)),
        other => other.clone(),
    }
}
