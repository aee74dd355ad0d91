//! `pgcdc list`: the connectors that come with pgcdc.

use serde_json::{Value, json};

use super::table::{first_line, table};
use crate::manifest::description::{Description, Kind};

/// A table, or one JSON document: a list of objects with kind, name, version and description.
pub fn render(shipped: &[Description], only: Option<Kind>, as_json: bool) -> String {
    let mut all: Vec<(Kind, &Description)> = shipped
        .iter()
        .flat_map(|description| description.kinds.iter().map(move |kind| (*kind, description)))
        .collect();
    all.retain(|(kind, _)| only.is_none_or(|only| only == *kind));
    all.sort_by(|(kind, one), (other_kind, other)| (kind, &one.name).cmp(&(other_kind, &other.name)));
    if as_json {
        let one = |(kind, description): &(Kind, &Description)| {
            json!({
                "kind": kind.as_str(),
                "name": description.name,
                "version": description.version,
                "description": description.description,
            })
        };
        return Value::Array(all.iter().map(one).collect()).to_string() + "\n";
    }
    let rows = all.iter().map(|(kind, description)| {
        [
            kind.as_str().to_owned(),
            description.name.clone(),
            description.version.clone(),
            first_line(&description.description),
        ]
    });
    table(["KIND", "NAME", "VERSION", "DESCRIPTION"], rows)
}
