//! What a plain YAML scalar stands for, and text with its variables replaced.

use super::interpolate::{Interpolated, Lookup, interpolate};
use super::problem::Problems;
use super::source::Span;
use super::tree::{Text, Value};

/// YAML 1.2's core schema. `None` is text.
pub(super) fn core_schema(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(Value::Huge, Value::Integer));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return Some(i64::from_str_radix(digits, radix).map_or(Value::Huge, Value::Integer));
        }
    }
    is_float(digits).then(|| text.parse().ok().map(Value::Float)).flatten()
}

/// Digits with a point or an exponent; `.inf` and `.nan` are text here, because JSON has neither.
fn is_float(digits: &str) -> bool {
    let mantissa = digits.split(['e', 'E']).next().unwrap_or("");
    let exponent = digits.get(mantissa.len() + 1..);
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && exponent.bytes().all(|b| b.is_ascii_digit())
    });
    exponent_ok
        && mantissa.bytes().any(|b| b.is_ascii_digit())
        && mantissa.bytes().filter(|b| *b == b'.').count() <= 1
        && mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Text with its variables replaced; what is wrong with them is a problem at their place.
pub(super) fn text(text: &str, span: Span, lookup: Lookup<'_>, problems: &mut Problems) -> Value {
    Value::Text(match interpolate(text, lookup) {
        Ok(Interpolated::Same) => Text::plain(text),
        Ok(Interpolated::Unescaped(unescaped)) => Text::plain(&unescaped),
        Ok(Interpolated::Replaced(replaced)) => Text::from_variables(&replaced, text),
        Err(fault) => {
            // Escapes and folded lines move things: the exact column is known only where the
            // file spells the text as it is.
            let spelled = problems.source().slice(span);
            let quote = usize::from(spelled.starts_with(['"', '\'']));
            let exact = spelled.get(quote..).is_some_and(|inside| inside.starts_with(text));
            let start = if exact { span.start + quote + fault.at } else { span.start };
            problems.error_with(Span { start, end: span.end.max(start) }, fault.message, fault.help);
            Text::plain("")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_and_nothing_older() {
        let text = [
            "no", "yes", "on", "off", "1_000", "0b1", "1:30", ".inf", "e3", ".", "-", "0x", "1e", "+-5",
            "1.2.3",
        ];
        for plain in text {
            assert!(core_schema(plain).is_none(), "{plain} is text");
        }
        assert_eq!(core_schema("010"), Some(Value::Integer(10)));
        assert_eq!(core_schema("0x1F"), Some(Value::Integer(31)));
        assert_eq!(core_schema("-5"), Some(Value::Integer(-5)));
        assert_eq!(core_schema("1.5e3"), Some(Value::Float(1500.0)));
        assert_eq!(core_schema("1e400"), Some(Value::Float(f64::INFINITY)));
        assert_eq!(core_schema("99999999999999999999"), Some(Value::Huge));
        assert_eq!(core_schema("~"), Some(Value::Null));
    }
}
