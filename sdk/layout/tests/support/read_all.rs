//! Whatever a view answers, asked. Shared with the fuzzers.

use pgcdc_layout::{Cell, View};

/// Reads everything there is to read, beyond the ends, too.
pub(crate) fn read_all(view: &View<'_>) -> usize {
    let mut sum = view.strand().len() + view.source().len() + view.resume().len() + view.more().len();
    let indexes = |count: usize| 0..u32::try_from(count.min(100)).unwrap_or(0);
    for ty in indexes(view.type_count()).filter_map(|n| view.ty(n)) {
        sum += ty.name().len() + ty.fields().len() + ty.element().map_or(0, |element| element.name().len());
    }
    for transaction in indexes(view.transaction_count()).filter_map(|n| view.transaction(n)) {
        sum += transaction.key().len() + transaction.name().len();
    }
    let mut key = Vec::new();
    for event in view.events().take(100) {
        event.position(&mut key);
        sum += event.channel().len() + event.particulars().len() + event.key().len();
        for row in [event.after(), event.before()].into_iter().flatten() {
            sum += row.iter().filter_map(Cell::value).map(str::len).sum::<usize>();
            sum += row.get(row.len()).value().map_or(0, str::len);
        }
        if let Some(relation) = event.relation() {
            sum += relation.columns().take(100).map(|column| column.name().len()).sum::<usize>();
        }
    }
    sum + key.len()
}
