//! Whether a lane stands within a transaction: it has done a part of it, and the rest goes to its sink now. If that never
//! arrives, and the process ends once the lane's mark is stored, what comes of it tells whether order keys are compared, or
//! LSNs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pgcdc_core::order_key::OrderKey;

use crate::batch::Batch;

/// By lane: the transaction of the last event that is done.
static DONE: Mutex<Option<HashMap<String, [u8; 8]>>> = Mutex::new(None);

/// A lane is done with a batch.
pub(crate) fn done(lane: &str, batch: &Batch) {
    let Some(transaction) = batch.events().checked_sub(1).and_then(|last| transaction(batch, last)) else {
        return;
    };
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    done.get_or_insert_default().insert(lane.to_owned(), transaction);
}

/// Whether a batch goes on with the transaction in which that lane stands.
pub(crate) fn goes_on(lane: &str, batch: &Batch) -> bool {
    let done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stands = done.as_ref().and_then(|done| done.get(lane).copied());
    stands.is_some() && stands == transaction(batch, 0)
}

fn transaction(batch: &Batch, index: u32) -> Option<[u8; 8]> {
    let mut bytes = Vec::new();
    batch.view().order_key(index, &mut bytes);
    OrderKey::new(&bytes).ok()?.as_bytes().first_chunk().copied()
}
