//! A letter as a row of the table, and back. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgcdc_sdk::dlq::Letter;
use pgcdc_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the table keeps of a letter's meta.
#[derive(Debug, Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    adapter: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    position: String,
    transform: Option<String>,
    #[serde(borrow)]
    named: Option<&'a RawValue>,
}

/// A letter as the statement reads it.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    letter: String,
    event_id: String,
    adapter: String,
    error: String,
    channel: String,
    position: String,
    transform: Option<String>,
    payload: Option<&'a RawValue>,
    named: Option<&'a RawValue>,
    /// In base64.
    rows: Option<String>,
}

impl<'a> Row<'a> {
    /// `with_payload`: the envelope goes along, for people with SQL. It is in `rows`, too, and a server may not
    /// take it as jsonb: a zero character, or a number beyond all bounds.
    pub(crate) fn of(letter: &'a Letter, with_payload: bool) -> Result<Self> {
        let meta: Meta<'a> = serde_json::from_str(&letter.meta)
            .map_err(|error| Error::invalid(format!("a letter's meta: {error}")))?;
        Ok(Self {
            letter: clean(&letter.id),
            event_id: clean(&meta.event_id),
            adapter: clean(&meta.adapter),
            error: clean(&meta.error),
            channel: clean(&meta.channel),
            position: clean(&meta.position),
            transform: meta.transform.as_deref().map(clean),
            payload: meta.event.filter(|event| with_payload && event.get() != "null"),
            named: meta.named.filter(|_| with_payload),
            rows: (!letter.rows.is_empty()).then(|| STANDARD.encode(&letter.rows)),
        })
    }
}

/// A PostgreSQL text has no zero character.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What a letter says, as the host reads it.
#[derive(Serialize)]
struct Said<'a> {
    event: Option<&'a RawValue>,
    event_id: &'a str,
    channel: &'a str,
    position: &'a str,
    adapter: &'a str,
    transform: Option<&'a str>,
    error: &'a str,
    timestamp: &'a str,
    created_at: &'a str,
    replayed_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    named: Option<&'a RawValue>,
}

/// The columns that [`letter`] reads, as text.
pub(crate) const COLUMNS: &str = "letter, event_id, adapter, error, channel, position, transform, \
    payload::text, named::text, \
    to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
    to_char(replayed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

/// The letter of a row: [`COLUMNS`], then `rows` in base64.
pub(crate) fn letter(row: &[Option<String>]) -> Result<Letter> {
    read(row).ok_or_else(|| Error::invalid("the table holds a row that pgcdc did not write"))
}

fn read(row: &[Option<String>]) -> Option<Letter> {
    let text = |at: usize| row.get(at)?.as_deref();
    let raw =
        |at: usize| -> Option<Option<&RawValue>> { text(at).map(serde_json::from_str).transpose().ok() };
    let said = Said {
        event: raw(7)?,
        event_id: text(1)?,
        channel: text(4).unwrap_or_default(),
        position: text(5).unwrap_or_default(),
        adapter: text(2)?,
        transform: text(6),
        error: text(3)?,
        timestamp: text(9)?,
        created_at: text(9)?,
        replayed_at: text(10),
        named: raw(8)?,
    };
    Some(Letter {
        id: text(0)?.to_owned(),
        meta: serde_json::to_string(&said).ok()?,
        rows: STANDARD.decode(text(11).unwrap_or_default()).ok()?,
    })
}
