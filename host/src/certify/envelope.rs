//! From a line that a sink has taken to a delivery. Pure.

use pgcdc_core::order_key::OrderKey;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::history::{Delivery, Kind, RowName, Table, Tag};

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    operation: String,
    #[serde(borrow)]
    payload: Payload<'a>,
    position: String,
}

#[derive(Deserialize)]
struct Payload<'a> {
    table: Option<String>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Row {
    writer: i64,
    key: i64,
    version: Option<i64>,
}

#[derive(Deserialize)]
struct OldRow {
    key: Option<i64>,
}

/// Reads one envelope. The error says what is wrong with it, without its content.
pub(crate) fn read(line: &[u8], life: u32) -> Result<Delivery, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(line).map_err(|e| format!("{} bytes are no envelope: {e}", line.len()))?;
    let id = u128::from_str_radix(&envelope.id.replace('-', ""), 16)
        .map_err(|_| format!("the id {:?} is no UUID", envelope.id))?;
    let position = OrderKey::from_hex(&envelope.position).map_err(|e| format!("the position: {e}"))?;
    let payload = &envelope.payload;
    let old = payload.old.and_then(|old| serde_json::from_str::<OldRow>(old.get()).ok());
    Ok(Delivery {
        id,
        position,
        life,
        tag: tag(&envelope),
        row: payload.row.map(|row| row.get().into()),
        old_key: old.and_then(|old| old.key),
        unanswered: false,
    })
}

fn tag(envelope: &Envelope<'_>) -> Option<Tag> {
    let payload = &envelope.payload;
    let table = Table::ALL.into_iter().find(|table| payload.table.as_deref() == Some(table.name()))?;
    let row: Row = serde_json::from_str(payload.row?.get()).ok()?;
    let kind = match envelope.operation.as_str() {
        "INSERT" => Kind::Insert,
        "UPDATE" => Kind::Update,
        "DELETE" => Kind::Delete,
        _ => return None,
    };
    let version = match (table, kind) {
        (Table::Keyed, Kind::Delete) => 0,
        _ => row.version?,
    };
    Some(Tag { row: RowName { table, writer: row.writer, key: row.key }, version, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"01a203a7-cd9c-7a46-af52-ca3ad3ffb5eb","channel":"pgcdc:full_rows","operation":"UPDATE",
        "payload":{"op":"UPDATE","table":"full_rows","row":{"writer":1,"key":7,"version":9,"note":"x"},"old":{"writer":1,"key":5,"version":8}},
        "source":"wal_replication","created_at":"2026-11-22T14:27:38.529142Z","position":"0000000001527cb802000000000152701000000001"}"#;

    #[test]
    fn an_envelope_shows_its_change() {
        let delivery = read(LINE.as_bytes(), 3).unwrap();
        let row = RowName { table: Table::Full, writer: 1, key: 7 };
        assert_eq!(delivery.tag, Some(Tag { row, version: 9, kind: Kind::Update }));
        assert_eq!((delivery.old_key, delivery.life), (Some(5), 3));
        assert_eq!(delivery.row.as_deref(), Some(r#"{"writer":1,"key":7,"version":9,"note":"x"}"#));
        assert_eq!(crate::certify::history::commit_lsn(&delivery.position).0, 0x152_7cb8);
        let delete = LINE.replace("full_rows", "keyed_rows").replace("UPDATE", "DELETE");
        assert_eq!(read(delete.as_bytes(), 1).unwrap().tag.map(|tag| tag.version), Some(0));
    }

    #[test]
    fn what_is_no_change_of_ours_has_no_tag_and_what_is_cut_is_no_envelope() {
        assert_eq!(read(LINE.replace("full_rows", "orders").as_bytes(), 1).unwrap().tag, None);
        assert_eq!(read(LINE.replace("UPDATE", "TRUNCATE").as_bytes(), 1).unwrap().tag, None);
        assert!(read(&LINE.as_bytes()[..LINE.len() - 2], 1).is_err());
        assert!(read(LINE.replace("01a2", "zzzz").as_bytes(), 1).is_err());
    }
}
