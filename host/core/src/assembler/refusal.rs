//! Names an event that cannot be delivered: its place, its table and as much of its row's key as is fit to
//! print.

use super::events::Stamp;
use super::outcome::{Reason, Refused};
use super::tables::Table;
use crate::pgoutput::{Cell, Tuple};

/// A longer key value is left out, in bytes.
const KEY_VALUE_BYTES_MAX: usize = 1 << 10;
/// Further key values are left out, in bytes.
const ROW_KEY_BYTES_MAX: usize = 8 << 10;

pub(super) fn of_row(stamp: &Stamp, table: &Table, row: Option<&Tuple<'_>>, reason: Reason) -> Refused {
    Refused {
        schema: table.schema.clone(),
        table: table.name.clone(),
        row_key: row.map(|row| row_key(table, row)).unwrap_or_default(),
        ..of_channel(stamp, &table.channel, reason)
    }
}

/// The same of a row whose key is known as text.
pub(super) fn of_snapshot(
    stamp: &Stamp,
    table: &Table,
    mut row_key: Vec<(String, String)>,
    reason: Reason,
) -> Refused {
    let mut key_bytes = 0;
    row_key.retain(|(_, text)| {
        let fits = text.len() <= KEY_VALUE_BYTES_MAX && key_bytes + text.len() <= ROW_KEY_BYTES_MAX;
        key_bytes += if fits { text.len() } else { 0 };
        fits
    });
    Refused { row_key, ..of_row(stamp, table, None, reason) }
}

pub(super) fn of_channel(stamp: &Stamp, channel: &str, reason: Reason) -> Refused {
    Refused {
        id: stamp.id,
        key: stamp.key,
        after_events: 0,
        op: stamp.op,
        xid: stamp.xid,
        commit_us: stamp.commit_us,
        seq: stamp.seq,
        channel: channel.into(),
        schema: String::new(),
        table: String::new(),
        row_key: Vec::new(),
        reason,
    }
}

fn row_key(table: &Table, row: &Tuple<'_>) -> Vec<(String, String)> {
    let mut key = Vec::new();
    let mut key_bytes = 0;
    for (column, cell) in table.columns.iter().zip(row.cells()) {
        let Cell::Text(text) = cell else { continue };
        if !column.identity || text.len() > KEY_VALUE_BYTES_MAX || key_bytes + text.len() > ROW_KEY_BYTES_MAX
        {
            continue;
        }
        if let Ok(text) = std::str::from_utf8(text) {
            key_bytes += text.len();
            key.push((column.name.clone(), text.into()));
        }
    }
    key
}
