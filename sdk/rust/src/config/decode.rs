//! From JSON to an author's struct, with the place of whatever is wrong.

use super::Json;
use super::schema::Field;
use super::value::Value;
use crate::{Error, Result};

/// Where in a config a value is, for error messages.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    key: &'a str,
}

impl<'a> Place<'a> {
    /// The config as a whole.
    pub const ROOT: Place<'static> = Place { outer: None, key: "config" };

    /// A property, or an item, of what is here.
    #[must_use]
    pub fn inside(&'a self, key: &'a str) -> Place<'a> {
        Place { outer: Some(self), key }
    }

    /// `misconfigured`: here should be something else.
    pub fn expected(&self, what: &str) -> Error {
        Error::misconfigured(format!("{}: expected {what}", self.path()))
    }

    fn path(&self) -> String {
        match self.outer {
            Some(outer) => format!("{}.{}", outer.path(), self.key),
            None => self.key.to_owned(),
        }
    }
}

/// Is this an object at all?
///
/// # Errors
///
/// `misconfigured` if not.
pub fn object(value: &Json, place: &Place<'_>) -> Result<()> {
    if value.is_object() { Ok(()) } else { Err(place.expected("names and values")) }
}

/// One property of an object, or its default.
///
/// # Errors
///
/// `misconfigured` if it is absent without a default, or is not what it should be.
pub fn field<T: Value>(value: &Json, field: &Field, place: &Place<'_>) -> Result<T> {
    let place = place.inside(field.name);
    match (value.get(field.name), field.default) {
        (Some(found), _) => T::decode(found, &place),
        (None, Some(default)) => T::decode(&serde_json::from_str(default)?, &place),
        (None, None) if T::OPTIONAL => T::decode(&Json::Null, &place),
        (None, None) => Err(place.expected("a value")),
    }
}

/// A whole config from JSON text; an empty text is an empty object.
pub(crate) fn parse<T: Value>(text: &str) -> Result<T> {
    let text = if text.is_empty() { "{}" } else { text };
    let value: Json = serde_json::from_str(text)
        .map_err(|error| Error::misconfigured(format!("config: not JSON: {error}")))?;
    T::decode(&value, &Place::ROOT)
}
