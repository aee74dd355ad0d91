//! What Kafka Connect's JSON converter says of the payload beside it. Pure.

use pgcdc_sdk::object::quoted;

use crate::types::Form;
use crate::values::Table;

const TIMES: &str = r#"{"type":"int64","optional":true,"field":"ts_ms"},{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}"#;
const OP: &str = r#"{"type":"string","optional":false,"field":"op"}"#;
const SOURCE: &str = r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},{"type":"string","optional":false,"field":"schema"},{"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},{"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"}],"optional":false,"name":"io.debezium.connector.postgresql.Source","field":"source"}"#;
const TRANSACTION: &str = r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":false,"field":"total_order"},{"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"name":"event.block","version":1,"field":"transaction"}"#;
const MESSAGE: &str = r#"{"type":"struct","fields":[{"type":"string","optional":true,"field":"prefix"},{"type":"bytes","optional":true,"field":"content"}],"optional":false,"name":"io.debezium.connector.postgresql.Message","field":"message"}"#;

/// What a transaction's beginning and end say.
pub(crate) const MARKER: &str = r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"event_count"},{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"data_collections"},{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"name":"io.debezium.connector.common.TransactionMetadataValue","version":1}"#;

/// The envelope of a table's changes; of rows of which no columns are known they are JSON texts.
pub(crate) fn envelope(name: &str, table: Option<&Table<'_>>) -> String {
    let side = |side: &str| match table {
        Some(table) => {
            let value = quoted(&format!("{name}.Value"));
            let fields: Vec<String> = table.columns.iter().map(field).collect();
            let fields = fields.join(",");
            format!(
                "{{\"type\":\"struct\",\"fields\":[{fields}],\"optional\":true,\"name\":{value},\"field\":\"{side}\"}}"
            )
        }
        None => {
            format!("{{{},\"field\":\"{side}\"}}", Form::Text(Some("io.debezium.data.Json")).schema(true))
        }
    };
    let (before, after, envelope) = (side("before"), side("after"), quoted(&format!("{name}.Envelope")));
    format!(
        "{{\"type\":\"struct\",\"fields\":[{before},{after},{SOURCE},{TRANSACTION},{OP},{TIMES}],\"optional\":false,\
         \"name\":{envelope},\"version\":2}}"
    )
}

/// The envelope of a logical message.
pub(crate) fn message() -> String {
    format!(
        "{{\"type\":\"struct\",\"fields\":[{SOURCE},{TRANSACTION},{OP},{TIMES},{MESSAGE}],\"optional\":false,\
         \"name\":\"io.debezium.connector.postgresql.MessageValue\",\"version\":1}}"
    )
}

fn field(column: &crate::values::Column<'_>) -> String {
    let said = column.form.as_ref().unwrap_or(&Form::Text(None)).schema(!column.key);
    format!("{{{said},\"field\":{}}}", quoted(column.name))
}

/// A name as Avro allows it: whatever else is in it becomes an underscore.
pub(crate) fn name(parts: &[&str]) -> String {
    let clean = |part: &&str| -> String {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let clean: String = part.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
        if clean.starts_with(|first: char| first.is_ascii_digit()) { format!("_{clean}") } else { clean }
    };
    parts.iter().filter(|part| !part.is_empty()).map(clean).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_avro_allows() {
        assert_eq!(name(&["shop-1", "public", "1 order"]), "shop_1.public._1_order");
        assert_eq!(name(&["shop", "", "pgcdc:paid"]), "shop.pgcdc_paid");
    }

    #[test]
    fn what_is_said_is_json() {
        for schema in [envelope("a.b.c", None), message(), MARKER.to_owned()] {
            assert!(serde_json::from_str::<serde_json::Value>(&schema).is_ok(), "{schema}");
        }
    }
}
