//! The payload as a whole.
//!
//! Of a table's change the two sides of the row; of a payload as a trigger makes it `old` and `row`; of a logical message
//! its prefix and content; of a transaction's beginning and end what Debezium puts into its transaction topic. Of anything
//! else `after` is the payload, whatever that was. `op` is c, u, d, r, t or m where it means that, and otherwise
//! the operation's first letter, or c if that letter means something else.

use std::rc::Rc;

use pgcdc_sdk::columns::is_row_event;
use pgcdc_sdk::layout::json::{Encoder, write_base64, write_string};
use pgcdc_sdk::layout::{Body, Event, Op};
use pgcdc_sdk::object::Object;
use pgcdc_sdk::payload;
use pgcdc_sdk::{Error, Result};

use crate::values::Table;
use crate::{Debezium, schema, source};

/// Makes the payloads of one batch.
pub(crate) struct Writer<'d, 'a> {
    of: &'d Debezium,
    /// By the relation's index.
    shapes: Vec<Option<Rc<Shape<'a>>>>,
}

/// What all events of a relation have in common.
struct Shape<'a> {
    table: Table<'a>,
    /// What comes before the payload.
    schema: Option<String>,
}

impl<'d, 'a> Writer<'d, 'a> {
    pub(crate) fn new(of: &'d Debezium) -> Self {
        Self { of, shapes: Vec::new() }
    }

    fn shape(&mut self, event: &Event<'a>) -> Result<Rc<Shape<'a>>> {
        let relation = event.relation().ok_or_else(|| Error::invalid("an event without a relation"))?;
        let index = relation.index() as usize;
        if self.shapes.len() <= index {
            self.shapes.resize_with(index + 1, || None);
        }
        if let Some(Some(shape)) = self.shapes.get(index) {
            return Ok(Rc::clone(shape));
        }
        let table = Table::new(&relation, self.of);
        let schema = self.of.options.schema.then(|| {
            let name = self.name(relation.schema(), relation.name());
            schema::envelope(&name, Some(&table))
        });
        let shape = Rc::new(Shape { table, schema });
        self.shapes[index] = Some(Rc::clone(&shape));
        Ok(shape)
    }

    fn name(&self, schema: &str, table: &str) -> String {
        schema::name(&[&self.of.options.connector_name, schema, table])
    }

    /// A change of a table's rows.
    fn change(&mut self, out: &mut Vec<u8>, event: &Event<'a>) -> Result<()> {
        let shape = self.shape(event)?;
        open(out, shape.schema.as_deref());
        let unavailable = &self.of.options.unavailable_value;
        let (before, after) = match event.op() {
            Op::Truncate => (None, None),
            Op::Delete => (event.raw_before(), None),
            Op::Update => (event.raw_before(), event.raw_after()),
            _ => (None, event.raw_after()),
        };
        out.extend_from_slice(b"{\"before\":");
        shape.table.write(out, before, unavailable)?;
        out.extend_from_slice(b",\"after\":");
        shape.table.write(out, after, unavailable)?;
        let (schema, table) = event.relation().map_or(("", ""), |of| (of.schema(), of.name()));
        self.finish(out, event, schema, table, op(event.op()).unwrap_or("c"));
        Ok(())
    }

    /// A free-form payload: JSON text. `row`: it is what a trigger makes of a change.
    fn free_form(&self, out: &mut Vec<u8>, event: &Event<'a>, payload: &str) {
        let row = Object::parse(payload).filter(is_row_event);
        let text = |key: &str| row.as_ref().and_then(|row| row.text(key));
        let (schema, table) = match &row {
            Some(_) => {
                (text("schema").unwrap_or_else(|| "public".to_owned()), text("table").unwrap_or_default())
            }
            None => ("public".to_owned(), String::new()),
        };
        let side = |key: &str| row.as_ref().and_then(|row| row.get(key)).unwrap_or("null");
        let (before, after) = match (&row, text("op").as_deref()) {
            (None, _) => ("null", payload),
            (Some(_), Some("DELETE")) => (side("row"), "null"),
            (Some(_), Some("UPDATE")) => (side("old"), side("row")),
            (Some(_), _) => ("null", side("row")),
        };
        let operation = match &row {
            Some(_) => text("op").unwrap_or_default(),
            None => payload::operation(event).into_owned(),
        };
        let known = Op::from_name(&operation).filter(|_| row.is_some()).and_then(op);
        let letter = known.map_or_else(|| first_letter(&operation), str::to_owned);
        let named = if table.is_empty() { event.channel() } else { table.as_str() };
        let said = self.of.options.schema.then(|| {
            let of_schema = if table.is_empty() { "" } else { schema.as_str() };
            schema::envelope(&self.name(of_schema, named), None)
        });
        open(out, said.as_deref());
        out.extend_from_slice(b"{\"before\":");
        self.write_json(out, before);
        out.extend_from_slice(b",\"after\":");
        self.write_json(out, after);
        self.finish(out, event, &schema, &table, &letter);
    }

    /// JSON; where a schema promises a text, as a text.
    fn write_json(&self, out: &mut Vec<u8>, json: &str) {
        if self.of.options.schema && json != "null" {
            write_string(out, json.as_bytes());
        } else {
            out.extend_from_slice(json.as_bytes());
        }
    }

    /// What comes behind `after`.
    fn finish(&self, out: &mut Vec<u8>, event: &Event<'a>, schema: &str, table: &str, op: &str) {
        out.extend_from_slice(b",\"source\":");
        source::write_source(out, self.of, event, schema, table);
        out.extend_from_slice(b",\"transaction\":");
        source::write_transaction(out, event);
        out.extend_from_slice(b",\"op\":");
        write_string(out, op.as_bytes());
        source::write_times(out, event);
        out.push(b'}');
    }

    fn message(&self, out: &mut Vec<u8>, event: &Event<'a>, message: &Object<'_>) {
        open(out, self.of.options.schema.then(schema::message).as_deref());
        out.extend_from_slice(b"{\"source\":");
        source::write_source(out, self.of, event, "", "");
        out.extend_from_slice(b",\"transaction\":");
        source::write_transaction(out, event);
        out.extend_from_slice(b",\"op\":\"m\"");
        source::write_times(out, event);
        out.extend_from_slice(b",\"message\":{\"prefix\":");
        out.extend_from_slice(message.get("prefix").unwrap_or("null").as_bytes());
        out.extend_from_slice(b",\"content\":");
        match (message.text("content"), message.text("encoding").as_deref()) {
            (Some(content), Some("base64")) => write_string(out, content.as_bytes()),
            (Some(content), _) => write_base64(out, content.as_bytes()),
            (None, _) => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}}");
    }

    fn marker(&self, out: &mut Vec<u8>, event: &Event<'a>, marker: &Object<'_>) {
        let status = if event.op() == Op::Begin { "BEGIN" } else { "END" };
        let id = source::transaction_id(event);
        let id = id.or_else(|| Some(marker.get("xid")?.to_owned())).unwrap_or_default();
        open(out, self.of.options.schema.then_some(schema::MARKER));
        out.extend_from_slice(format!("{{\"status\":\"{status}\",\"id\":").as_bytes());
        write_string(out, id.as_bytes());
        let count = marker.get("event_count").unwrap_or("null");
        let at_us = payload::committed_us(event).unwrap_or_else(|| event.view().detected_us());
        let rest = format!(
            ",\"event_count\":{count},\"data_collections\":null,\"ts_ms\":{}}}",
            at_us.div_euclid(1_000)
        );
        out.extend_from_slice(rest.as_bytes());
    }
}

impl<'a> Writer<'_, 'a> {
    /// Writes the payload of an event; `old` prints its own.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event<'a>,
        old: &mut Encoder<'a>,
    ) -> Result<()> {
        let object = match event.body() {
            Body::Json(body) => Object::parse(body),
            _ => None,
        };
        match (event.op(), event.body(), object) {
            (op, Body::None, _) if op.is_row() => self.change(out, event)?,
            (Op::Message, _, Some(message)) => self.message(out, event, &message),
            (Op::Begin | Op::Commit, _, Some(marker)) => self.marker(out, event, &marker),
            _ => {
                let mut payload = Vec::new();
                old.payload(&mut payload, event).map_err(Error::too_large)?;
                self.free_form(out, event, std::str::from_utf8(&payload)?);
            }
        }
        if self.of.options.schema {
            out.push(b'}');
        }
        Ok(())
    }
}

/// What comes before the payload, if there is to be a schema.
fn open(out: &mut Vec<u8>, schema: Option<&str>) {
    if let Some(schema) = schema {
        out.extend_from_slice(b"{\"schema\":");
        out.extend_from_slice(schema.as_bytes());
        out.extend_from_slice(b",\"payload\":");
    }
}

/// What Debezium calls it.
fn op(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::Insert => "c",
        Op::Update => "u",
        Op::Delete => "d",
        Op::Snapshot => "r",
        Op::Truncate => "t",
        Op::Message => "m",
        _ => return None,
    })
}

/// Of an operation that Debezium does not have: its first letter, unless that would say something else.
fn first_letter(operation: &str) -> String {
    let first: String = operation.chars().take(1).flat_map(char::to_lowercase).collect();
    if ["", "c", "u", "d", "r", "t", "m"].contains(&first.as_str()) { "c".to_owned() } else { first }
}
