//! Which of Debezium's types a column's type is mapped to, and what its schema says: as Debezium's connector for PostgreSQL
//! does it unless told otherwise (time.precision.mode = adaptive, interval.handling.mode = numeric). Pure.
//!
//! Without a mapping of its own a type is a text, as the server prints it: `money`, geometric types, ranges, composites.

use pgcdc_sdk::layout::{Kind, Type};
use pgcdc_sdk::object::quoted;

use crate::Decimal;

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Boolean,
    /// Of 16, 32 or 64 bits.
    Int(u8),
    Float,
    Double,
    /// A text as it is, or with a meaning.
    Text(Option<&'static str>),
    Bytes,
    /// One bit as a truth value.
    Bit,
    /// So many bits, or as many as there are.
    Bits(Option<u32>),
    /// With as many digits behind the point, of so many.
    Decimal {
        scale: i32,
        precision: u32,
    },
    VariableDecimal,
    Date,
    /// To the millisecond, or to the microsecond.
    Time {
        millis: bool,
    },
    ZonedTime,
    Timestamp {
        millis: bool,
    },
    ZonedTimestamp,
    Interval,
    Array(Box<Form>, u8),
}

const JSON: &str = "io.debezium.data.Json";

impl Form {
    pub(crate) fn of(ty: Option<Type<'_>>, typmod: i32, decimal: Decimal) -> Form {
        let Some(ty) = ty else { return Form::Text(None) };
        // Up to milliseconds; without a modifier there are microseconds.
        let millis = (0..=3).contains(&typmod);
        match ty.oid() {
            16 => Form::Boolean,
            21 => Form::Int(16),
            23 => Form::Int(32),
            20 | 26 => Form::Int(64),
            700 => Form::Float,
            701 => Form::Double,
            17 => Form::Bytes,
            114 | 3802 => Form::Text(Some(JSON)),
            142 => Form::Text(Some("io.debezium.data.Xml")),
            2950 => Form::Text(Some("io.debezium.data.Uuid")),
            1082 => Form::Date,
            1083 => Form::Time { millis },
            1266 => Form::ZonedTime,
            1114 => Form::Timestamp { millis },
            1184 => Form::ZonedTimestamp,
            1186 => Form::Interval,
            1560 if typmod == 1 => Form::Bit,
            1560 | 1562 => Form::Bits(u32::try_from(typmod).ok()),
            1700 => Self::numeric(typmod, decimal),
            _ => match (ty.kind(), ty.element()) {
                (Kind::Array, Some(element)) if ty.delimiter() != b' ' => {
                    Form::Array(Box::new(Form::of(Some(element), typmod, decimal)), ty.delimiter())
                }
                (Kind::Bool, _) => Form::Boolean,
                (Kind::Json, _) => Form::Text(Some(JSON)),
                _ => Form::Text(None),
            },
        }
    }

    fn numeric(typmod: i32, decimal: Decimal) -> Form {
        match decimal {
            Decimal::Double => Form::Double,
            Decimal::String => Form::Text(None),
            Decimal::Precise if typmod < 4 => Form::VariableDecimal,
            Decimal::Precise => {
                let packed = (typmod - 4).cast_unsigned();
                // Eleven bits, with a sign since PostgreSQL 15.
                let scale = ((packed & 0x7ff) ^ 0x400).cast_signed() - 0x400;
                Form::Decimal { scale, precision: packed >> 16 & 0xffff }
            }
        }
    }

    /// The schema's members but for the field's name, without braces.
    pub(crate) fn schema(&self, optional: bool) -> String {
        let (ty, name, more) = match self {
            Form::Boolean | Form::Bit => ("boolean", None, String::new()),
            Form::Int(bits) => return plain(&format!("int{bits}"), optional),
            Form::Float => ("float", None, String::new()),
            Form::Double => ("double", None, String::new()),
            Form::Text(name) => ("string", *name, String::new()),
            Form::Bytes => ("bytes", None, String::new()),
            Form::Bits(bits) => {
                let length = bits.unwrap_or(i32::MAX.cast_unsigned());
                ("bytes", Some("io.debezium.data.Bits"), parameters(&[("length", length.to_string())]))
            }
            Form::Decimal { scale, precision } => {
                let said =
                    [("scale", scale.to_string()), ("connect.decimal.precision", precision.to_string())];
                ("bytes", Some("org.apache.kafka.connect.data.Decimal"), parameters(&said))
            }
            Form::VariableDecimal => {
                let fields = r#","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}]"#;
                ("struct", Some("io.debezium.data.VariableScaleDecimal"), fields.to_owned())
            }
            Form::Date => ("int32", Some("io.debezium.time.Date"), String::new()),
            Form::Time { millis: true } => ("int32", Some("io.debezium.time.Time"), String::new()),
            Form::Time { millis: false } => ("int64", Some("io.debezium.time.MicroTime"), String::new()),
            Form::ZonedTime => ("string", Some("io.debezium.time.ZonedTime"), String::new()),
            Form::Timestamp { millis: true } => ("int64", Some("io.debezium.time.Timestamp"), String::new()),
            Form::Timestamp { millis: false } => {
                ("int64", Some("io.debezium.time.MicroTimestamp"), String::new())
            }
            Form::ZonedTimestamp => ("string", Some("io.debezium.time.ZonedTimestamp"), String::new()),
            Form::Interval => ("int64", Some("io.debezium.time.MicroDuration"), String::new()),
            Form::Array(element, _) => ("array", None, format!(",\"items\":{{{}}}", element.schema(true))),
        };
        let name = name.map(|name| format!(",\"name\":\"{name}\",\"version\":1")).unwrap_or_default();
        plain(ty, optional) + &name + &more
    }
}

fn plain(ty: &str, optional: bool) -> String {
    format!("\"type\":\"{ty}\",\"optional\":{optional}")
}

fn parameters(said: &[(&str, String)]) -> String {
    let said: Vec<String> =
        said.iter().map(|(name, value)| format!("{}:\"{value}\"", quoted(name))).collect();
    format!(",\"parameters\":{{{}}}", said.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modifier_of_a_numeric_is_precision_and_scale() {
        let of = |typmod| Form::numeric(typmod, Decimal::Precise);
        assert_eq!(of((10 << 16 | 2) + 4), Form::Decimal { scale: 2, precision: 10 });
        assert_eq!(
            of((3 << 16 | (-2_i32).cast_unsigned().cast_signed() & 0x7ff) + 4),
            Form::Decimal { scale: -2, precision: 3 }
        );
        assert_eq!(of(-1), Form::VariableDecimal);
        assert_eq!(Form::numeric(-1, Decimal::String), Form::Text(None));
    }
}
