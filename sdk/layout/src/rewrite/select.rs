//! Some of a batch's events as a batch of their own.

use super::carry;
use crate::view::{Event, RawTuple, View};
use crate::writer::{BatchWriter, EventDef, TupleRef, WriteError};

/// The events at these indexes, which ascend. Ids, keys and derived indexes stay; a transaction is still said
/// to begin or end in the batch only if its first or last event is among them.
///
/// # Errors
/// `Unknown` for an index, `Invalid` if they do not ascend; `Full` or `TooLarge` only if the events shared
/// bytes, and are too large without.
pub fn select(from: &View<'_>, indexes: &[u32]) -> Result<Vec<u8>, WriteError> {
    check(from, indexes)?;
    copy(from, indexes.iter().copied(), false)
}

/// The same as a transform's output: each event names its index in `from` as its input.
///
/// # Errors
/// As [`select`].
pub fn pick(from: &View<'_>, indexes: &[u32]) -> Result<Vec<u8>, WriteError> {
    check(from, indexes)?;
    copy(from, indexes.iter().copied(), true)
}

fn check(from: &View<'_>, indexes: &[u32]) -> Result<(), WriteError> {
    if !indexes.is_sorted_by(|a, b| a < b) {
        return Err(WriteError::Invalid { what: "indexes that do not ascend" });
    }
    match indexes.last().copied().filter(|last| *last as usize >= from.event_count()) {
        Some(index) => Err(WriteError::Unknown { what: "event", index }),
        None => Ok(()),
    }
}

/// The events `start .. start + n`, clipped to the batch.
///
/// # Errors
/// `Full` or `TooLarge` only if the events shared bytes, and are too large without.
pub fn slice(from: &View<'_>, start: u32, n: u32) -> Result<Vec<u8>, WriteError> {
    let count = from.event_count() as u32;
    let end = start.saturating_add(n).min(count);
    if start == 0 && end == count {
        return Ok(from.bytes().to_vec());
    }
    copy(from, start.min(end)..end, false)
}

fn copy(
    from: &View<'_>,
    indexes: impl Iterator<Item = u32> + Clone,
    as_output: bool,
) -> Result<Vec<u8>, WriteError> {
    let mut out = carry::start(from)?;
    let mut relations = vec![None; from.relation_count()];
    for event in indexes.clone().filter_map(|index| from.event(index)) {
        let relation = relation(&mut out, &event, &mut relations)?;
        let after = row(&mut out, event.raw_after())?;
        let before = row(&mut out, event.raw_before())?;
        let input = as_output.then(|| event.index());
        out.add_event(&EventDef { relation, after, before, input, ..carry::event_def(&event) })?;
    }
    cut_transactions(&mut out, from, indexes)?;
    Ok(out.finish())
}

fn relation(out: &mut BatchWriter, event: &Event<'_>, known: &mut [Option<u32>]) -> Result<u32, WriteError> {
    let index = event.relation_index();
    let (Some(place), Some(relation)) = (known.get_mut(index as usize), event.relation()) else {
        return Err(WriteError::Unknown { what: "relation", index });
    };
    if let Some(index) = place {
        return Ok(*index);
    }
    let columns: Vec<_> = relation.columns().map(|column| carry::column_def(&column)).collect();
    Ok(*place.insert(carry::add_relation(out, &relation, &columns)?))
}

fn row(out: &mut BatchWriter, raw: Option<RawTuple<'_>>) -> Result<Option<TupleRef>, WriteError> {
    raw.map(|raw| out.copy_tuple(&raw)).transpose()
}

/// Takes back that a transaction begins or ends in the batch, where the event with which it does was left
/// out.
fn cut_transactions(
    out: &mut BatchWriter,
    from: &View<'_>,
    kept: impl Iterator<Item = u32>,
) -> Result<(), WriteError> {
    let transactions = 0..from.transaction_count() as u32;
    let bounded = |tx: u32| from.transaction(tx).is_some_and(|tx| tx.first() || tx.last());
    if !transactions.clone().any(bounded) {
        return Ok(());
    }
    let mut ends: Vec<Option<(u32, u32)>> = vec![None; from.transaction_count()];
    for event in from.events() {
        if let Some(end) = event.tx_index().and_then(|tx| ends.get_mut(tx as usize)) {
            let first = end.map_or(event.index(), |(first, _)| first);
            *end = Some((first, event.index()));
        }
    }
    let mut has = vec![(false, false); from.transaction_count()];
    for event in kept.filter_map(|index| from.event(index)) {
        let Some(tx) = event.tx_index().map(|tx| tx as usize) else { continue };
        if let (Some(has), Some(Some((first, last)))) = (has.get_mut(tx), ends.get(tx)) {
            has.0 |= *first == event.index();
            has.1 |= *last == event.index();
        }
    }
    for (tx, (first, last)) in transactions.zip(has) {
        let Some(old) = from.transaction(tx) else { continue };
        let def = carry::tx_def(&old);
        if (def.first && !first) || (def.last && !last) {
            out.set_transaction_ends(tx, def.first && first, def.last && last);
        }
    }
    Ok(())
}
