//! Constant trees as JSON text, in constant evaluation: once to count, once to print.

use super::schema::{Field, Schema};

/// JSON text in the making. Without a buffer it only counts.
pub(crate) struct Out<'a> {
    buffer: &'a mut [u8],
    last: u8,
    /// How many bytes there are, or would be.
    pub(crate) len: usize,
}

impl<'a> Out<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, last: 0, len: 0 }
    }

    const fn byte(&mut self, byte: u8) {
        if self.len < self.buffer.len() {
            self.buffer[self.len] = byte;
        }
        self.len += 1;
        self.last = byte;
    }

    /// As it is.
    pub(crate) const fn raw(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    /// As a JSON string.
    pub(crate) const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bytes = text.as_bytes();
        let mut at = 0;
        self.byte(b'"');
        while at < bytes.len() {
            let byte = bytes[at];
            match byte {
                b'"' | b'\\' => {
                    self.byte(b'\\');
                    self.byte(byte);
                }
                b'\n' => self.raw("\\n"),
                0..0x20 => {
                    self.raw("\\u00");
                    self.byte(HEX[(byte >> 4) as usize]);
                    self.byte(HEX[(byte & 15) as usize]);
                }
                _ => self.byte(byte),
            }
            at += 1;
        }
        self.byte(b'"');
    }

    /// `,"key":` (the comma unless something opens here).
    pub(crate) const fn key(&mut self, key: &str) {
        if self.last != b'{' {
            self.byte(b',');
        }
        self.string(key);
        self.byte(b':');
    }

    /// `"key":"text"`.
    pub(crate) const fn pair(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// `,` unless this is the first of a list.
    pub(crate) const fn comma(&mut self) {
        if self.last != b'[' {
            self.byte(b',');
        }
    }
}

/// A schema and what its field says of it, as one JSON Schema object.
pub(crate) const fn schema(out: &mut Out<'_>, of: &Schema, field: Option<&Field>) {
    out.raw("{");
    if let Some(field) = field {
        said(out, field);
    }
    let minimum = match field {
        Some(Field { minimum: Some(minimum), .. }) => Some(*minimum),
        _ => None,
    };
    match of {
        Schema::Any => {}
        Schema::Boolean => out.pair("type", "boolean"),
        Schema::Integer(floor) => {
            out.pair("type", "integer");
            if let (None, Some(floor)) = (minimum, floor) {
                out.key("minimum");
                out.raw(floor);
            }
        }
        Schema::Number => out.pair("type", "number"),
        Schema::Text => out.pair("type", "string"),
        Schema::Duration => {
            out.pair("type", "string");
            out.pair("format", "duration");
        }
        Schema::Bytes => {
            out.pair("type", "string");
            out.pair("format", "bytes");
        }
        Schema::Choice(words) => {
            out.pair("type", "string");
            out.key("enum");
            list(out, words);
        }
        Schema::List(items) => {
            out.pair("type", "array");
            out.key("items");
            schema(out, items, None);
        }
        Schema::Map(values) => {
            out.pair("type", "object");
            out.key("additionalProperties");
            schema(out, values, None);
        }
        Schema::Object(fields) => object(out, fields),
    }
    out.raw("}");
}

const fn said(out: &mut Out<'_>, field: &Field) {
    if !field.description.is_empty() {
        out.pair("description", field.description);
    }
    if let Some(default) = field.default {
        out.key("default");
        out.raw(default);
    }
    let (least, most) = match field.schema {
        Schema::List(_) => ("minItems", "maxItems"),
        Schema::Text => ("minLength", "maxLength"),
        _ => ("minimum", "maximum"),
    };
    if let Some(minimum) = field.minimum {
        out.key(least);
        out.raw(minimum);
    }
    if let Some(maximum) = field.maximum {
        out.key(most);
        out.raw(maximum);
    }
    if field.secret {
        out.key("secret");
        out.raw("true");
    }
    if let Some(endpoint) = field.endpoint {
        out.pair("format", "endpoint");
        out.pair("endpoint", endpoint);
    }
    if let Some(table) = field.table {
        out.pair("format", "table");
        out.pair("table", table);
    }
    if let Some(flag) = field.flag {
        out.pair("flag", flag);
    }
    if let Some(short) = field.short {
        out.pair("short", short);
    }
}

const fn object(out: &mut Out<'_>, fields: &[Field]) {
    out.pair("type", "object");
    out.key("properties");
    out.raw("{");
    let mut at = 0;
    while at < fields.len() {
        out.key(fields[at].name);
        schema(out, fields[at].schema, Some(&fields[at]));
        at += 1;
    }
    out.raw("}");
    required(out, fields);
    out.key("additionalProperties");
    out.raw("false");
}

const fn required(out: &mut Out<'_>, fields: &[Field]) {
    out.key("required");
    out.raw("[");
    let mut at = 0;
    while at < fields.len() {
        if !fields[at].optional && fields[at].default.is_none() {
            out.comma();
            out.string(fields[at].name);
        }
        at += 1;
    }
    out.raw("]");
}

const fn list(out: &mut Out<'_>, words: &[&str]) {
    out.raw("[");
    let mut at = 0;
    while at < words.len() {
        out.comma();
        out.string(words[at]);
        at += 1;
    }
    out.raw("]");
}
