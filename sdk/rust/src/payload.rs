//! Transforms that put a payload of their own in the place of an event's, whatever that was: an envelope that somebody
//! else's consumers know, a signature, another language.
//!
//! The event is detached from its rows: what is printed from then on is the new payload. Of the rows the key stays beside
//! it, unprinted, so that a sink that keeps order row by row still does.

use std::borrow::Cow;

use pgcdc_layout::json::{Encoder, LINES_BYTES_MAX};
use pgcdc_layout::rewrite::{FreeForm, RelationPlan, Rewriter};
use pgcdc_layout::writer::BodyDef;
use pgcdc_layout::{Event, Op, View, WriteError};

use crate::object::Object;
use crate::transform::{Applied, Failure};
use crate::{Batch, Error, Result, Rows};

/// Replaces the payload of every event. `make` writes JSON text for one, into an empty buffer; it is lent what prints the
/// event's own payload, as its envelope has it.
///
/// # Errors
///
/// The host's, for a batch that it cannot build. An event of which no payload can be made, or that does not fit any
/// more, is a failure of that event.
pub fn replace<'a>(
    rows: &'a Rows,
    mut make: impl FnMut(&mut Vec<u8>, &Event<'a>, &mut Encoder<'a>) -> Result<()>,
) -> Result<Applied> {
    let view = rows.view();
    let mut applied = Applied::default();
    let mut next = 0;
    while view.event(next).is_some() {
        let from = next;
        match write(&view, &mut make, &mut next, &mut applied.failures)? {
            Some(bytes) => applied.batches.push(Batch::build(&bytes)?),
            None if next > from => {}
            None => return Err(Error::too_large("an event does not fit into a batch of its own")),
        }
    }
    Ok(applied)
}

/// Writes events from `next` on, until there are no more or the new batch is full.
fn write<'a>(
    view: &View<'a>,
    make: &mut impl FnMut(&mut Vec<u8>, &Event<'a>, &mut Encoder<'a>) -> Result<()>,
    next: &mut u32,
    failures: &mut Vec<Failure>,
) -> Result<Option<Vec<u8>>> {
    let mut rewriter = Rewriter::new(*view, |relation| RelationPlan::key_only(relation))?;
    let mut old = Encoder::new(view, LINES_BYTES_MAX);
    let mut out = Vec::new();
    while let Some(event) = view.event(*next) {
        out.clear();
        let mut fail = |error| failures.push(Failure { index: *next, error });
        match make(&mut out, &event, &mut old) {
            Err(error) => fail(error),
            Ok(()) => match std::str::from_utf8(&out) {
                Err(error) => fail(error.into()),
                Ok(payload) => {
                    let form = FreeForm { body: BodyDef::Json(payload), rows: true, ..FreeForm::default() };
                    match rewriter.free_form(&event, &form) {
                        Ok(()) => {}
                        Err(WriteError::Full { .. }) => break,
                        Err(error) => fail(error.into()),
                    }
                }
            },
        }
        *next += 1;
    }
    Ok(rewriter.finish())
}

/// The operation as the envelope prints it, without quotes.
pub fn operation<'a>(event: &Event<'a>) -> Cow<'a, str> {
    match event.op() {
        Op::Named => {
            let named =
                Object::parse(event.particulars()).and_then(|particulars| particulars.text("operation"));
            Cow::Owned(named.unwrap_or_default())
        }
        op => Cow::Borrowed(op.name()),
    }
}

/// When the event's transaction was committed, microseconds since 1970.
pub fn committed_us(event: &Event<'_>) -> Option<i64> {
    event.transaction()?.commit_us()
}

/// Where a PostgreSQL event stands in the WAL: its own LSN, or else its transaction's commit.
pub fn lsn(event: &Event<'_>) -> Option<u64> {
    // Kind, LSN, number: wit/v1/batch.md, Order.
    const KEY_BYTES: usize = 13;
    let own = match event.key() {
        [_, rest @ ..] if rest.len() + 1 == KEY_BYTES && event.view().source() == WAL => {
            rest.first_chunk::<8>().map(|lsn| u64::from_be_bytes(*lsn))
        }
        _ => None,
    };
    let commit = event.transaction().map(|transaction| transaction.commit_lsn());
    own.filter(|lsn| *lsn > 0).or(commit).filter(|lsn| *lsn > 0)
}

/// The source whose keys hold LSNs.
const WAL: &str = "wal_replication";
