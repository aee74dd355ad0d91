//! The promise of an ordered strand: keys ascend over events and batches.

use super::{Malformed, View};
use crate::spec::*;

impl View<'_> {
    /// Checks what a batch that says it is ordered promises: every event has an order key, keys (then derived
    /// indexes) ascend strictly, and the first is above `after`, the last key of the batch before it (may be
    /// empty). Both parts of a key have one length throughout the batch. `after` becomes the last key of this
    /// one.
    ///
    /// # Errors
    /// The first event that breaks it. A batch that does not say it is ordered has nothing to break.
    pub fn check_order(&self, after: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.flags() & FLAG_ORDERED == 0 {
            return Ok(());
        }
        let mut key = Vec::with_capacity(POSITION_BYTES_MAX);
        let mut lengths = None;
        let mut derived = u32::MAX;
        for event in self.events() {
            let bad = |what| Err(Malformed { what, at: self.event_offset(event.index()) + event::KEY });
            key.clear();
            event.order_key(&mut key);
            let own = event.key().len();
            if key.is_empty() {
                return bad("an event of an ordered strand has no order key");
            }
            if lengths.is_some_and(|known| known != (key.len(), own)) {
                return bad("an event's order key has not the length of those before it");
            }
            if (&key, event.derived()) <= (&*after, derived) {
                return bad("an event's order key is not above that of the event before it");
            }
            lengths = Some((key.len(), own));
            derived = event.derived();
            core::mem::swap(&mut key, after);
        }
        Ok(())
    }
}
