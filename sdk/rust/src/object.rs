//! A JSON object as an ordered list of keys and values that stay as they are written: what is not touched is
//! copied, digit for digit.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Keys and the JSON text of their values. Of keys that appear twice both are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Object<'a> {
    /// None if the text is not one JSON object.
    pub fn parse(text: &'a str) -> Option<Self> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// The JSON text of a key's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_ref())
    }

    /// The value of a key if it is a JSON string.
    pub fn text(&self, key: &str) -> Option<String> {
        text_of(self.get(key)?)
    }

    /// Sets the JSON text of a key that is there.
    pub fn replace(&mut self, key: &str, value: String) {
        for (_, old) in self.members.iter_mut().filter(|(known, _)| known == key) {
            *old = Cow::Owned(value.clone());
        }
    }

    /// Keeps the members whose key is wanted.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.members.retain(|(key, _)| keep(key));
    }

    /// Gives members other names, all at once. What has a new name takes the place of what had it before.
    pub fn rename(&mut self, name: impl Fn(&str) -> Option<String>) {
        let renamed: Vec<Option<String>> = self.members.iter().map(|(key, _)| name(key)).collect();
        let taken: Vec<&String> = renamed.iter().flatten().collect();
        let stays = |(key, _): &(Cow<'_, str>, Cow<'_, str>)| !taken.iter().any(|new| *new == key);
        let stay: Vec<bool> = self.members.iter().map(stays).collect();
        let members = std::mem::take(&mut self.members).into_iter().zip(renamed.iter().cloned()).zip(stay);
        self.members = members
            .filter_map(|(((key, value), renamed), stays)| match renamed {
                Some(new) => Some((Cow::Owned(new), value)),
                None => stays.then_some((key, value)),
            })
            .collect();
    }

    /// Keys and JSON texts in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (key, value) in &self.members {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&quoted(key));
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

/// A text as JSON text.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    pgcdc_layout::json::write_string(&mut out, text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// What a JSON string says; none if it is not a string.
pub fn text_of(json: &str) -> Option<String> {
    if json.starts_with('"') { serde_json::from_str(json).ok() } else { None }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            members.push((key, Cow::Borrowed(value.get())));
        }
        Ok(Object { members })
    }
}

/// A key, borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyText)
    }
}

struct KeyText;

impl<'de> Visitor<'de> for KeyText {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_is() {
        let text = r#"{"a":12345678901234567890.10,"é\n":{"b": [1, 2]},"a":null}"#;
        let object = Object::parse(text).unwrap();
        assert_eq!(object.to_json(), text);
        assert_eq!(object.get("a"), Some("12345678901234567890.10"));
        for bad in ["", "[]", "1", "{", "{\"a\"}", "{}x", "null"] {
            assert_eq!(Object::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn renames_are_simultaneous() {
        let mut object = Object::parse(r#"{"a":1,"b":2,"c":3}"#).unwrap();
        object.rename(|key| match key {
            "a" => Some("b".into()),
            "b" => Some("a".into()),
            _ => None,
        });
        assert_eq!(object.to_json(), r#"{"b":1,"a":2,"c":3}"#);
        object.rename(|key| (key == "a").then(|| "c".into()));
        assert_eq!(object.to_json(), r#"{"b":1,"c":2}"#);
    }
}
