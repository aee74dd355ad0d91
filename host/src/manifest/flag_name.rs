//! What a setting of a connector is called on the command line. Nobody lists these names: they follow
//! from the connector's own description.

use super::description::{Description, Kind};
use super::schema::{Schema, join};

/// The flag of a property, without dashes; `None` if it can only be set in a manifest.
///
/// A property may name its flag. Otherwise a source's or a sink's is `connector-property`, a dead-letter
/// queue's `dlq-property` and a checkpoint store's `checkpoint-property`; a transform's properties
/// have none.
pub fn of(description: &Description, kind: Kind, path: &str, property: &Schema) -> Option<String> {
    let prefix = match kind {
        Kind::Source | Kind::Sink => description.name.as_str(),
        Kind::Dlq => "dlq",
        Kind::CheckpointStore => "checkpoint",
        Kind::Transform => "",
    };
    let own = property.flag.as_deref().or_else(|| description.flags.get(path).map(String::as_str));
    let name = match own {
        Some(own) => own.to_owned(),
        None if prefix.is_empty() => return None,
        None => dashed(&join(prefix, path)),
    };
    is_flag(&name).then_some(name)
}

/// The flag of the property at a path such as `batch.events`; an item of a list is set by the list's flag.
pub(super) fn at_path(description: &Description, kind: Kind, path: &str) -> Option<String> {
    let mut schema = &description.config;
    let mut found = String::new();
    for key in path.split('.') {
        let Some(property) = schema.properties.get(key) else { break };
        found = join(&found, key);
        schema = property;
    }
    if found.is_empty() { None } else { of(description, kind, &found, schema) }
}

fn dashed(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

fn is_flag(name: &str) -> bool {
    const FLAG_BYTES_MAX: usize = 64;
    (2..=FLAG_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
