//! One connector's config against its component's schema: from the operator's tree to the JSON that
//! the guest sees.
//!
//! Endpoints become the name of a grant, secrets the name of a secret, sizes a number of bytes; durations
//! stay as typed; absent properties get the schema's default. A default never grants: an endpoint
//! that has only a default must be typed.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use super::check_special::secret_reference;
use super::description::{Description, Kind};
use super::flag_name;
use super::model::{Connector, Manifest};
use super::nearest::{hint, nearest};
use super::problem::{Problems, shown_key};
use super::quantity;
use super::ready::{Grants, SecretSource};
use super::schema::{Additional, Meaning, Schema, Type, join};
use super::source::Span;
use super::tree::{Node, Value};

/// The check of one connector.
pub(super) struct ConfigCheck<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) connector: &'a Connector,
    /// `sinks.audit`, for messages and for naming literal secrets.
    pub(super) path: &'a str,
    /// The component.
    pub(super) description: &'a Description,
    pub(super) kind: Kind,
    pub(super) problems: &'a mut Problems,
    pub(super) secrets: &'a mut BTreeMap<String, SecretSource>,
    pub(super) grants: Grants,
}

impl ConfigCheck<'_> {
    /// The guest's JSON and what it grants. No JSON if something is wrong; the problems say what.
    pub(super) fn run(mut self) -> (Option<Json>, Grants) {
        let config = self.object(&self.description.config, &self.connector.config, "");
        (config, self.grants)
    }

    /// `sinks.audit: url` as messages call a property.
    pub(super) fn named(&self, path: &str) -> String {
        match flag_name::at_path(self.description, self.kind, path) {
            Some(flag) if self.manifest.place.from_flags => format!("--{flag}"),
            _ => format!("{}: `{path}`", self.path),
        }
    }

    pub(super) fn wrong(&mut self, node: &Node, path: &str, want: &str) -> Option<Json> {
        let help = match (&node.value, want) {
            (Value::Text(_), "true or false") => Some("only true and false are truth values"),
            (Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Huge, "text") => {
                Some("put it in quotes")
            }
            _ => None,
        };
        let message = format!("{} must be {want}, found {}", self.named(path), node.kind());
        self.problems.error_with(node.span, message, help.map(str::to_owned));
        None
    }

    fn value(&mut self, schema: &Schema, node: &Node, path: &str) -> Option<Json> {
        match schema.meaning() {
            Meaning::Secret => self.secret(node, path),
            Meaning::Endpoint(_) if schema.kind == Some(Type::Array) => self.array(schema, node, path),
            Meaning::Endpoint(kind) => self.endpoint(kind, node, path),
            _ if secret_reference(node).is_some() => {
                let message =
                    format!("{} is not a secret; {} would see it", self.named(path), self.description.name);
                let help = "use ${VARIABLE} for a plain setting from the environment";
                self.problems.error_with(node.span, message, Some(help.to_owned()));
                None
            }
            Meaning::Duration => self.duration(node, path),
            Meaning::Bytes => self.bytes(schema, node, path),
            Meaning::Plain => self.plain(schema, node, path),
        }
    }

    fn plain(&mut self, schema: &Schema, node: &Node, path: &str) -> Option<Json> {
        let json = match (schema.kind, &node.value) {
            (Some(Type::Object), _) => return self.object(schema, node, path),
            (Some(Type::Array), _) => return self.array(schema, node, path),
            (None, _) if schema.allowed.is_none() => return self.anything(node, path),
            (Some(Type::String), Value::Text(text)) => Json::from(text.expose()),
            (Some(Type::String), _) => return self.wrong(node, path, "text"),
            (Some(Type::Boolean), value) => match (value, from_variable(value)) {
                (Value::Bool(value), _) => Json::from(*value),
                (_, Some("true")) => Json::from(true),
                (_, Some("false")) => Json::from(false),
                _ => return self.wrong(node, path, "true or false"),
            },
            (Some(Type::Integer), value) => match integer(value) {
                Some(value) => Json::from(value),
                None => return self.wrong(node, path, "a whole number"),
            },
            (Some(Type::Number), value) => match number(value) {
                Some(value) => Json::Number(value),
                None => return self.wrong(node, path, "a number"),
            },
            (None, _) => self.anything(node, path)?,
        };
        if schema.allowed.is_some() || !matches!(json, Json::String(_)) {
            self.problems.show(node.span);
        }
        self.bounded(schema, node.span, path, &json)?;
        Some(json)
    }

    /// `enum`, and the bounds of numbers and texts.
    pub(super) fn bounded(&mut self, schema: &Schema, span: Span, path: &str, json: &Json) -> Option<()> {
        if let Some(allowed) = &schema.allowed
            && !allowed.contains(json)
        {
            let words: Vec<String> = allowed
                .iter()
                .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
                .collect();
            let near = json.as_str().and_then(|typed| nearest(typed, words.iter().map(String::as_str)));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("{} must be one of {}", self.named(path), words.join(", "));
            self.problems.error_with(span, message, help);
            return None;
        }
        let mut complaint = None;
        if let Some(number) = json.as_f64() {
            let below = schema.minimum.filter(|least| number < *least);
            let above = schema.maximum.filter(|most| number > *most);
            let not_over = schema.exclusive_minimum.filter(|least| number <= *least);
            complaint = below.map(|least| format!("must be at least {least}"));
            complaint = complaint.or(above.map(|most| format!("must be at most {most}")));
            complaint = complaint.or(not_over.map(|least| format!("must be more than {least}")));
        }
        if let Some(text) = json.as_str() {
            let characters = text.chars().count();
            let short = schema.min_length.filter(|least| characters < *least);
            let long = schema.max_length.filter(|most| characters > *most);
            complaint = short.map(|least| match least {
                1 => "is empty".to_owned(),
                least => format!("must have at least {least} characters"),
            });
            complaint = complaint.or(long.map(|most| format!("must have at most {most} characters")));
        }
        match complaint {
            None => Some(()),
            Some(complaint) => {
                self.problems.error(span, format!("{} {complaint}", self.named(path)));
                None
            }
        }
    }

    fn object(&mut self, schema: &Schema, node: &Node, path: &str) -> Option<Json> {
        let Value::Map(entries) = &node.value else { return self.wrong(node, path, "a map") };
        let mut out = Map::new();
        let mut sound = true;
        for entry in entries {
            let here = join(path, &entry.key);
            if let Some(property) = schema.properties.get(&entry.key) {
                if !matches!(entry.value.value, Value::Null) {
                    match self.value(property, &entry.value, &here) {
                        Some(value) => drop(out.insert(entry.key.clone(), value)),
                        None => sound = false,
                    }
                }
                continue;
            }
            let value = match &schema.additional_properties {
                Some(Additional::Like(schema)) => self.value(schema, &entry.value, &here),
                Some(Additional::Any(true)) => self.anything(&entry.value, &here),
                _ => {
                    let inside = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
                    let key = shown_key(&entry.key);
                    let message =
                        format!("{}: {} has no setting `{key}`{inside}", self.path, self.description.name);
                    let known = schema.properties.keys().map(String::as_str);
                    self.problems.error_with(entry.key_span, message, hint(&entry.key, known));
                    None
                }
            };
            match value {
                Some(value) => drop(out.insert(entry.key.clone(), value)),
                None => sound = false,
            }
        }
        sound &= self.absent(schema, node, path, &mut out);
        sound.then_some(Json::Object(out))
    }

    /// Defaults and required properties.
    fn absent(&mut self, schema: &Schema, node: &Node, path: &str, out: &mut Map<String, Json>) -> bool {
        let mut sound = true;
        for (name, property) in &schema.properties {
            if node.get(name).is_some_and(|node| !matches!(node.value, Value::Null)) {
                continue;
            }
            let here = join(path, name);
            let place = if path.is_empty() { self.connector.name.span } else { node.span };
            if property.default.is_some() && holds_endpoint(property) {
                let message = format!(
                    "{} must be typed: a component's default never grants an endpoint",
                    self.named(&here)
                );
                let shown = property.default.as_ref().map(Json::to_string).unwrap_or_default();
                self.problems.error_with(
                    place,
                    message,
                    Some(format!("if that is what you want: {name}: {shown}")),
                );
                sound = false;
            } else if let Some(default) = &property.default {
                out.insert(name.clone(), normalised(property, default));
            } else if schema.required.contains(name) {
                let what =
                    property.description.as_deref().and_then(|text| text.lines().next()).map(str::to_owned);
                self.problems.error_with(place, format!("{} is required", self.named(&here)), what);
                sound = false;
            }
        }
        sound
    }

    fn array(&mut self, schema: &Schema, node: &Node, path: &str) -> Option<Json> {
        let Value::List(items) = &node.value else { return self.wrong(node, path, "a list") };
        let few = schema.min_items.filter(|least| items.len() < *least);
        let many = schema.max_items.filter(|most| items.len() > *most);
        let complaint = few.map(|least| format!("needs at least {least}"));
        if let Some(complaint) = complaint.or(many.map(|most| format!("takes at most {most}"))) {
            self.problems.error(node.span, format!("{} {complaint} items", self.named(path)));
            return None;
        }
        let read = |(index, item): (usize, &Node)| {
            let here = join(path, &index.to_string());
            match (&schema.items, schema.meaning()) {
                (items, Meaning::Endpoint(kind))
                    if items.as_ref().is_none_or(|items| items.meaning() == Meaning::Plain) =>
                {
                    self.endpoint(kind, item, &here)
                }
                (Some(items), _) => self.value(items, item, &here),
                (None, _) => self.anything(item, &here),
            }
        };
        let read: Vec<Option<Json>> = items.iter().enumerate().map(read).collect();
        read.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
    }

    /// A value that the schema says nothing about.
    fn anything(&mut self, node: &Node, path: &str) -> Option<Json> {
        if secret_reference(node).is_some() {
            self.problems.error(
                node.span,
                format!("{} is not a secret; {} would see it", self.named(path), self.description.name),
            );
            return None;
        }
        match &node.value {
            Value::Null => Some(Json::Null),
            Value::Bool(value) => Some(Json::from(*value)),
            Value::Integer(value) => Some(Json::from(*value)),
            Value::Huge => self.wrong(node, path, "a number of at most 64 bits"),
            Value::Float(value) => match Number::from_f64(*value) {
                Some(number) => Some(Json::Number(number)),
                None => self.wrong(node, path, "a finite number"),
            },
            Value::Text(text) => Some(Json::from(text.expose())),
            Value::List(_) => self.array(&Schema::default(), node, path),
            Value::Map(_) => self.object(&Schema::open_map(), node, path),
        }
    }
}

fn from_variable(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => text.spelled().map(|_| text.expose()),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(value) => Some(*value),
        Value::Text(_) => from_variable(value)?.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Integer(value) => Some(Number::from(*value)),
        Value::Float(value) => Number::from_f64(*value),
        Value::Text(_) => from_variable(value)?.parse().ok().and_then(Number::from_f64),
        _ => None,
    }
}

fn holds_endpoint(schema: &Schema) -> bool {
    matches!(schema.meaning(), Meaning::Endpoint(_))
        || schema.items.as_ref().is_some_and(|items| holds_endpoint(items))
        || schema.properties.values().any(holds_endpoint)
}

/// A default as the guest sees it.
fn normalised(schema: &Schema, default: &Json) -> Json {
    match (schema.meaning(), default) {
        (Meaning::Bytes, Json::String(text)) => quantity::bytes(text).map_or(Json::Null, Json::from),
        (_, Json::Object(map)) => {
            let one = |(key, value): (&String, &Json)| {
                let value = schema
                    .properties
                    .get(key)
                    .map_or_else(|| value.clone(), |schema| normalised(schema, value));
                (key.clone(), value)
            };
            Json::Object(map.iter().map(one).collect())
        }
        _ => default.clone(),
    }
}
