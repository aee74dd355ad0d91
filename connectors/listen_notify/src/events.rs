//! Notifications as events. Pure.
//!
//! A payload that is a JSON object stays as it is, and its `op`, if it is a text with anything in it, names the
//! operation. Any other payload is a text, JSON or not. None has a position, and the ids are the host's to draw.

use std::collections::HashMap;

use pgcdc_sdk::Result;
use pgcdc_sdk::layout::spec::FLAG_ORDERED;
use pgcdc_sdk::layout::writer::BodyDef;
use pgcdc_sdk::layout::{BatchWriter, EventDef, Op, RelationDef, WriteError};
use pgcdc_sdk::object::{Object, quoted};
use pgcdc_sdk::postgres::Notification;

/// The notifications in their order, in as many batches as it takes.
pub(crate) fn batches(heard: &[Notification], detected_us: i64) -> Result<Vec<Vec<u8>>> {
    let mut batches = Vec::new();
    let mut rest = heard;
    while !rest.is_empty() {
        let (batch, taken) = batch(rest, detected_us)?;
        batches.push(batch);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(batches)
}

/// A batch of the first notifications, and how many those are: one at least.
fn batch(heard: &[Notification], detected_us: i64) -> Result<(Vec<u8>, usize)> {
    let mut writer = BatchWriter::new();
    writer.flags(FLAG_ORDERED).detected_us(detected_us).source("listen_notify")?;
    let mut channels: HashMap<&str, u32> = HashMap::new();
    let mut taken = 0;
    for notification in heard {
        let relation = match channels.get(notification.channel.as_str()) {
            Some(relation) => *relation,
            None => {
                let relation = writer.add_relation(&RelationDef::channel(&notification.channel))?;
                channels.insert(&notification.channel, relation);
                relation
            }
        };
        match add(&mut writer, relation, &notification.payload) {
            Err(WriteError::Full { .. }) if taken > 0 => break,
            done => done?,
        }
        taken += 1;
    }
    Ok((writer.finish(), taken))
}

fn add(writer: &mut BatchWriter, relation: u32, payload: &str) -> Result<(), WriteError> {
    let object = Object::parse(payload);
    let named = object.as_ref().and_then(|object| object.text("op")).filter(|op| !op.is_empty());
    let (op, particulars) = match named {
        None => (Op::Notify, String::new()),
        Some(name) => match Op::from_name(&name) {
            Some(op) => (op, String::new()),
            None => (Op::Named, format!("{{\"operation\":{}}}", quoted(&name))),
        },
    };
    let body = if object.is_some() { BodyDef::Json(payload) } else { BodyDef::Text(payload) };
    let event = EventDef { body, particulars: &particulars, ..EventDef::new(op, relation) };
    match writer.add_event(&event) {
        // Nested deeper than a batch allows.
        Err(WriteError::NotJson { .. }) => {
            let body = BodyDef::Text(payload);
            writer.add_event(&EventDef { body, ..EventDef::new(Op::Notify, relation) }).map(drop)
        }
        added => added.map(drop),
    }
}
