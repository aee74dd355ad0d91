//! One value by its type's kind, and rows of them.

use super::text::{clean_len, write_escaped, write_string};
use super::{array, check, composite, hstore};
use crate::spec::{Kind, TYPE_DEPTH_MAX};
use crate::view::{Cell, RawTuple, Relation, Type};

/// How many times longer than its text the JSON of an array or composite may be. PostgreSQL's names have up
/// to 63 bytes, so that a comma between two NULL fields can mean seventy.
const GROWTH_MAX: usize = 128;
/// What it may always take, in bytes.
const GROWTH_FREE_BYTES: usize = 512;

/// How far printing one value may go. What would go further is printed as a string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long the output may become.
    pub(super) out_bytes_max: usize,
    depth: usize,
}

impl Bounds {
    pub(super) fn new(out_bytes_max: usize) -> Self {
        Bounds { out_bytes_max, depth: 0 }
    }

    pub(super) fn deeper(self) -> Self {
        Bounds { depth: self.depth + 1, ..self }
    }

    /// For an array or composite that starts at `start` of the output.
    fn nested(self, start: usize, text: &[u8]) -> Self {
        let growth = text.len().saturating_mul(GROWTH_MAX).saturating_add(GROWTH_FREE_BYTES);
        Bounds { out_bytes_max: self.out_bytes_max.min(start.saturating_add(growth)), ..self }
    }
}

/// Writes a value of a type as JSON. `text` is UTF-8.
pub fn write_cell(out: &mut Vec<u8>, ty: &Type<'_>, text: &[u8]) {
    write_value(out, ty, text, Bounds::new(usize::MAX));
}

/// Writes a row as a JSON object; values that did not change and were not sent are left out.
pub fn write_row(out: &mut Vec<u8>, relation: &Relation<'_>, row: &RawTuple<'_>) {
    out.push(b'{');
    let start = out.len();
    for (column, cell) in relation.columns().zip(row.iter()) {
        if cell == Cell::Unchanged {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        write_string(out, column.name().as_bytes());
        out.push(b':');
        match (cell, column.ty()) {
            (Cell::Value(text), Some(ty)) => write_cell(out, &ty, text),
            (Cell::Value(text), None) => write_string(out, text),
            _ => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// Writes text that has to be one JSON value as it is, but for line breaks, which become spaces; what is not
/// JSON becomes a string.
pub fn write_json(out: &mut Vec<u8>, text: &[u8]) {
    if !check::is_json(text) {
        return write_string(out, text);
    }
    let start = out.len();
    out.extend_from_slice(text);
    // JSON has no raw line break inside of a string, so that any that is there is a blank.
    for byte in &mut out[start..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

pub(super) fn write_value(out: &mut Vec<u8>, ty: &Type<'_>, text: &[u8], bounds: Bounds) {
    match ty.kind() {
        Kind::Array | Kind::Composite => write_nested(out, ty, text, bounds),
        kind => write_scalar(out, kind, text),
    }
}

/// Writes a value of any kind but arrays and composites.
#[inline]
pub(super) fn write_scalar(out: &mut Vec<u8>, kind: Kind, text: &[u8]) {
    match kind {
        Kind::Text | Kind::Array | Kind::Composite => write_string(out, text),
        Kind::Int | Kind::Number if check::is_number(text) => out.extend_from_slice(text),
        Kind::Int | Kind::Number => write_string(out, text),
        Kind::Bool => match text {
            b"t" => out.extend_from_slice(b"true"),
            b"f" => out.extend_from_slice(b"false"),
            _ => write_string(out, text),
        },
        Kind::Json => write_json(out, text),
        Kind::Hstore => hstore::write(out, text),
        Kind::Timestamp => write_timestamp(out, text, false),
        Kind::Timestamptz => write_timestamp(out, text, true),
    }
}

#[cold]
#[inline(never)]
fn write_nested(out: &mut Vec<u8>, ty: &Type<'_>, text: &[u8], bounds: Bounds) {
    let start = out.len();
    let bounds = bounds.nested(start, text);
    let written = match ty.kind() {
        _ if bounds.depth >= TYPE_DEPTH_MAX => None,
        Kind::Array => array::write(out, ty, text, bounds),
        _ => composite::write(out, ty, text, bounds),
    };
    if written.is_none() {
        out.truncate(start);
        write_string(out, text);
    }
}

fn write_timestamp(out: &mut Vec<u8>, text: &[u8], zoned: bool) {
    let Some(space) = text.iter().position(|byte| *byte == b' ') else {
        return write_string(out, text);
    };
    // A date alone, `0044-03-15 BC`, and whatever else is no timestamp stay as they are.
    let (date, time) = (&text[..space], &text[space + 1..]);
    if !time.first().is_some_and(u8::is_ascii_digit) || clean_len(text) < text.len() {
        return write_string(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(date);
    out.push(b'T');
    let clock = time.strip_suffix(b" BC").unwrap_or(time);
    write_escaped(out, clock);
    if zoned && matches!(clock, [.., b'0'..=b'9', b'+' | b'-', b'0'..=b'9', b'0'..=b'9']) {
        out.extend_from_slice(b":00");
    }
    out.extend_from_slice(&time[clock.len()..]);
    out.push(b'"');
}
