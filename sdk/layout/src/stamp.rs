//! What a transform's output may not choose: the host writes it in again, from the input, whatever the guest
//! wrote.
//!
//! Invariants: after [`stamp`] the batch has been checked in full; every event has the id, order key,
//! transaction and sequence number of its input, or an id derived from it; header and transactions are the
//! input's.

use core::fmt;
use core::ops::Range;

use crate::bytes::{Ref, put, put_ref, put_u32, ref_at, u32_at};
use crate::spec::*;
use crate::view::{Malformed, View};

/// A transform's output is not one of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampError {
    /// It is no batch at all.
    Malformed(Malformed),
    /// It does not have the transactions of its input.
    Transactions {
        /// How many the input has.
        expected: usize,
        /// How many the output has.
        got: usize,
    },
    /// An event names an input that there is not.
    Input {
        /// The event's index.
        event: u32,
        /// The input that it names.
        input: u32,
    },
    /// An event does not come behind the one before it, by input, then derived index.
    Order {
        /// The event's index.
        event: u32,
    },
    /// An event is a child of a child of a child, or a child with a number above 65,535 of a child.
    Derived {
        /// The event's index.
        event: u32,
    },
}

impl fmt::Display for StampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StampError::Malformed(malformed) => malformed.fmt(f),
            StampError::Transactions { expected, got } => {
                write!(
                    f,
                    "the output has {got} transactions, its input has {expected}: carry them over as they are"
                )
            }
            StampError::Input { event, input } => {
                write!(f, "event {event} of the output names input {input}, which there is not")
            }
            StampError::Order { event } => write!(
                f,
                "event {event} of the output does not come behind the one before it, by input and derived index"
            ),
            StampError::Derived { event } => write!(
                f,
                "event {event} of the output: children nest two deep at most, with numbers up to 65,535"
            ),
        }
    }
}

impl core::error::Error for StampError {}

impl From<Malformed> for StampError {
    fn from(malformed: Malformed) -> Self {
        StampError::Malformed(malformed)
    }
}

/// Makes the bytes that a transform handed back the output of `input`. `child_id` gives the id of an event's
/// n-th child.
///
/// # Errors
/// What makes them something else. Then they are of no use.
pub fn stamp(
    input: &View<'_>,
    output: &mut Vec<u8>,
    child_id: impl Fn([u8; 16], u32) -> [u8; 16],
) -> Result<(), StampError> {
    let view = View::tables(output)?;
    let (events, transactions) = (view.event_count(), view.transaction_count());
    if transactions != input.transaction_count() {
        return Err(StampError::Transactions { expected: input.transaction_count(), got: transactions });
    }
    let table = |n: usize| u32_at(output, header::OFFSETS + 4 * n) as usize;
    let (events_at, transactions_at) = (table(0), table(3));
    let stamped = [
        0..HEADER_BYTES,
        events_at..events_at + events * EVENT_BYTES,
        transactions_at..transactions_at + transactions * TX_BYTES,
    ];
    let mut before = None;
    for n in 0..events {
        let start = events_at + n * EVENT_BYTES;
        if let Some(record) = output.get_mut(start..start + EVENT_BYTES) {
            before = Some(stamp_event(input, record, n as u32, before, &child_id)?);
        }
    }
    for (n, old) in input.transactions().iter().enumerate() {
        stamp_transaction(input, old, output, transactions_at + n * TX_BYTES, &stamped);
    }
    let refs = [header::STRAND, header::RESUME, header::SOURCE, header::MORE];
    for field in refs {
        carry_ref(input, ref_at(input.bytes(), field), output, field, &stamped);
    }
    put(output, header::FLAGS, &input.flags().to_le_bytes());
    put(output, header::DETECTED_US, &input.detected_us().to_le_bytes());
    // More than u32 can hold is more than any batch may be, and refused by the check.
    let total = u32::try_from(output.len()).unwrap_or(u32::MAX);
    put_u32(output, header::TOTAL_LEN, total);
    View::parse(output)?;
    Ok(())
}

/// Gives every event without an id one that `draw` makes. The batch was checked before.
pub fn draw_ids(batch: &mut [u8], mut draw: impl FnMut() -> [u8; 16]) {
    let count = View::of_valid(batch).event_count();
    let table = u32_at(batch, header::OFFSETS) as usize;
    for n in 0..count {
        let id = table + n * EVENT_BYTES + event::ID;
        if crate::bytes::array16(batch, id) == [0; 16] {
            put(batch, id, &draw());
        }
    }
}

/// Stamps one event; its input and the derived index that the guest gave it.
fn stamp_event(
    input: &View<'_>,
    record: &mut [u8],
    index: u32,
    before: Option<(u32, u32)>,
    child_id: &impl Fn([u8; 16], u32) -> [u8; 16],
) -> Result<(u32, u32), StampError> {
    let place = (u32_at(record, event::INPUT), u32_at(record, event::DERIVED));
    let (from, derived) = place;
    let Some(parent) = input.event(from) else {
        return Err(StampError::Input { event: index, input: from });
    };
    if before.is_some_and(|before| before >= place) {
        return Err(StampError::Order { event: index });
    }
    let id = if derived == 0 { parent.id() } else { child_id(parent.id(), derived) };
    let Some(derived) = nested(parent.derived(), derived) else {
        return Err(StampError::Derived { event: index });
    };
    let mut key = [0; EVENT_KEY_BYTES_MAX];
    put(&mut key, 0, parent.key());
    put(record, event::ID, &id);
    put(record, event::KEY, &key);
    put(record, event::KEY_LEN, &[parent.key().len() as u8]);
    put_u32(record, event::TX, parent.tx_index().unwrap_or(NO_TX));
    put_u32(record, event::SEQ, parent.seq().unwrap_or_default());
    put_u32(record, event::DERIVED, derived);
    Ok(place)
}

/// The derived index of the n-th child (0: itself) of an event that may itself be a child.
fn nested(parent: u32, n: u32) -> Option<u32> {
    match (parent, n) {
        (parent, 0) => Some(parent),
        (0, n) => Some(n),
        (parent, n) if parent <= 0xffff && n <= 0xffff => Some(parent << 16 | n),
        _ => None,
    }
}

/// Overwrites a transaction, but for its refs, which are made to lead to the same bytes.
fn stamp_transaction(
    input: &View<'_>,
    old: &[u8; TX_BYTES],
    output: &mut Vec<u8>,
    at: usize,
    stamped: &[Range<usize>],
) {
    let mut record = *old;
    for field in [tx::KEY, tx::NAME] {
        carry_ref(input, ref_at(old, field), output, at + field, stamped);
        put_ref(&mut record, field, ref_at(output, at + field));
    }
    put(output, at, &record);
}

/// Makes the ref at `field` of the output lead to the same bytes as one of the input. They are appended unless it
/// does so already, and to no place that is stamped, where they would not last.
fn carry_ref(input: &View<'_>, from: Ref, output: &mut Vec<u8>, field: usize, stamped: &[Range<usize>]) {
    let bytes = from.of(input.bytes()).unwrap_or_default();
    let there = ref_at(output, field);
    if there.of(output) == Some(bytes) {
        let (start, end) = (there.at as usize, there.at as usize + bytes.len());
        if stamped.iter().all(|range| end <= range.start || range.end <= start) {
            return;
        }
    }
    let at = u32::try_from(output.len()).unwrap_or(u32::MAX);
    output.extend_from_slice(bytes);
    put_ref(output, field, Ref { at, len: bytes.len() as u32 });
}
