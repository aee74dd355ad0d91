//! Rows of the outbox as events. Pure.
//!
//! An event's id is its row's, or made of it; its key stays beside the payload, so that sinks keep the order of each key.
//! What is not JSON, or nested deeper than a batch allows, is a text. A payload that was too large to be read is an event
//! that every lane dead-letters.

use std::collections::HashMap;

use pgcdc_sdk::layout::json::check;
use pgcdc_sdk::layout::writer::BodyDef;
use pgcdc_sdk::layout::{BatchWriter, ColumnDef, EventDef, Kind, Op, RelationDef, TypeDef, WriteError};
use pgcdc_sdk::object::quoted;
use pgcdc_sdk::{Error, Result, id};

use crate::table::PAYLOAD_BYTES_MAX;

/// One row, as the statement brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) operation: String,
    pub(crate) payload: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) created_us: Option<i64>,
    pub(crate) payload_bytes: Option<u64>,
}

impl Row {
    /// From the columns of the statement, behind the first.
    pub(crate) fn read(cells: &[Option<String>]) -> Result<Self> {
        let [Some(id), channel, operation, payload, key, created_us, bytes] = cells else {
            return Err(Error::gone("the outbox holds a row without an id"));
        };
        Ok(Self {
            id: id.clone(),
            channel: channel.clone().unwrap_or_default(),
            operation: operation.clone().unwrap_or_default(),
            payload: payload.clone(),
            key: key.clone(),
            created_us: created_us.as_ref().and_then(|us| us.parse().ok()),
            payload_bytes: bytes.as_ref().and_then(|bytes| bytes.parse().ok()),
        })
    }
}

/// What all events have in common.
pub(crate) struct Outbox<'a> {
    pub(crate) image: &'a str,
    pub(crate) channel_prefix: &'a str,
    pub(crate) detected_us: i64,
}

impl Outbox<'_> {
    /// The rows in their order, in as many batches as it takes: each with how many of them it has.
    pub(crate) fn batches(&self, rows: &[Row]) -> Result<Vec<(Vec<u8>, usize)>> {
        let mut batches = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let (batch, taken) = self.batch(rest)?;
            batches.push((batch, taken));
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(batches)
    }

    /// A batch of the first rows, and how many those are: one at least.
    fn batch(&self, rows: &[Row]) -> Result<(Vec<u8>, usize)> {
        const TEXT_OID: u32 = 25;
        let mut writer = BatchWriter::new();
        writer.detected_us(self.detected_us).source("outbox")?;
        let text = writer.add_type(&TypeDef::scalar(TEXT_OID, Kind::Text, "text"))?;
        let key = [ColumnDef { identity: true, primary: true, ..ColumnDef::new("key", text) }];
        let mut channels: HashMap<&str, u32> = HashMap::new();
        let mut taken = 0;
        for row in rows {
            let relation = match channels.get(row.channel.as_str()) {
                Some(relation) => *relation,
                None => {
                    let channel = [self.channel_prefix, &row.channel].concat();
                    let def = RelationDef { columns: &key, ..RelationDef::channel(&channel) };
                    let relation = writer.add_relation(&def)?;
                    channels.insert(&row.channel, relation);
                    relation
                }
            };
            match self.add(&mut writer, relation, row) {
                Err(WriteError::Full { .. }) if taken > 0 => break,
                done => done?,
            }
            taken += 1;
        }
        Ok((writer.finish(), taken))
    }

    fn add(&self, writer: &mut BatchWriter, relation: u32, row: &Row) -> Result<(), WriteError> {
        let (op, named) = match Op::from_name(&row.operation) {
            Some(op) => (op, String::new()),
            None if row.operation.is_empty() => (Op::Notify, String::new()),
            None => (Op::Named, format!("\"operation\":{}", quoted(&row.operation))),
        };
        let after = match &row.key {
            None => None,
            Some(key) => {
                let mut tuple = writer.tuple(1)?;
                tuple.value(key.as_bytes());
                Some(tuple.finish()?)
            }
        };
        let refused = row.refused();
        let particulars: Vec<&str> =
            [named.as_str(), &refused].into_iter().filter(|member| !member.is_empty()).collect();
        let particulars = match particulars.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", particulars.join(",")),
        };
        let body = match row.payload.as_deref() {
            None => BodyDef::Json("null"),
            Some(payload) if check::is_json(payload.as_bytes()) => BodyDef::Json(payload),
            Some(payload) => BodyDef::Text(payload),
        };
        let event = EventDef {
            id: self.id(row),
            after,
            body,
            particulars: &particulars,
            ..EventDef::new(op, relation)
        };
        writer.add_event(&event).map(drop)
    }

    /// The row's own id if that is a UUID, else one that is made of it.
    fn id(&self, row: &Row) -> [u8; 16] {
        id::parse_uuid(&row.id).unwrap_or_else(|| {
            let image = ["outbox", self.image, &row.id].join("\0");
            id::of_image(row.created_us.unwrap_or_default().div_euclid(1_000), image.as_bytes())
        })
    }
}

impl Row {
    /// Why it cannot be delivered; empty if it can.
    fn refused(&self) -> String {
        match (&self.payload, self.payload_bytes) {
            (None, Some(bytes)) => {
                let message = format!(
                    "the payload of the outbox row {} has {bytes} bytes, more than {PAYLOAD_BYTES_MAX}",
                    self.id
                );
                format!("\"refused\":{{\"code\":\"too-large\",\"message\":{}}}", quoted(&message))
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::layout::View;
    use pgcdc_sdk::{Batch, testing};

    fn row(id: &str, payload: &str) -> Row {
        Row {
            id: id.into(),
            channel: "orders".into(),
            operation: "paid".into(),
            payload: Some(payload.into()),
            key: Some("k".into()),
            created_us: Some(1_767_605_400_250_000),
            payload_bytes: Some(payload.len() as u64),
        }
    }

    fn outbox() -> Outbox<'static> {
        Outbox { image: "d\0s\0o", channel_prefix: "outbox.", detected_us: 0 }
    }

    fn printed(rows: &[Row]) -> Vec<pgcdc_sdk::config::Json> {
        let batches = outbox().batches(rows).unwrap();
        batches
            .iter()
            .flat_map(|(bytes, _)| testing::printed(&Batch::build(bytes).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn a_row_is_an_event_with_its_id_and_payload() {
        let uuid = "7a1c1b9e-32b5-4d4e-9d6f-0a5b6c7d8e9f";
        let number = Row { operation: String::new(), ..row("42", "plain") };
        let insert = Row { operation: "INSERT".into(), ..row("43", "null") };
        let events = printed(&[row(uuid, r#"{"a":1.10}"#), number.clone(), insert]);
        assert_eq!(events[0]["id"], uuid);
        assert_eq!(
            (&events[0]["channel"], &events[0]["operation"]),
            (&"outbox.orders".into(), &"paid".into())
        );
        assert_eq!(events[0]["payload"].to_string(), r#"{"a":1.1}"#);
        assert_eq!((&events[1]["payload"], &events[1]["operation"]), (&"plain".into(), &"NOTIFY".into()));
        assert_eq!((&events[2]["payload"], &events[2]["operation"]), (&().into(), &"INSERT".into()));
        let id = events[1]["id"].as_str().unwrap();
        assert!(id.starts_with("019b8d7d-f2ba-7"), "{id}: the row's time, version 7");
        assert_eq!(printed(&[number])[0]["id"], events[1]["id"], "the same row, the same id");
        assert_ne!(events[1]["id"], events[2]["id"]);
    }

    #[test]
    fn the_key_stays_beside_the_payload() {
        let rows = [row("1", "{}"), Row { key: None, ..row("2", "{}") }];
        let batches = outbox().batches(&rows).unwrap();
        let view = View::parse(&batches[0].0).unwrap();
        let keys: Vec<_> =
            view.events().map(|event| event.after().map(|row| format!("{:?}", row.get(0)))).collect();
        assert_eq!(keys, [Some("Value(\"k\")".to_owned()), None]);
        assert!(view.relation(0).unwrap().column(0).unwrap().primary());
    }

    #[test]
    fn what_was_too_large_to_be_read_is_refused_by_name() {
        let large = Row { payload: None, payload_bytes: Some(9_000_000), ..row("7", "") };
        let batches = outbox().batches(&[large]).unwrap();
        let view = View::parse(&batches[0].0).unwrap();
        let particulars = view.event(0).unwrap().particulars().to_owned();
        assert!(
            particulars
                .contains(r#""refused":{"code":"too-large","message":"the payload of the outbox row 7 has"#)
        );
        assert!(particulars.contains(r#""operation":"paid""#));
    }

    #[test]
    fn what_does_not_fit_goes_into_the_next_batch() {
        let large = format!("\"{}\"", "x".repeat(7 << 20));
        let rows: Vec<Row> = (0..20).map(|n| row(&n.to_string(), &large)).collect();
        let batches = outbox().batches(&rows).unwrap();
        assert!(batches.len() > 1);
        assert_eq!(batches.iter().map(|(_, taken)| taken).sum::<usize>(), 20);
    }
}
