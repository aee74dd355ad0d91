//! What one lane holds, counted: in memory by permits, on the disk by its overflow. Shared by all who put in and take out.
//!
//! Invariant: `memory_bytes ≤ room_max + way_max`, the lane's share, but for a batch larger than either, which is alone there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Closed;

/// Bytes that are handed out as permits. What is larger than all of it counts as all of it.
pub(super) struct Room {
    permits: Arc<Semaphore>,
    bytes_max: u32,
}

impl Room {
    fn new(bytes_max: u32) -> Room {
        Room { permits: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    fn wanted(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }

    pub(super) fn bytes_max(&self) -> u32 {
        self.bytes_max
    }

    pub(super) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(self.wanted(bytes)).ok()
    }

    pub(super) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        Arc::clone(&self.permits).acquire_many_owned(self.wanted(bytes)).await.map_err(|_| Closed)
    }

    fn taken_bytes(&self) -> u64 {
        u64::from(self.bytes_max).saturating_sub(self.permits.available_permits() as u64)
    }
}

/// See the file's head.
pub(crate) struct Buffer {
    /// For what waits, what is in flight, and what was read ahead.
    pub(super) room: Room,
    /// For what is on its way to the disk.
    pub(super) way: Room,
    /// Batches that went to the overflow and are not back.
    aside: AtomicU64,
    pub(super) disk_bytes: AtomicU64,
    /// Nothing is aside any more.
    back: Notify,
    /// Why the overflow takes no more; none while it does.
    stuck: Mutex<Option<String>>,
}

impl Buffer {
    /// A quarter of the share is for the way to the disk, if there is one.
    pub(super) fn new(share_bytes: u32, overflows: bool) -> Buffer {
        let way_bytes = if overflows { share_bytes / 4 } else { 0 };
        Buffer {
            room: Room::new(share_bytes - way_bytes),
            way: Room::new(way_bytes),
            aside: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            back: Notify::new(),
            stuck: Mutex::default(),
        }
    }

    /// Bytes of batches in memory: waiting, in flight, read ahead, or on their way to the disk; and what is promised to one that waits
    /// for room.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.room.taken_bytes() + self.way.taken_bytes()
    }

    /// Bytes on the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    /// Why the overflow takes no more, and the way out.
    pub(crate) fn stuck(&self) -> Option<String> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_stuck(&self, why: Option<String>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Whether batches are aside: what comes now has to go behind them.
    pub(super) fn is_aside(&self) -> bool {
        self.aside.load(Ordering::Acquire) > 0
    }

    pub(super) fn put_aside(&self) {
        self.aside.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn came_back(&self) {
        if self.aside.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.back.notify_waiters();
        }
    }

    /// Returns when nothing is aside.
    pub(super) async fn all_back(&self) {
        loop {
            let mut back = std::pin::pin!(self.back.notified());
            back.as_mut().enable();
            if !self.is_aside() {
                return;
            }
            back.await;
        }
    }
}
