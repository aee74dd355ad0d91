//! The part of JSON Schema that connectors' configs are described in.
//!
//! Understood: `type` (one name), `properties`, `required`, `additionalProperties`, `items`, `enum`,
//! `minimum`, `maximum`, `exclusiveMinimum`, `minLength`, `maxLength`, `minItems`, `maxItems`,
//! `default`, `description`, `examples`, `deprecated`, and pgcdc's own: `secret`, `format` with
//! `endpoint`, `duration`, `bytes` or `table`, `endpoint`, `table`, `flag`, `short`. An object without
//! `additionalProperties` takes no further keys: configs are strict. Annotations that are not known are
//! ignored; a keyword that would constrain values and is not understood is refused, because a
//! check that is not made is worse than none. Errors of a general validator have no place in the
//! operator's file, which is why this subset is checked by hand (`check_config.rs`).

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
}

/// What further keys of an object may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    /// Anything (`true`) or nothing (`false`).
    Any(bool),
    /// Values like this.
    Like(Box<Schema>),
}

/// One schema.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Schema {
    /// What it must be; anything if absent.
    #[serde(rename = "type")]
    pub kind: Option<Type>,
    /// For people.
    pub description: Option<String>,
    /// What an absent property is taken for.
    pub default: Option<Value>,
    /// The only values allowed.
    #[serde(rename = "enum")]
    pub allowed: Option<Vec<Value>>,
    /// Least number.
    pub minimum: Option<f64>,
    /// Greatest number.
    pub maximum: Option<f64>,
    /// Numbers must be greater than this.
    pub exclusive_minimum: Option<f64>,
    /// Least characters.
    pub min_length: Option<usize>,
    /// Most characters.
    pub max_length: Option<usize>,
    /// Least items.
    pub min_items: Option<usize>,
    /// Most items.
    pub max_items: Option<usize>,
    /// What a list's items must be.
    pub items: Option<Box<Schema>>,
    /// The keys of an object, in the component's order.
    pub properties: IndexMap<String, Schema>,
    /// Keys that must be there.
    pub required: Vec<String>,
    /// What further keys may be; none if absent.
    pub additional_properties: Option<Additional>,
    /// The value never enters the component.
    pub secret: bool,
    /// `endpoint`, `duration`, `bytes` or `table`; others are annotations.
    pub format: Option<String>,
    /// For `format: endpoint`: `http`, `postgres`, `file`, `folder`, …
    pub endpoint: Option<String>,
    /// For `format: table`: which of pgcdc's migrations make it, in the PostgreSQL that a property beside it names.
    pub table: Option<String>,
    /// The name of the command-line flag, without dashes.
    pub flag: Option<String>,
    /// A one-letter flag.
    pub short: Option<char>,
    /// Still works, should not be used.
    pub deprecated: bool,
    #[serde(flatten)]
    rest: IndexMap<String, Value>,
}

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'s> {
    /// Itself.
    Plain,
    /// Something secret: only its name reaches the component.
    Secret,
    /// An endpoint of this type: only its name reaches the component.
    Endpoint(&'s str),
    /// A duration such as `10s`.
    Duration,
    /// A size such as `64MiB`, handed over as a number of bytes.
    Bytes,
}

const CONSTRAINING: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "const",
    "pattern",
    "multipleOf",
    "exclusiveMaximum",
    "uniqueItems",
    "contains",
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
];

const DEPTH_MAX: usize = 16;

impl Schema {
    /// What a value of this schema stands for.
    pub fn meaning(&self) -> Meaning<'_> {
        match self.format.as_deref() {
            _ if self.secret => Meaning::Secret,
            Some("endpoint") => Meaning::Endpoint(self.endpoint.as_deref().unwrap_or("http")),
            Some("duration") => Meaning::Duration,
            Some("bytes") => Meaning::Bytes,
            _ => Meaning::Plain,
        }
    }

    /// A map that takes anything.
    pub(super) fn open_map() -> Self {
        Schema { additional_properties: Some(Additional::Any(true)), ..Schema::default() }
    }

    /// Is it one that pgcdc can check completely? The error is one line and names the property.
    pub(super) fn sound(&self, path: &str, depth: usize) -> Result<(), String> {
        let here = if path.is_empty() { "the config" } else { path };
        if depth > DEPTH_MAX {
            return Err(format!("{here}: nested more than {DEPTH_MAX} levels deep"));
        }
        if let Some(keyword) = CONSTRAINING.iter().find(|keyword| self.rest.contains_key(**keyword)) {
            return Err(format!("{here}: pgcdc does not check the keyword `{keyword}`"));
        }
        if self.secret && !matches!(self.kind, None | Some(Type::String)) {
            return Err(format!("{here}: a secret must be of type string"));
        }
        if self.secret && self.default.is_some() {
            return Err(format!("{here}: a secret cannot have a default"));
        }
        if let Some(missing) = self.required.iter().find(|name| !self.properties.contains_key(*name)) {
            return Err(format!("{here}: `{missing}` is required and is not among the properties"));
        }
        if self.properties.contains_key("secret") {
            return Err(format!(
                "{here}: a setting cannot be called `secret`: {{ secret: name }} refers to one"
            ));
        }
        for (name, property) in &self.properties {
            property.sound(&join(path, name), depth + 1)?;
        }
        if let Some(items) = &self.items {
            items.sound(&join(path, "0"), depth + 1)?;
        }
        if let Some(Additional::Like(schema)) = &self.additional_properties {
            schema.sound(&join(path, "*"), depth + 1)?;
        }
        Ok(())
    }
}

/// `a` and `b` to `a.b`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
