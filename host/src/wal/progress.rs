//! The positions of one session, shared: the only place that may let PostgreSQL forget WAL.
//!
//! What follows from what is pure: [`pgcdc_core::confirm`], with its invariants. Here are the lock around it and the bells.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pgcdc_core::confirm::{Positions, Stand};
use pgcdc_core::lsn::Lsn;
use tokio::sync::{Notify, watch};

pub use pgcdc_core::confirm::Status;

/// The positions of one session.
#[derive(Debug)]
pub struct Progress {
    positions: Mutex<Positions>,
    /// Confirmed has moved.
    pub(super) confirmed_moved: Notify,
    /// Worth a checkpoint though no batch was settled.
    offered: Notify,
    /// Of all transactions that commit before this, everything was handed on.
    clear: watch::Sender<Lsn>,
}

impl Progress {
    /// A session that starts at `start`, which the slot has confirmed or the host has stored.
    pub fn new(start: Lsn) -> Self {
        let positions = Mutex::new(Positions::new(start));
        let clear = watch::Sender::new(start);
        Self { positions, confirmed_moved: Notify::new(), offered: Notify::new(), clear }
    }

    /// The first `batches` batches of this session are settled in every lane. Returns what may be stored now.
    ///
    /// # Panics
    /// If more are said to be settled than were made, or fewer than before.
    pub fn settled(&self, batches: u64) -> Lsn {
        self.lock().settled(batches)
    }

    /// How far the host's checkpoint may go at this moment.
    pub fn storable(&self) -> Lsn {
        self.lock().storable()
    }

    /// The host's checkpoint with this position is on the device: PostgreSQL may forget what is before it.
    ///
    /// # Panics
    /// If it was never offered as storable, or is behind what was stored before.
    pub fn stored(&self, position: Lsn) {
        let moved = self.lock().stored(position);
        if moved {
            self.confirmed_moved.notify_one();
        }
    }

    /// Waits until the storable position has moved by itself, without a batch, and far enough to be
    /// worth a checkpoint.
    pub async fn offered(&self) {
        self.offered.notified().await;
    }

    /// What the next status update says.
    pub fn status(&self) -> Status {
        self.lock().status()
    }

    /// Waits until all that commits before `position` is in the queue.
    pub(crate) async fn clear(&self, position: Lsn) {
        // The sender is here: it does not go away.
        let _ = self.clear.subscribe().wait_for(|clear| *clear >= position).await;
    }

    /// All that commits before `position` is in the queue.
    pub(super) fn is_clear(&self, position: Lsn) {
        self.clear.send_if_modified(|clear| {
            let moved = position > *clear;
            *clear = position.max(*clear);
            moved
        });
    }

    /// Bytes up to here were read.
    pub(super) fn received(&self, position: Lsn) {
        self.lock().received(position);
    }

    /// What was gathered has become a batch, and once it and all before it are settled, `resume` may be stored.
    pub(super) fn batch(&self, resume: Lsn, has_events: bool) {
        let offered = self.lock().batch(resume, has_events);
        self.offer(offered);
    }

    /// The server says how far its WAL was read. `wanted`: it waits for us.
    pub(super) fn keepalive(&self, end: Lsn, wanted: bool, stand: Stand) {
        let offered = self.lock().keepalive(end, wanted, stand);
        self.offer(offered);
    }

    fn offer(&self, offered: bool) {
        if offered {
            self.offered.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Positions> {
        // No assertion fails between two changes that belong together, so a poisoned state is sound.
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_waits_is_obliged_even_if_its_wal_end_is_known() {
        let progress = Progress::new(Lsn(10));
        progress.keepalive(Lsn(20), false, Stand::Clear);
        progress.keepalive(Lsn(20), true, Stand::Clear);
        progress.offered().await;
        assert_eq!(progress.storable(), Lsn(20));
    }
}
