//! What a reload changes, and what it must not. Pure: two plans in, the difference or a refusal out.
//!
//! Transforms, routes, policies and sinks may change. Sources, the memory, the dead letters, the bus and the listener may not:
//! positions and queues hang on them.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Plan;
use crate::component::grants::Secrets;
use crate::manifest::model::Use;
use crate::manifest::ready::{EndpointAddress, Ready, ReadySink};

/// A plan with the secrets that were read for it.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) plan: &'a Plan,
    pub(super) secrets: &'a Secrets,
}

/// What is to be done to one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LaneChange {
    /// Another instance is needed.
    pub(super) sink: bool,
    /// Transforms or routes.
    pub(super) chain: bool,
    pub(super) policy: bool,
}

/// What a reload changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// One line a section, e.g. `transforms: +mask -filter`.
    pub(super) said: Vec<String>,
    /// What has changed, and has no effect before the next start.
    pub(super) later: Vec<String>,
    /// By the sink's name; those that stay as they are are not here.
    pub(super) lanes: BTreeMap<String, LaneChange>,
}

/// The difference, or a line for each thing that only a restart changes.
pub(super) fn between(old: Known<'_>, new: Known<'_>) -> Result<Difference, Vec<String>> {
    let mut found = Difference::default();
    let mut refused = settings(old.plan, new.plan);
    fixed(old, new, &mut refused, &mut found.later);
    let pair = Pair { old, new };
    let common = pair.list(&old.plan.checked.transforms, &new.plan.checked.transforms);
    found.said.extend(common.as_ref().map(|said| format!("transforms: {said}")));
    let olds = &old.plan.checked.sinks;
    for sink in &new.plan.checked.sinks {
        let name = &sink.connector.name;
        let Some(before) = olds.iter().find(|one| one.connector.name == *name) else {
            refused.push(format!("sinks.{name} is new"));
            continue;
        };
        let mut change = pair.sink(before, sink, &mut found.said, &mut refused);
        change.chain |= common.is_some();
        if change != LaneChange::default() {
            found.lanes.insert(name.clone(), change);
        }
    }
    let gone = |one: &&ReadySink| {
        new.plan.checked.sinks.iter().all(|sink| sink.connector.name != one.connector.name)
    };
    refused.extend(olds.iter().filter(gone).map(|one| format!("sinks.{} is gone", one.connector.name)));
    if refused.is_empty() { Ok(found) } else { Err(refused) }
}

fn settings(old: &Plan, new: &Plan) -> Vec<String> {
    let (old, new) = (&old.settings, &new.settings);
    let changed = [
        ("log", old.log != new.log),
        ("bus", old.bus != new.bus),
        ("metrics_addr", old.metrics_addr != new.metrics_addr),
        ("shutdown_timeout", old.shutdown_timeout != new.shutdown_timeout),
        ("state_dir", old.state_dir != new.state_dir),
    ];
    changed.iter().filter(|(_, changed)| *changed).map(|(key, _)| format!("{key} has changed")).collect()
}

/// Sources, dead letters, memory.
fn fixed(old: Known<'_>, new: Known<'_>, refused: &mut Vec<String>, later: &mut Vec<String>) {
    let all = |known: Known<'_>| -> Vec<(String, Ready)> {
        let checked = &known.plan.checked;
        let detectors = checked.detectors.iter().map(|one| (format!("detectors.{}", one.name), one.clone()));
        let dlq = checked.dlq.iter().map(|dlq| ("dlq".to_string(), dlq.connector.clone()));
        let store = checked.checkpoint.iter().map(|store| ("checkpoint".to_string(), store.clone()));
        detectors.chain(dlq).chain(store).collect()
    };
    let (olds, news) = (all(old), all(new));
    for (path, ready) in &news {
        let Some((_, before)) = olds.iter().find(|(known, _)| known == path) else {
            refused.push(format!("{path} is new"));
            continue;
        };
        let mut facets = Pair { old, new }.facets(before, ready);
        if facets.contains(&SECRET) {
            later.push(format!("{path}: {SECRET}"));
            facets.retain(|facet| *facet != SECRET);
        }
        if !facets.is_empty() {
            refused.push(format!("{path}: {} changed", facets.join(", ")));
        }
    }
    let gone = olds.iter().filter(|(path, _)| news.iter().all(|(known, _)| known != path));
    refused.extend(gone.map(|(path, _)| format!("{path} is gone")));
    let order = |known: Known<'_>| -> Vec<String> {
        known.plan.checked.detectors.iter().map(|one| one.name.clone()).collect()
    };
    if refused.is_empty() && order(old) != order(new) {
        refused.push("detectors: their order changed".into());
    }
    let raw = |known: Known<'_>| known.plan.checked.dlq.as_ref().map(|dlq| dlq.raw);
    if let (Some(old), Some(new)) = (raw(old), raw(new))
        && old != new
    {
        refused.push("dlq: raw changed".into());
    }
}

const SECRET: &str = "secret";

/// Both sides of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) old: Known<'a>,
    pub(super) new: Known<'a>,
}

impl Pair<'_> {
    /// What differs between two connectors, but for their names.
    fn facets(&self, old: &Ready, new: &Ready) -> Vec<&'static str> {
        let digest = |known: &Known<'_>, ready: &Ready| match &ready.uses {
            Use::File(path) => known.plan.digests.get(path).cloned(),
            _ => None,
        };
        let facets = [
            ("use", old.kind != new.kind || old.uses != new.uses),
            ("component file", old.uses == new.uses && digest(&self.old, old) != digest(&self.new, new)),
            ("config", old.config != new.config || old.grants.endpoints != new.grants.endpoints),
            ("grants", old.grants.extra != new.grants.extra),
            ("limits", old.limits != new.limits),
            (SECRET, self.secret_changed(old, new)),
        ];
        facets.iter().filter(|(_, changed)| *changed).map(|(facet, _)| *facet).collect()
    }

    fn secret_changed(&self, old: &Ready, new: &Ready) -> bool {
        let value = |known: &Known<'_>, name: &str| known.secrets.get(name).map(|s| s.expose().to_string());
        let both: BTreeSet<&str> = names(old).intersection(&names(new)).copied().collect();
        both.into_iter().any(|name| value(&self.old, name) != value(&self.new, name))
    }

    /// Whether what runs for the old one can go on for the new one.
    pub(super) fn same(&self, old: &Ready, new: &Ready) -> bool {
        old.name == new.name && self.facets(old, new).is_empty()
    }

    /// `+new -gone ~changed`, or that only the order is another; none if all is as it was.
    fn list(&self, old: &[Ready], new: &[Ready]) -> Option<String> {
        let alike = |a: &Ready, b: &Ready| self.facets(a, b).is_empty();
        if old.len() == new.len() && old.iter().zip(new).all(|(a, b)| alike(a, b)) {
            return None;
        }
        let mut gone: Vec<&Ready> = old.iter().collect();
        let mut come: Vec<&Ready> = Vec::new();
        for one in new {
            match gone.iter().position(|before| alike(before, one)) {
                Some(at) => drop(gone.remove(at)),
                None => come.push(one),
            }
        }
        let mut words = Vec::new();
        for one in come {
            match gone.iter().position(|before| before.uses == one.uses) {
                Some(at) => words.push(format!("~{}", gone.remove(at).uses.typed())),
                None => words.push(format!("+{}", one.uses.typed())),
            }
        }
        words.extend(gone.iter().map(|one| format!("-{}", one.uses.typed())));
        Some(if words.is_empty() { "another order".into() } else { words.join(" ") })
    }

    fn sink(
        &self,
        old: &ReadySink,
        new: &ReadySink,
        said: &mut Vec<String>,
        refused: &mut Vec<String>,
    ) -> LaneChange {
        let name = &new.connector.name;
        let (was, is) = (&old.policy, &new.policy);
        let fixed = [
            ("on_full", was.on_full != is.on_full),
            ("overflow", was.overflow_bytes != is.overflow_bytes),
            ("priority", was.priority != is.priority),
        ];
        let changed = fixed.into_iter().filter(|(_, changed)| *changed);
        refused.extend(changed.map(|(key, _)| format!("sinks.{name}: policy.{key} changed")));
        let mut words: Vec<String> =
            self.facets(&old.connector, &new.connector).into_iter().map(str::to_string).collect();
        let mut change = LaneChange { sink: !words.is_empty(), ..LaneChange::default() };
        if old.routes != new.routes {
            words.push("routes".into());
            change.chain = true;
        }
        if let Some(list) = self.list(&old.transforms, &new.transforms) {
            words.push(format!("transforms {list}"));
            change.chain = true;
        }
        if old.policy != new.policy {
            words.push("policy".into());
            change.policy = true;
        }
        if !words.is_empty() {
            said.push(format!("sinks.{name}: {}", words.join(", ")));
        }
        change
    }
}

/// The secrets that a connector's grants lean on.
fn names(ready: &Ready) -> BTreeSet<&str> {
    let of_endpoint = ready.grants.endpoints.values().filter_map(|endpoint| match &endpoint.address {
        EndpointAddress::Secret(name) => Some(name.as_str()),
        EndpointAddress::Typed(_) => None,
    });
    of_endpoint.chain(ready.grants.secrets.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests;
