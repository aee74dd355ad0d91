//! Refused changes of a batch, as JSON: what every lane still has to dead-letter of it.

use pgcdc_core::assembler::{Reason, Refused};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::PostgresKey;
use pgcdc_layout::Op;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Kept {
    id: [u8; 16],
    key: Vec<u8>,
    after_events: u32,
    op: u8,
    xid: u32,
    commit_us: i64,
    seq: u32,
    channel: String,
    schema: String,
    table: String,
    row_key: Vec<(String, String)>,
    reason: Why,
}

#[derive(Serialize, Deserialize)]
enum Why {
    TooLarge { bytes: u64, bytes_max: u64 },
    NotUtf8 { column: String },
}

/// Nothing for none.
pub(super) fn write(refused: &[Refused]) -> serde_json::Result<Vec<u8>> {
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::to_vec(&refused.iter().map(keep).collect::<Vec<Kept>>())
}

pub(super) fn read(json: &[u8]) -> Option<Vec<Refused>> {
    if json.is_empty() {
        return Some(Vec::new());
    }
    let kept: Vec<Kept> = serde_json::from_slice(json).ok()?;
    kept.into_iter().map(restore).collect()
}

fn keep(refused: &Refused) -> Kept {
    Kept {
        id: refused.id,
        key: refused.key.to_bytes().to_vec(),
        after_events: refused.after_events,
        op: refused.op as u8,
        xid: refused.xid,
        commit_us: refused.commit_us,
        seq: refused.seq,
        channel: refused.channel.clone(),
        schema: refused.schema.clone(),
        table: refused.table.clone(),
        row_key: refused.row_key.clone(),
        reason: match &refused.reason {
            Reason::TooLarge { bytes, bytes_max } => Why::TooLarge { bytes: *bytes, bytes_max: *bytes_max },
            Reason::NotUtf8 { column } => Why::NotUtf8 { column: column.clone() },
        },
    }
}

fn restore(kept: Kept) -> Option<Refused> {
    Some(Refused {
        id: kept.id,
        key: find(&kept.key)?,
        after_events: kept.after_events,
        op: Op::ALL.into_iter().find(|op| *op as u8 == kept.op)?,
        xid: kept.xid,
        commit_us: kept.commit_us,
        seq: kept.seq,
        channel: kept.channel,
        schema: kept.schema,
        table: kept.table,
        row_key: kept.row_key,
        reason: match kept.reason {
            Why::TooLarge { bytes, bytes_max } => Reason::TooLarge { bytes, bytes_max },
            Why::NotUtf8 { column } => Reason::NotUtf8 { column },
        },
    })
}

/// The one of the kinds of key that has these bytes.
fn find(bytes: &[u8]) -> Option<PostgresKey> {
    let (commit, rest) = bytes.split_first_chunk::<8>()?;
    let (_kind, rest) = rest.split_first()?;
    let (change, nth) = rest.split_first_chunk::<8>()?;
    let (commit, change) = (Lsn(u64::from_be_bytes(*commit)), Lsn(u64::from_be_bytes(*change)));
    let nth = u32::from_be_bytes(nth.try_into().ok()?);
    let kinds = [
        PostgresKey::row(commit, change, nth),
        PostgresKey::message_outside(change),
        PostgresKey::commit(commit),
        PostgresKey::snapshot(commit, change.0, nth),
    ];
    kinds.into_iter().find(|key| key.to_bytes().as_slice() == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_found_again() {
        let (commit, change) = (Lsn(0x1_0000_0007), Lsn(0x1_0000_0003));
        for key in [
            PostgresKey::row(commit, change, 9),
            PostgresKey::message_inside(commit, change),
            PostgresKey::message_outside(change),
            PostgresKey::begin(commit),
            PostgresKey::commit(commit),
            PostgresKey::snapshot(commit, 9, 16_400),
        ] {
            assert_eq!(find(&key.to_bytes()), Some(key));
        }
        assert_eq!(find(&[4; 21]), None);
        assert_eq!(find(&[0; 3]), None);
    }
}
