//! Composites: PostgreSQL's text form, `(1,"a ""b""",)`, as JSON objects.

use super::text::write_string;
use super::value::{Bounds, write_value};
use crate::view::Type;

/// Writes the object; none if the text is not such a composite, or the output has grown too long. What was
/// written then is of no use.
pub(super) fn write(out: &mut Vec<u8>, ty: &Type<'_>, text: &[u8], bounds: Bounds) -> Option<()> {
    let mut rest = text.strip_prefix(b"(")?;
    let mut unescaped = Vec::new();
    let mut opening = b'{';
    for field in ty.fields() {
        if opening == b',' {
            rest = rest.strip_prefix(b",")?;
        }
        let name = field.name().as_bytes();
        if out.len() + name.len() > bounds.out_bytes_max {
            return None;
        }
        out.push(opening);
        opening = b',';
        write_string(out, name);
        out.push(b':');
        rest = match rest.first()? {
            b',' | b')' => {
                out.extend_from_slice(b"null");
                rest
            }
            b'"' => {
                let (value, after) = quoted(&rest[1..], &mut unescaped)?;
                write_value(out, &field.ty()?, value, bounds.deeper());
                after
            }
            _ => {
                let end = rest.iter().position(|byte| matches!(byte, b',' | b')'))?;
                let (value, after) = rest.split_at(end);
                if value.iter().any(|byte| matches!(byte, b'(' | b'"' | b'\\')) {
                    return None;
                }
                write_value(out, &field.ty()?, value, bounds.deeper());
                after
            }
        };
    }
    if opening == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    (rest == b")").then_some(())
}

/// The content of a quoted field, of which `text` is what follows the opening quote, and what follows the
/// closing one.
fn quoted<'t: 'u, 'u>(text: &'t [u8], unescaped: &'u mut Vec<u8>) -> Option<(&'u [u8], &'t [u8])> {
    unescaped.clear();
    let mut rest = text;
    loop {
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let next = rest.get(special + 1)?;
        if rest[special] == b'"' && *next != b'"' {
            if unescaped.is_empty() {
                return Some((&rest[..special], &rest[special + 1..]));
            }
            unescaped.extend_from_slice(&rest[..special]);
            return Some((unescaped, &rest[special + 1..]));
        }
        unescaped.extend_from_slice(&rest[..special]);
        unescaped.push(*next);
        rest = &rest[special + 2..];
    }
}
