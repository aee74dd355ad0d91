//! The lines under `grants`: each is a thing that the operator allows beyond what the config names.

use super::address::Address;
use super::description::Description;
use super::model::{Connector, Manifest};
use super::nearest::hint;
use super::problem::{Problems, shown_key};
use super::ready::Extra;
use super::source::At;
use super::tree::Text;

/// Every interface of `pgcdc:host` that has an effect, present or planned.
pub(super) const INTERFACES: &[&str] = &[
    "http", "postgres", "wal", "snapshot", "mysql", "mongodb", "kafka", "nats", "redis", "objects", "files",
    "process", "crypto", "kv", "console", "listen", "reinject",
];

/// Reads and checks every line.
pub(super) fn lines(
    connector: &Connector,
    description: &Description,
    manifest: &Manifest,
    problems: &mut Problems,
) -> Vec<Extra> {
    let mut extra = Vec::new();
    for line in &connector.grants {
        let interface = &line.interface;
        if !INTERFACES.contains(&interface.value.as_str()) && !description.asks_for(&interface.value) {
            let message = format!("there is no interface `{}` to grant", shown_key(&interface.value));
            problems.error_with(interface.span, message, hint(&interface.value, INTERFACES.iter().copied()));
            continue;
        }
        if !description.asks_for(&interface.value) {
            let message = format!("{} does not ask for `{}`", description.name, interface.value);
            problems.warning(interface.span, message);
        }
        for what in &line.what {
            extra.extend(item(&interface.value, what, manifest, problems));
        }
    }
    extra
}

fn item(interface: &str, what: &At<Text>, manifest: &Manifest, problems: &mut Problems) -> Option<Extra> {
    let text = what.value.expose();
    if interface == "crypto" {
        problems.show(what.span);
        if !manifest.secrets.iter().any(|secret| secret.name.value == text) {
            let names = manifest.secrets.iter().map(|secret| secret.name.value.as_str());
            problems.error_with(what.span, "there is no such secret under `secrets`", hint(text, names));
            return None;
        }
    }
    match Address::parse(interface, text) {
        Ok(address) => {
            let what = address.under(&manifest.place.folder);
            Some(Extra { interface: interface.to_owned(), what })
        }
        Err(error) => {
            problems.error(what.span, format!("a grant of `{interface}` {error}"));
            None
        }
    }
}
