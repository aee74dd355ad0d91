//! Rows as JSON objects, in whatever types were asked for.

use pgcdc_sdk::layout::json::{check, write_base64, write_cell, write_string};
use pgcdc_sdk::layout::{Cell, RawTuple, Relation, Type};
use pgcdc_sdk::{Error, Result};

use crate::decimal;
use crate::list;
use crate::time;
use crate::types::Form;
use crate::{Debezium, Types};

/// The columns of a table, and how each is written.
pub(crate) struct Table<'a> {
    pub(crate) columns: Vec<Column<'a>>,
}

pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: bool,
    /// None: as `row_to_json` has it.
    pub(crate) form: Option<Form>,
    ty: Option<Type<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(relation: &Relation<'a>, of: &Debezium) -> Self {
        let form = |column: &pgcdc_sdk::layout::Column<'a>| match of.types {
            Types::Row => None,
            Types::Debezium => Some(Form::of(column.ty(), column.typmod(), of.options.decimal)),
        };
        let columns = relation.columns().map(|column| Column {
            name: column.name(),
            key: column.primary(),
            form: form(&column),
            ty: column.ty(),
        });
        Self { columns: columns.collect() }
    }

    /// A row, or null.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        row: Option<RawTuple<'_>>,
        unavailable: &str,
    ) -> Result<()> {
        let Some(row) = row else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        let mut opening = b'{';
        for (column, cell) in self.columns.iter().zip(row.iter()) {
            out.push(opening);
            opening = b',';
            write_string(out, column.name.as_bytes());
            out.push(b':');
            match cell {
                Cell::Null | Cell::Absent => out.extend_from_slice(b"null"),
                Cell::Unchanged => column.write_unavailable(out, unavailable),
                Cell::Value(text) => column.write(out, text)?,
            }
        }
        if opening == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }
}

impl Column<'_> {
    fn write(&self, out: &mut Vec<u8>, text: &[u8]) -> Result<()> {
        match (&self.form, self.ty) {
            (Some(form), _) => {
                let start = out.len();
                let text = std::str::from_utf8(text)?;
                if write_value(out, form, text).is_some() {
                    return Ok(());
                }
                out.truncate(start);
                Err(Error::unsupported(format!(
                    "the column {} has a value that Debezium's type for it has no room for; use `types: row`, or \
                     `decimal: string` for a numeric",
                    self.name
                )))
            }
            (None, Some(ty)) => {
                write_cell(out, &ty, text);
                Ok(())
            }
            (None, None) => {
                write_string(out, text);
                Ok(())
            }
        }
    }

    /// As bytes where there would be bytes, in a list where there would be one.
    fn write_unavailable(&self, out: &mut Vec<u8>, unavailable: &str) {
        match &self.form {
            Some(Form::Bytes | Form::Bits(_) | Form::Decimal { .. }) => {
                write_base64(out, unavailable.as_bytes());
            }
            Some(Form::Array(..)) => {
                out.push(b'[');
                write_string(out, unavailable.as_bytes());
                out.push(b']');
            }
            _ => write_string(out, unavailable.as_bytes()),
        }
    }
}

/// None if the value has no place in that form.
fn write_value(out: &mut Vec<u8>, form: &Form, text: &str) -> Option<()> {
    match form {
        Form::Boolean => match text {
            "t" => out.extend_from_slice(b"true"),
            "f" => out.extend_from_slice(b"false"),
            _ => return None,
        },
        Form::Bit => out.extend_from_slice(if text == "1" { b"true" } else { b"false" }),
        Form::Int(_) => whole(out, text.parse().ok())?,
        // JSON has no NaN and no infinity: a text, as Jackson has it.
        Form::Float | Form::Double if check::is_number(text.as_bytes()) => {
            out.extend_from_slice(text.as_bytes())
        }
        Form::Float | Form::Double | Form::Text(_) => write_string(out, text.as_bytes()),
        Form::Bytes => write_base64(out, &unhex(text.strip_prefix("\\x")?)?),
        Form::Bits(_) => write_base64(out, &little_endian(text)?),
        Form::Decimal { scale, .. } => decimal::write_unscaled(out, text, *scale)?,
        Form::VariableDecimal => {
            let scale = decimal::scale(text);
            out.extend_from_slice(format!("{{\"scale\":{scale},\"value\":").as_bytes());
            decimal::write_unscaled(out, text, scale)?;
            out.push(b'}');
        }
        Form::Date => whole(out, time::date_days(text).filter(|days| i32::try_from(*days).is_ok()))?,
        Form::Time { millis } => {
            whole(out, time::time_us(text).map(|us| if *millis { us / 1_000 } else { us }))?
        }
        Form::Timestamp { millis } => {
            whole(out, time::timestamp_us(text).map(|us| if *millis { us.div_euclid(1_000) } else { us }))?;
        }
        Form::ZonedTime => write_string(out, time::zoned_time(text)?.as_bytes()),
        Form::ZonedTimestamp => write_string(out, time::instant(text).as_bytes()),
        Form::Interval => whole(out, time::interval_us(text))?,
        Form::Array(element, delimiter) => {
            let mut each = |out: &mut Vec<u8>, value: Option<&str>| match value {
                Some(value) => write_value(out, element, value),
                None => {
                    out.extend_from_slice(b"null");
                    Some(())
                }
            };
            list::write(out, text, char::from(*delimiter), &mut each)?;
        }
    }
    Some(())
}

fn whole(out: &mut Vec<u8>, number: Option<i64>) -> Option<()> {
    out.extend_from_slice(number?.to_string().as_bytes());
    Some(())
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok());
    if rest.is_empty() { bytes.collect() } else { None }
}

/// `101` as the byte 5; the byte with the lowest bits comes first.
fn little_endian(bits: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (at, bit) in bits.bytes().rev().enumerate() {
        match bit {
            b'0' => {}
            b'1' => *bytes.get_mut(at / 8)? |= 1 << (at % 8),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: &Form, text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_value(&mut out, form, text)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn values_are_as_debezium_maps_them() {
        let cases = [
            (Form::Boolean, "t", "true"),
            (Form::Int(64), "-9223372036854775808", "-9223372036854775808"),
            (Form::Double, "1e-05", "1e-05"),
            (Form::Double, "NaN", "\"NaN\""),
            (Form::Bytes, "\\x00ff", "\"AP8=\""),
            (Form::Bit, "1", "true"),
            (Form::Bits(Some(9)), "100000101", "\"BQE=\""),
            (Form::Decimal { scale: 2, precision: 10 }, "123.45", "\"MDk=\""),
            (Form::VariableDecimal, "123.45", "{\"scale\":2,\"value\":\"MDk=\"}"),
            (Form::Date, "2026-01-05", "20458"),
            (Form::Time { millis: true }, "09:30:00.25", "34200250"),
            (Form::Timestamp { millis: false }, "1970-01-01 00:00:01.5", "1500000"),
            (Form::Timestamp { millis: true }, "1970-01-01 00:00:01.5", "1500"),
            (Form::ZonedTimestamp, "2026-01-05 09:30:00+00", "\"2026-01-05T09:30:00Z\""),
            (Form::Array(Box::new(Form::Date), b','), "{1970-01-02,NULL}", "[1,null]"),
            (Form::Text(None), "a\"b", "\"a\\\"b\""),
        ];
        for (form, text, expected) in cases {
            assert_eq!(written(&form, text).as_deref(), Some(expected), "{form:?}");
        }
        let decimal = Form::Decimal { scale: 2, precision: 10 };
        for (form, text) in
            [(decimal, "NaN"), (Form::Date, "infinity"), (Form::Bytes, "x"), (Form::Int(16), "a")]
        {
            assert_eq!(written(&form, text), None, "{form:?}");
        }
    }
}
