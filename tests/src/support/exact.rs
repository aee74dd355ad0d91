//! JSON values compared as the database means them: numbers by their digits, objects without order.
//!
//! A float in between would call 9007199254740993 and 9007199254740992 equal, and 1.00 and 1.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

/// One JSON value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exact {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    List(Vec<Exact>),
    /// An object; of a repeated key, the last value.
    Object(BTreeMap<String, Exact>),
}

impl Exact {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// What is wrong with the text, from the JSON parser.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let json = json.trim();
        Ok(match json.as_bytes().first() {
            Some(b'{') => {
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
                let fields = fields.into_iter().map(|(key, raw)| Ok((key, Self::parse(raw.get())?)));
                Self::Object(fields.collect::<Result<_, serde_json::Error>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json)?;
                Self::List(items.into_iter().map(|raw| Self::parse(raw.get())).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(json)?),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(json)?),
            Some(b'n') => serde_json::from_str::<()>(json).map(|()| Self::Null)?,
            _ => {
                serde_json::from_str::<&RawValue>(json)?;
                Self::Number(json.to_owned())
            }
        })
    }

    /// The field of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(key),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number, or a string of digits, as an integer: column values may come in either shape.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(digits) | Self::Text(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (n, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if n > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (n, (key, value)) in fields.iter().enumerate() {
                    write!(f, "{}{key:?}:{value}", if n > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;

    #[test]
    fn digits_are_not_rounded_and_order_of_keys_does_not_count() {
        let parse = |json| Exact::parse(json).unwrap();
        assert_ne!(parse("9007199254740993"), parse("9007199254740992"));
        assert_ne!(parse("1.00"), parse("1"));
        assert_eq!(parse(r#"{"a":[1, "\u00e9"],"b":null}"#), parse(r#"{ "b":null, "a":[1,"é"] }"#));
        assert!(Exact::parse("{\"a\":}").is_err());
        assert!(Exact::parse("tru").is_err());
        assert!(Exact::parse("").is_err());
        assert!(Exact::parse("-").is_err());
    }
}
