//! The positions of one session, shared: the only place that may let PostgreSQL forget WAL.
//!
//! What follows from what is pure: [`pgcdc_core::confirm`], with its invariants. Here are the lock around it and the bells.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgcdc_core::confirm::{Positions, Stand};
use pgcdc_core::lsn::Lsn;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

pub use pgcdc_core::confirm::Status;

/// An idle server's WAL end is stored after this.
const SOON: Duration = Duration::from_millis(500);
/// Unless it has moved by less than this,
const LITTLE_BYTES: u64 = 64 << 10;
/// and then after this.
const LATER: Duration = Duration::from_secs(10);

/// The positions of one session.
#[derive(Debug)]
pub struct Progress {
    positions: Mutex<Positions>,
    /// Confirmed has moved.
    pub(super) confirmed_moved: Notify,
    /// Worth a checkpoint though no batch was settled.
    offered: Notify,
    /// The server's WAL end has moved, and nothing else has; not much, maybe.
    quiet: Notify,
    /// Of all transactions that commit before this, everything was handed on.
    clear: watch::Sender<Lsn>,
}

impl Progress {
    /// A session that starts at `start`, which the slot has confirmed or the host has stored.
    pub fn new(start: Lsn) -> Self {
        let positions = Mutex::new(Positions::new(start));
        let (confirmed_moved, offered, quiet) = (Notify::new(), Notify::new(), Notify::new());
        Self { positions, confirmed_moved, offered, quiet, clear: watch::Sender::new(start) }
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

    /// Waits until the storable position has moved by itself, without a batch, and is worth a checkpoint: because it has
    /// moved far, or the server waits for it; soon, if it has moved at all; and later, if it has moved by no more than a
    /// checkpoint itself writes, which may lie on the same server.
    pub async fn offered(&self) {
        tokio::select! {
            () = self.offered.notified() => {}
            () = self.idle() => {}
        }
    }

    async fn idle(&self) {
        loop {
            self.quiet.notified().await;
            sleep(SOON).await;
            if self.ahead_bytes() >= LITTLE_BYTES {
                return;
            }
            let _ = timeout(LATER, async {
                while self.ahead_bytes() < LITTLE_BYTES {
                    self.quiet.notified().await;
                }
            })
            .await;
            if self.ahead_bytes() > 0 {
                return;
            }
        }
    }

    fn ahead_bytes(&self) -> u64 {
        let positions = self.lock();
        positions.storable().bytes_since(positions.status().confirmed)
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
        self.quiet.notify_one();
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
