//! Whether a checkpoint splits a transaction: a lane has done some batches of it and not all. A crash then is what shows
//! whether order keys are compared, or LSNs.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use pgcdc_core::checkpoint::Checkpoint;
use pgcdc_core::order_key::OrderKey;

/// The last keys of batches behind which their transaction goes on, as far as that is known.
static SPLITS: Mutex<(OrderKey, BTreeSet<OrderKey>)> = Mutex::new((OrderKey::EMPTY, BTreeSet::new()));
/// Older ones are forgotten.
const SPLITS_MAX: usize = 100_000;

/// A batch goes to the lanes.
pub(crate) fn handed_on(first: OrderKey, last: OrderKey) {
    let mut splits = SPLITS.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut splits.0, last);
    let transaction = |key: &OrderKey| key.as_bytes().first_chunk::<8>().copied();
    if transaction(&before).is_some() && transaction(&before) == transaction(&first) {
        splits.1.insert(before);
    }
    if splits.1.len() > SPLITS_MAX {
        splits.1.pop_first();
    }
}

/// See the file's head.
pub(crate) fn splits(checkpoint: &Checkpoint) -> bool {
    let splits = SPLITS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lanes = checkpoint.strands.values().flat_map(|strand| strand.lanes.values());
    lanes.any(|lane| splits.1.contains(&lane.mark))
}
