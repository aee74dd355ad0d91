//! The envelope: `id`, `channel`, `operation`, `payload`, `source`, `created_at`, `position`, `transaction`.

use core::fmt;

use super::check;
use super::plan::{ColumnPlan, Plan};
use super::text::{write_base64, write_hex, write_number, write_string, write_uuid};
use super::time::write_time;
use super::value::{Bounds, write_json, write_scalar, write_value};
use crate::spec::*;
use crate::view::{Body, Cell, Event, RawTuple, View};

/// A good limit for [`lines`]: four times the largest batch.
pub const LINES_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Payload keys that particulars cannot replace.
const STANDARD_KEYS: [&[u8]; 8] = [
    br#""op""#,
    br#""table""#,
    br#""schema""#,
    br#""row""#,
    br#""old""#,
    br#""_unchanged_toast_columns""#,
    br#""columns""#,
    br#""snapshot_id""#,
];

/// A batch as JSON would be too long: a small batch can mean a lot of it, since names are printed with every
/// value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The first event that does not fit.
    pub event: u32,
    /// The limit that was given, in bytes.
    pub bytes_max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the batch as JSON is longer than {} bytes, from event {} on", self.bytes_max, self.event)
    }
}

impl core::error::Error for TooLong {}

/// The events of a batch as JSON, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// The lines, each with its `\n`.
    pub bytes: Vec<u8>,
    /// Where the line of each event ends.
    pub ends: Vec<u32>,
}

/// Prints all events of a batch.
///
/// # Errors
/// `TooLong` if that takes more than `bytes_max`.
pub fn lines(view: &View<'_>, bytes_max: usize) -> Result<Lines, TooLong> {
    let mut encoder = Encoder::new(view, bytes_max.min(u32::MAX as usize));
    let mut lines = Lines { bytes: Vec::new(), ends: Vec::with_capacity(view.event_count()) };
    lines.bytes.reserve(view.bytes().len().saturating_mul(2).min(bytes_max));
    for event in view.events() {
        encoder.event(&mut lines.bytes, &event)?;
        lines.bytes.push(b'\n');
        lines.ends.push(lines.bytes.len() as u32);
    }
    Ok(lines)
}

/// Prints events of one batch.
#[derive(Debug)]
pub struct Encoder<'a> {
    view: View<'a>,
    plans: Vec<Option<Plan<'a>>>,
    plans_bytes: usize,
    /// From after the payload to before the position.
    origin: Vec<u8>,
    /// The last transaction that was printed, up to the sequence number.
    transaction: (u32, Vec<u8>),
    key: Vec<u8>,
    bytes_max: usize,
}

impl<'a> Encoder<'a> {
    /// For the events of this batch, into an output of at most `bytes_max`.
    pub fn new(view: &View<'a>, bytes_max: usize) -> Self {
        let mut origin = Vec::from(*br#","source":"#);
        write_string(&mut origin, view.source().as_bytes());
        origin.extend_from_slice(br#","created_at":""#);
        write_time(&mut origin, view.detected_us());
        origin.push(b'"');
        let mut plans = Vec::new();
        plans.resize_with(view.relation_count(), || None);
        let key = Vec::with_capacity(POSITION_BYTES_MAX);
        Encoder {
            view: *view,
            plans,
            plans_bytes: 0,
            origin,
            transaction: (NO_TX, Vec::new()),
            key,
            bytes_max,
        }
    }

    /// Appends an event of the batch, without a newline.
    ///
    /// # Errors
    /// `TooLong`; the output is as it was before then.
    pub fn event(&mut self, out: &mut Vec<u8>, event: &Event<'a>) -> Result<(), TooLong> {
        let start = out.len();
        self.plan(event);
        self.write_event(out, event);
        if out.len() >= self.bytes_max || self.plans_bytes > self.bytes_max {
            out.truncate(start);
            return Err(TooLong { event: event.index(), bytes_max: self.bytes_max });
        }
        Ok(())
    }

    /// Appends an event's payload alone, as its envelope has it.
    ///
    /// # Errors
    /// `TooLong`; the output is as it was before then.
    pub fn payload(&mut self, out: &mut Vec<u8>, event: &Event<'a>) -> Result<(), TooLong> {
        let start = out.len();
        self.plan(event);
        let plan = self.plans.get(event.relation_index() as usize).and_then(Option::as_ref);
        write_payload(out, plan, event, self.bytes_max);
        if out.len() >= self.bytes_max || self.plans_bytes > self.bytes_max {
            out.truncate(start);
            return Err(TooLong { event: event.index(), bytes_max: self.bytes_max });
        }
        Ok(())
    }

    /// Makes the plan of an event's relation, if there is none yet.
    fn plan(&mut self, event: &Event<'a>) {
        let Some(place @ None) = self.plans.get_mut(event.relation_index() as usize) else { return };
        if let Some(relation) = event.relation() {
            let plan = Plan::new(&relation, self.view.flags() & FLAG_SCHEMA != 0);
            self.plans_bytes += plan.len_bytes();
            *place = Some(plan);
        }
    }

    fn write_event(&mut self, out: &mut Vec<u8>, event: &Event<'a>) {
        out.extend_from_slice(br#"{"id":""#);
        write_uuid(out, &event.id());
        let plan = self.plans.get(event.relation_index() as usize).and_then(Option::as_ref);
        out.extend_from_slice(plan.map_or(br#"","channel":"","operation":"#, |plan| &plan.channel));
        write_operation(out, event);
        out.extend_from_slice(br#","payload":"#);
        write_payload(out, plan, event, self.bytes_max);
        out.extend_from_slice(&self.origin);
        self.key.clear();
        event.position(&mut self.key);
        if !self.key.is_empty() {
            out.extend_from_slice(br#","position":""#);
            write_hex(out, &self.key);
            out.push(b'"');
        }
        if self.view.flags() & FLAG_TRANSACTION != 0 {
            self.write_transaction(out, event);
        }
        out.push(b'}');
    }

    fn write_transaction(&mut self, out: &mut Vec<u8>, event: &Event<'a>) {
        let (Some(index), Some(seq), Some(of)) = (event.tx_index(), event.seq(), event.transaction()) else {
            return;
        };
        let (known, text) = &mut self.transaction;
        if *known != index {
            *known = index;
            text.clear();
            text.extend_from_slice(br#","transaction":{"xid":"#);
            write_number(text, u64::from(of.xid()));
            match of.commit_us() {
                None => text.extend_from_slice(br#","commit_time":null,"seq":"#),
                Some(at_us) => {
                    text.extend_from_slice(br#","commit_time":""#);
                    write_time(text, at_us);
                    text.extend_from_slice(br#"","seq":"#);
                }
            }
        }
        out.extend_from_slice(text);
        write_number(out, u64::from(seq));
        out.push(b'}');
    }
}

/// Writes what is under `payload`.
#[inline]
fn write_payload<'a>(out: &mut Vec<u8>, plan: Option<&Plan<'a>>, event: &Event<'a>, bytes_max: usize) {
    match (event.body(), plan) {
        (Body::Json(body), _) => write_json(out, body.as_bytes()),
        (Body::Text(body), _) => write_string(out, body.as_bytes()),
        (Body::Bytes(body), _) => write_base64(out, body),
        (Body::None, Some(plan)) if event.op().is_row() => write_rows(out, plan, event, bytes_max),
        (Body::None, _) => out.extend_from_slice(b"null"),
    }
}

fn write_operation(out: &mut Vec<u8>, event: &Event<'_>) {
    let particulars = event.particulars().as_bytes();
    match event.op() {
        Op::Named if check::member_string(particulars, "operation").is_some() => {
            out.extend_from_slice(check::member_string(particulars, "operation").unwrap_or_default());
        }
        op => write_string(out, op.name().as_bytes()),
    }
}

/// The payload of a change to a table's rows.
fn write_rows<'a>(out: &mut Vec<u8>, plan: &Plan<'a>, event: &Event<'a>, bytes_max: usize) {
    let (row, old) = match event.op() {
        Op::Delete => (event.raw_before(), None),
        Op::Truncate => (None, None),
        _ => (event.raw_after(), event.raw_before()),
    };
    out.extend_from_slice(br#"{"op":""#);
    out.extend_from_slice(event.op().name().as_bytes());
    out.push(b'"');
    out.extend_from_slice(&plan.table);
    let unchanged = write_planned(out, plan, row.as_ref(), bytes_max);
    out.extend_from_slice(br#","old":"#);
    write_planned(out, plan, old.as_ref(), bytes_max);
    if let (true, Some(row)) = (unchanged, row) {
        write_unchanged(out, plan, &row);
    }
    out.extend_from_slice(&plan.shape);
    if !event.particulars().is_empty() {
        write_extras(out, event.particulars().as_bytes());
    }
    out.push(b'}');
}

/// Writes a row, or `null`; tells whether it leaves out values that did not change.
#[inline]
fn write_planned(out: &mut Vec<u8>, plan: &Plan<'_>, row: Option<&RawTuple<'_>>, bytes_max: usize) -> bool {
    let Some(row) = row else {
        out.extend_from_slice(b"null");
        return false;
    };
    let mut unchanged = false;
    let start = out.len();
    for (column, cell) in plan.columns.iter().zip(row.iter()) {
        match cell {
            Cell::Unchanged => unchanged = true,
            Cell::Null | Cell::Absent => {
                out.extend_from_slice(plan.key(column));
                out.extend_from_slice(b"null");
            }
            Cell::Value(text) => {
                out.extend_from_slice(plan.key(column));
                write_planned_value(out, column, text, bytes_max);
            }
        }
    }
    // The first key's comma gives its place to the brace.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    unchanged
}

#[inline]
fn write_planned_value(out: &mut Vec<u8>, column: &ColumnPlan<'_>, text: &[u8], bytes_max: usize) {
    match (column.kind, column.column.ty()) {
        (Kind::Array | Kind::Composite, Some(ty)) => write_value(out, &ty, text, Bounds::new(bytes_max)),
        (kind, _) => write_scalar(out, kind, text),
    }
}

#[cold]
fn write_unchanged(out: &mut Vec<u8>, plan: &Plan<'_>, row: &RawTuple<'_>) {
    out.extend_from_slice(br#","_unchanged_toast_columns":"#);
    let mut opening = b'[';
    for (column, cell) in plan.columns.iter().zip(row.iter()) {
        if cell == Cell::Unchanged {
            out.push(opening);
            write_string(out, column.column.name().as_bytes());
            opening = b',';
        }
    }
    out.push(b']');
}

/// The payload keys that the particulars add.
#[cold]
fn write_extras(out: &mut Vec<u8>, particulars: &[u8]) {
    if let Some(id) = check::member(particulars, "snapshot_id") {
        out.extend_from_slice(br#","snapshot_id":"#);
        write_json(out, id);
    }
    let extras = check::member(particulars, "payload").unwrap_or_default();
    for (key, value) in check::members(extras) {
        if !STANDARD_KEYS.contains(&key) {
            out.push(b',');
            out.extend_from_slice(key);
            out.push(b':');
            write_json(out, value);
        }
    }
}
