//! The types that a config is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Json;
use super::decode::Place;
use super::quantity::{ByteSize, bytes, duration};
use super::schema::Schema;
use crate::Result;

/// What can be a config, or a property of one.
pub trait Value: Sized {
    /// Its shape.
    const SCHEMA: &'static Schema;
    /// It may be absent without a default.
    const OPTIONAL: bool = false;
    /// It is the name of a secret.
    const SECRET: bool = false;

    /// From JSON, which the host has checked against the schema.
    ///
    /// # Errors
    ///
    /// `misconfigured`, with the place, if it was not checked after all.
    fn decode(value: &Json, place: &Place<'_>) -> Result<Self>;
}

/// The name of a grant: of the one endpoint, file or folder that the operator typed here. The address itself,
/// with user, password and path, stays in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// The name of a secret, for the functions that use one (`crypto`). Its value stays in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret(String);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// From a name that the host knows.
            pub fn named(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name.
            pub fn name(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(Endpoint);

impl Endpoint {
    /// The database under `key`, and everything beside it as JSON, for a host that reads these options itself.
    ///
    /// # Errors
    ///
    /// `misconfigured` if there is no database under that key.
    pub fn and_the_rest(value: &Json, key: &str, place: &Place<'_>) -> Result<(Self, String)> {
        let endpoint = value.get(key).ok_or_else(|| place.inside(key).expected("a database"))?;
        let endpoint = Self::decode(endpoint, &place.inside(key))?;
        let mut rest = value.clone();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove(key);
        }
        Ok((endpoint, rest.to_string()))
    }
}

name!(Secret);

impl Value for Endpoint {
    const SCHEMA: &'static Schema = &Schema::Text;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        String::decode(value, place).map(Self)
    }
}

impl Value for Secret {
    const SCHEMA: &'static Schema = &Schema::Text;
    const SECRET: bool = true;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        String::decode(value, place).map(Self)
    }
}

impl Value for String {
    const SCHEMA: &'static Schema = &Schema::Text;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        value.as_str().map(str::to_owned).ok_or_else(|| place.expected("a text"))
    }
}

impl Value for bool {
    const SCHEMA: &'static Schema = &Schema::Boolean;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        value.as_bool().ok_or_else(|| place.expected("true or false"))
    }
}

impl Value for f64 {
    const SCHEMA: &'static Schema = &Schema::Number;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        value.as_f64().ok_or_else(|| place.expected("a number"))
    }
}

impl Value for Json {
    const SCHEMA: &'static Schema = &Schema::Any;

    fn decode(value: &Json, _: &Place<'_>) -> Result<Self> {
        Ok(value.clone())
    }
}

macro_rules! integers {
    ($floor:expr, $as:ident: $($ty:ty),*) => {
        $(impl Value for $ty {
            const SCHEMA: &'static Schema = &Schema::Integer($floor);

            fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
                let number = value.$as().and_then(|number| <$ty>::try_from(number).ok());
                number.ok_or_else(|| place.expected(concat!("a whole number (", stringify!($ty), ")")))
            }
        })*
    };
}

integers!(Some("0"), as_u64: u8, u16, u32, u64);
integers!(None, as_i64: i8, i16, i32, i64);

impl Value for Duration {
    const SCHEMA: &'static Schema = &Schema::Duration;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        duration(value).ok_or_else(|| place.expected("a duration, e.g. 10s or 500ms"))
    }
}

impl Value for ByteSize {
    const SCHEMA: &'static Schema = &Schema::Bytes;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        bytes(value).ok_or_else(|| place.expected("a size, e.g. 100MB or 4096"))
    }
}

impl<T: Value> Value for Option<T> {
    const SCHEMA: &'static Schema = T::SCHEMA;
    const OPTIONAL: bool = true;
    const SECRET: bool = T::SECRET;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        match value {
            Json::Null => Ok(None),
            value => T::decode(value, place).map(Some),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    const SCHEMA: &'static Schema = &Schema::List(T::SCHEMA);

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        let items = value.as_array().ok_or_else(|| place.expected("a list"))?;
        items.iter().enumerate().map(|(at, item)| T::decode(item, &place.inside(&at.to_string()))).collect()
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    const SCHEMA: &'static Schema = &Schema::Map(T::SCHEMA);

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        let entries = value.as_object().ok_or_else(|| place.expected("names and values"))?;
        entries.iter().map(|(key, item)| Ok((key.clone(), T::decode(item, &place.inside(key))?))).collect()
    }
}
