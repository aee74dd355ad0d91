//! Mistakes on purpose, each one that another system has really made: certify must find every one of them.
//!
//! `PGCDC_SABOTAGE` names it: `ack-early`, `skip-by-lsn`, `max-slot-stored`, `confirm-before-store`.

use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::{ORDER_KEY_BYTES_MAX, OrderKey};
use pgcdc_core::resume::{SlotFacts, Stored};

use crate::ack::{Acks, Receipt};
use crate::wal::Progress;

fn on(name: &str) -> bool {
    std::env::var("PGCDC_SABOTAGE").is_ok_and(|sabotage| sabotage == name)
}

/// `ack-early`: a batch counts as done when it goes into a lane. The lane gets a receipt that nobody waits for.
pub(crate) fn settled_early(receipt: Receipt) -> Receipt {
    if !on("ack-early") {
        return receipt;
    }
    let nobody = Acks::new(vec![("nobody".into(), LaneMark::at(OrderKey::EMPTY))]);
    match nobody.deliver(OrderKey::EMPTY, 0).ok().and_then(|mut receipts| receipts.pop()) {
        Some(other) => {
            receipt.settle();
            other
        }
        None => receipt,
    }
}

/// `skip-by-lsn`: what a lane has done is told by the transaction's LSN alone.
pub(crate) fn whole_transaction(mark: LaneMark) -> LaneMark {
    let transaction = mark.mark.as_bytes().get(..8).filter(|_| on("skip-by-lsn"));
    let last = transaction.map(|lsn| [lsn, &[0xFF; ORDER_KEY_BYTES_MAX - 8]].concat());
    last.and_then(|last| OrderKey::new(&last).ok()).map_or(mark, LaneMark::at)
}

/// `max-slot-stored`: goes on at the slot's position if that is further.
pub(crate) fn furthest(stored: Option<Stored>, slot: Option<&SlotFacts>) -> Option<Stored> {
    let confirmed = slot.and_then(|slot| slot.confirmed).filter(|_| on("max-slot-stored"));
    stored.map(|stored| Stored { resume: stored.resume.max(confirmed.unwrap_or(Lsn::ZERO)), ..stored })
}

/// `confirm-before-store`: PostgreSQL is told before the checkpoint is on the device.
pub(crate) fn confirm_early(progress: &Progress, storable: Lsn) {
    if on("confirm-before-store") {
        progress.stored(storable);
    }
}
