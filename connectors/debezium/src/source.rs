//! Where an event comes from: the blocks `source` and `transaction`, and the times.

use pgcdc_sdk::layout::json::{check, write_string};
use pgcdc_sdk::layout::spec::FLAG_TRANSACTION;
use pgcdc_sdk::layout::{Event, Op};
use pgcdc_sdk::payload;

use crate::Debezium;

/// What `version` and `connector` say: a consumer can tell this from Debezium's own.
const PGCDC: &str = "pgcdc";

/// Writes `source`.
pub(crate) fn write_source(out: &mut Vec<u8>, of: &Debezium, event: &Event<'_>, schema: &str, table: &str) {
    let at_us = payload::committed_us(event).unwrap_or_else(|| event.view().detected_us());
    let lsn = payload::lsn(event);
    out.extend_from_slice(
        format!("{{\"version\":\"{PGCDC}\",\"connector\":\"{PGCDC}\",\"name\":").as_bytes(),
    );
    write_string(out, of.options.connector_name.as_bytes());
    out.extend_from_slice(
        format!(",\"ts_ms\":{},\"snapshot\":\"{}\",\"db\":", at_us.div_euclid(1_000), snapshot(event))
            .as_bytes(),
    );
    write_string(out, of.options.database.as_bytes());
    out.extend_from_slice(b",\"sequence\":");
    match (event.transaction(), lsn) {
        (Some(transaction), Some(lsn)) => {
            let sequence = format!("[\"{}\",\"{lsn}\"]", transaction.commit_lsn());
            write_string(out, sequence.as_bytes());
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(format!(",\"ts_us\":{at_us},\"ts_ns\":{},\"schema\":", nanos(at_us)).as_bytes());
    write_string(out, schema.as_bytes());
    out.extend_from_slice(b",\"table\":");
    write_string(out, table.as_bytes());
    let xid = event.transaction().map_or(0, |transaction| transaction.xid());
    let lsn = lsn.unwrap_or_default();
    out.extend_from_slice(format!(",\"txId\":{xid},\"lsn\":{lsn},\"xmin\":null}}").as_bytes());
}

/// As Debezium names it: a row of a snapshot, of one that is taken beside the changes, or neither.
fn snapshot(event: &Event<'_>) -> &'static str {
    let incremental = || check::member(event.particulars().as_bytes(), "snapshot_id").is_some();
    match event.op() {
        Op::Snapshot if incremental() => "incremental",
        Op::Snapshot => "true",
        _ => "false",
    }
}

/// Writes `transaction`: null unless the source shows transactions.
pub(crate) fn write_transaction(out: &mut Vec<u8>, event: &Event<'_>) {
    let shown = event.view().flags() & FLAG_TRANSACTION != 0;
    match (transaction_id(event), event.seq()) {
        (Some(id), Some(seq)) if shown => {
            // How many of this table came before is not known: the number in the transaction ascends, too.
            let block = format!("{{\"id\":\"{id}\",\"total_order\":{seq},\"data_collection_order\":{seq}}}");
            out.extend_from_slice(block.as_bytes());
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// The same for everything of a transaction: its number and the LSN of its commit.
pub(crate) fn transaction_id(event: &Event<'_>) -> Option<String> {
    let transaction = event.transaction().filter(|transaction| transaction.xid() != 0)?;
    Some(format!("{}:{}", transaction.xid(), transaction.commit_lsn()))
}

/// Writes when the event was seen here.
pub(crate) fn write_times(out: &mut Vec<u8>, event: &Event<'_>) {
    let at_us = event.view().detected_us();
    let times =
        format!(",\"ts_ms\":{},\"ts_us\":{at_us},\"ts_ns\":{}", at_us.div_euclid(1_000), nanos(at_us));
    out.extend_from_slice(times.as_bytes());
}

fn nanos(at_us: i64) -> i64 {
    at_us.saturating_mul(1_000)
}
