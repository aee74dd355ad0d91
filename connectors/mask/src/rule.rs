//! What one rule makes of a value. Pure.

use pgcdc_sdk::layout::{Kind, Type};
use pgcdc_sdk::{Config, Secret};
use sha2::{Digest, Sha256};

const REDACTED: &str = "***REDACTED***";

/// One column.
#[derive(Debug, Config)]
pub struct Rule {
    /// The column's name, of whatever table.
    pub(crate) field: String,
    /// `hash`: SHA-256 as hex, or HMAC-SHA256 with `key`. `redact`: a constant. `partial`: the first and the last
    /// character, stars between. `zero`: 0, false, an empty text, list or object.
    pub(crate) mode: Mode,
    /// For `hash`: without a key, whoever can guess a value can confirm it.
    pub(crate) key: Option<Secret>,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    /// A digest.
    Hash,
    /// A constant.
    Redact,
    /// First and last character.
    Partial,
    /// The type's zero.
    Zero,
}

impl Rule {
    pub(crate) fn is_keyed(&self) -> bool {
        self.key.is_some() && self.mode == Mode::Hash
    }

    /// Does the column become text?
    pub(crate) fn makes_text(&self, ty: Option<Type<'_>>) -> bool {
        self.mode != Mode::Zero || ty.is_none_or(|ty| !has_zero(ty.kind()))
    }

    /// A value in every mode that needs no key and no type.
    pub(crate) fn masked(&self, text: &str) -> String {
        match self.mode {
            Mode::Hash => hex(&Sha256::digest(text.as_bytes())),
            Mode::Partial => partial(text),
            Mode::Redact | Mode::Zero => REDACTED.to_owned(),
        }
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    pgcdc_sdk::layout::json::write_hex(&mut out, bytes);
    String::from_utf8(out).unwrap_or_default()
}

fn partial(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.as_slice() {
        [first, middle @ .., last] if !middle.is_empty() => {
            [&first.to_string(), "*".repeat(middle.len()).as_str(), &last.to_string()].concat()
        }
        all => "*".repeat(all.len()),
    }
}

fn has_zero(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Bool | Kind::Int | Kind::Number | Kind::Json | Kind::Array)
}

/// The zero of a column's type, as its text.
pub(crate) fn zero_of(ty: Option<Type<'_>>, text: &str) -> &'static str {
    match ty.map_or(Kind::Text, |ty| ty.kind()) {
        Kind::Bool => "f",
        Kind::Int | Kind::Number => "0",
        Kind::Json => zero_of_json(text),
        Kind::Array => "{}",
        _ => "",
    }
}

/// The zero of a JSON value's type.
pub(crate) fn zero_of_json(json: &str) -> &'static str {
    match json.trim_start().bytes().next() {
        Some(b'{') => "{}",
        Some(b'[') => "[]",
        Some(b'"') => "\"\"",
        Some(b't' | b'f') => "false",
        Some(b'n') | None => "null",
        Some(_) => "0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let masked = |mode, text| Rule { field: String::new(), mode, key: None }.masked(text);
        assert_eq!(masked(Mode::Partial, "a@example.com"), "a***********m");
        assert_eq!(masked(Mode::Partial, "äöü"), "ä*ü");
        assert_eq!(masked(Mode::Partial, "ab"), "**");
        assert_eq!(masked(Mode::Partial, ""), "");
        assert_eq!(masked(Mode::Redact, "x"), "***REDACTED***");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(masked(Mode::Hash, "abc"), abc);
    }

    #[test]
    fn zeroes_of_json() {
        let zeroes =
            [("{\"a\":1}", "{}"), (" [1]", "[]"), ("\"x\"", "\"\""), ("true", "false"), ("-1.5", "0")];
        for (json, zero) in zeroes {
            assert_eq!(zero_of_json(json), zero);
        }
    }
}
