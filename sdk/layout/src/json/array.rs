//! Arrays: PostgreSQL's text form, `{1,NULL,"a b"}` with or without bounds before it, as nested JSON arrays.

use super::value::{Bounds, write_value};
use crate::view::Type;

/// How many dimensions PostgreSQL allows.
const DIMENSIONS_MAX: usize = 6;

/// Writes the array; none if the text is not one, or the output has grown too long. What was written then is
/// of no use.
pub(super) fn write(out: &mut Vec<u8>, ty: &Type<'_>, text: &[u8], bounds: Bounds) -> Option<()> {
    let element = ty.element()?;
    let delimiter = ty.delimiter();
    if delimiter == b' ' {
        return write_vector(out, &element, text, bounds);
    }
    let mut unescaped = Vec::new();
    let mut dimensions = 0;
    let mut rest = skip_bounds(text)?;
    loop {
        let (first, after) = rest.split_first()?;
        if *first == b'{' {
            dimensions += 1;
            if dimensions > DIMENSIONS_MAX {
                return None;
            }
            out.push(b'[');
            rest = after;
            if rest.first() != Some(&b'}') {
                continue;
            }
        } else if dimensions == 0 {
            return None;
        } else if *first == b'"' {
            let (value, after) = quoted(after, &mut unescaped)?;
            write_value(out, &element, value, bounds.deeper());
            rest = after;
        } else {
            let end = rest.iter().position(|byte| *byte == delimiter || *byte == b'}')?;
            let (value, after) = rest.split_at(end);
            if value.is_empty() || value.iter().any(|byte| matches!(byte, b'{' | b'"' | b'\\')) {
                return None;
            }
            if value.eq_ignore_ascii_case(b"NULL") {
                out.extend_from_slice(b"null");
            } else {
                write_value(out, &element, value, bounds.deeper());
            }
            rest = after;
        }
        if out.len() > bounds.out_bytes_max {
            return None;
        }
        loop {
            let (next, after) = rest.split_first()?;
            rest = after;
            if *next == delimiter {
                out.push(b',');
                break;
            } else if *next != b'}' {
                return None;
            }
            out.push(b']');
            dimensions -= 1;
            if dimensions == 0 {
                return rest.is_empty().then_some(());
            }
        }
    }
}

/// A vector, such as `int2vector`: `1 2 3`, without NULLs.
fn write_vector(out: &mut Vec<u8>, element: &Type<'_>, text: &[u8], bounds: Bounds) -> Option<()> {
    let mut opening = b'[';
    for value in text.split(|byte| *byte == b' ').filter(|_| !text.is_empty()) {
        if value.is_empty() || out.len() > bounds.out_bytes_max {
            return None;
        }
        out.push(opening);
        opening = b',';
        write_value(out, element, value, bounds.deeper());
    }
    if opening == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Some(())
}

/// What follows `[1:2][0:1]=`, or everything.
fn skip_bounds(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return Some(text);
    }
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (bounds, rest) = text.split_at(equals);
    let known = |byte: &u8| matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'0'..=b'9');
    bounds.iter().all(known).then_some(rest.get(1..)?)
}

/// The content of a quoted element, of which `text` is what follows the opening quote, and what follows the
/// closing one.
fn quoted<'t: 'u, 'u>(text: &'t [u8], unescaped: &'u mut Vec<u8>) -> Option<(&'u [u8], &'t [u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if text.get(end) == Some(&b'"') {
        return Some((&text[..end], &text[end + 1..]));
    }
    unescaped.clear();
    let mut rest = text;
    loop {
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        unescaped.extend_from_slice(&rest[..special]);
        if rest[special] == b'"' {
            return Some((unescaped, &rest[special + 1..]));
        }
        unescaped.push(*rest.get(special + 1)?);
        rest = &rest[special + 2..];
    }
}
