//! `pgcdc describe`: what a component says about itself, for people.
//!
//! It is somebody else's text: control characters are left out, and nothing of it is believed.

use serde_json::Value;

use super::table::{first_line, printable, table};
use crate::manifest::description::{Description, Kind};
use crate::manifest::flag_name;
use crate::manifest::nearest::hint;
use crate::manifest::schema::{Additional, Meaning, Schema, Type, join};

/// Finds a shipped connector by name. The error is one line.
pub fn find<'d>(
    shipped: &'d [Description],
    name: &str,
    kind: Option<Kind>,
) -> Result<&'d Description, String> {
    let named: Vec<&Description> =
        shipped.iter().filter(|known| known.name == name && kind.is_none_or(|kind| known.is(kind))).collect();
    match named.as_slice() {
        [one] => Ok(one),
        [] => {
            let hint = hint(name, shipped.iter().map(|known| known.name.as_str()));
            Err(format!(
                "there is no connector `{}`; {}",
                printable(name),
                hint.unwrap_or_else(|| "see `pgcdc list`".to_owned())
            ))
        }
        several => {
            let kinds: Vec<&str> =
                several.iter().flat_map(|known| &known.kinds).map(|kind| kind.as_str()).collect();
            Err(format!("`{name}` is several connectors: add --kind with one of {}", kinds.join(", ")))
        }
    }
}

/// Everything that a description says, as text.
pub fn render(description: &Description) -> String {
    let kinds: Vec<&str> = description.kinds.iter().map(|kind| kind.as_str()).collect();
    let mut out = format!("{} ({})", printable(&description.name), kinds.join(", "));
    if !description.version.is_empty() {
        out.push_str(&format!(" {}", printable(&description.version)));
    }
    out.push('\n');
    paragraph(&mut out, "", &description.description);
    paragraph(&mut out, "delivery: ", description.delivery.as_deref().unwrap_or(""));
    let layouts: Vec<String> = description.layouts.iter().map(u32::to_string).collect();
    out.push_str(&format!("api: {}, batch layouts: {}\n", printable(&description.api), layouts.join(", ")));
    if !description.capabilities.is_empty() {
        out.push_str("\nasks for\n");
        let rows =
            description.capabilities.iter().map(|asked| [asked.interface.clone(), first_line(&asked.reason)]);
        out.push_str(&table(["INTERFACE", "WHY"], rows));
    }
    for kind in &description.kinds {
        let mut rows = Vec::new();
        collect(&mut rows, description, *kind, &description.config, "");
        if !rows.is_empty() {
            out.push_str("\nsettings\n");
            out.push_str(&table(
                ["NAME", "TYPE", "DEFAULT", "REQUIRED", "VALIDATIONS", "FLAG", "DESCRIPTION"],
                rows,
            ));
        }
    }
    for (title, text) in [("docs", &description.docs), ("example", &description.example)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            out.push_str(&format!("\n{title}\n"));
            text.lines().for_each(|line| out.push_str(&format!("  {}\n", printable(line))));
        }
    }
    out
}

/// The self-description as it is, on one line.
pub fn json(description: &Description) -> String {
    printable(description.json().trim()) + "\n"
}

fn paragraph(out: &mut String, label: &str, text: &str) {
    if !text.is_empty() {
        out.push_str(&format!("{label}{}\n", printable(text)));
    }
}

fn collect(rows: &mut Vec<[String; 7]>, description: &Description, kind: Kind, schema: &Schema, path: &str) {
    for (name, property) in &schema.properties {
        let here = join(path, name);
        if property.kind == Some(Type::Object) && !property.properties.is_empty() {
            collect(rows, description, kind, property, &here);
            continue;
        }
        let flag = flag_name::of(description, kind, &here, property).map(|flag| format!("--{flag}"));
        rows.push([
            here,
            type_name(property),
            property.default.as_ref().map(shown_default).unwrap_or_default(),
            if schema.required.contains(name) { "yes".to_owned() } else { String::new() },
            validations(property),
            flag.unwrap_or_default(),
            first_line(property.description.as_deref().unwrap_or("")),
        ]);
    }
}

fn shown_default(default: &Value) -> String {
    default.as_str().map_or_else(|| default.to_string(), str::to_owned)
}

fn type_name(schema: &Schema) -> String {
    match (schema.meaning(), schema.kind) {
        (Meaning::Secret, _) => "secret".to_owned(),
        (Meaning::Endpoint(kind), Some(Type::Array)) => format!("list of {kind} endpoints"),
        (Meaning::Endpoint(kind), _) => format!("{kind} endpoint"),
        (Meaning::Duration, _) => "duration".to_owned(),
        (Meaning::Bytes, _) => "bytes".to_owned(),
        (_, Some(Type::String)) => "string".to_owned(),
        (_, Some(Type::Integer)) => "int".to_owned(),
        (_, Some(Type::Number)) => "number".to_owned(),
        (_, Some(Type::Boolean)) => "bool".to_owned(),
        (_, Some(Type::Array)) => {
            let items = schema.items.as_deref().map_or_else(|| "anything".to_owned(), type_name);
            format!("list of {items}")
        }
        (_, Some(Type::Object)) => match &schema.additional_properties {
            Some(Additional::Like(values)) => format!("map of {}", type_name(values)),
            _ => "map".to_owned(),
        },
        (_, None) => "anything".to_owned(),
    }
}

fn validations(schema: &Schema) -> String {
    let bounds = [
        ("min", schema.minimum),
        ("max", schema.maximum),
        ("above", schema.exclusive_minimum),
        ("min", schema.min_length.or(schema.min_items).map(|least| least as f64)),
        ("max", schema.max_length.or(schema.max_items).map(|most| most as f64)),
    ];
    let mut rules: Vec<String> =
        bounds.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name}:{bound}"))).collect();
    if let Some(allowed) = &schema.allowed {
        let words: Vec<String> = allowed.iter().map(shown_default).collect();
        rules.push(format!("oneof:{}", words.join(",")));
    }
    rules.join(" ")
}
