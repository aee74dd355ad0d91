//! One lane's entrance: bounded in batches and in bytes, in flight included; what does not fit waits, goes to the overflow, or is lost.
//!
//! Invariants. A source's batches leave in the order in which it put them in: while any is aside, all that follow go behind it. Bytes
//! count until the last part of their batch is answered for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::buffer::Buffer;
use super::overflow::{self, Aside};
use super::shed::Shed;
use super::{Alarm, Closed};
use crate::ack::Receipt;
use crate::admin::metrics::Metrics;
use crate::batch::Batch;

/// Batches on their way to the disk.
const WAY_BATCHES_MAX: usize = 64;

/// A batch on its way through a lane. Its bytes count until it is dropped.
pub(crate) struct Delivery {
    pub(crate) batch: Arc<Batch>,
    pub(crate) receipt: Receipt,
    pub(crate) room: Arc<OwnedSemaphorePermit>,
}

pub(crate) type Queue = mpsc::Receiver<Delivery>;

/// How much one lane may hold, and what it does then.
pub(crate) struct Bounds {
    /// Batches that wait.
    pub(crate) batches_max: usize,
    /// In memory: waiting, in flight, and on the way to the disk and back. A larger batch goes alone.
    pub(crate) memory_bytes_max: u32,
    /// On the disk; 0 = none.
    pub(crate) disk_bytes_max: u64,
    /// Where its overflow is; made when it is needed.
    pub(crate) folder: std::path::PathBuf,
    /// A lane that is full ends the process.
    pub(crate) fails: bool,
}

/// A batch that a lane is to get.
pub(super) struct Owed {
    pub(super) batch: Arc<Batch>,
    pub(super) receipt: Receipt,
}

/// Room for one batch, taken.
pub(super) struct Place {
    room: OwnedSemaphorePermit,
    slot: mpsc::OwnedPermit<Delivery>,
}

impl Place {
    pub(super) fn put(self, owed: Owed) {
        let Owed { batch, receipt } = owed;
        self.slot.send(Delivery { batch, receipt, room: Arc::new(self.room) });
    }
}

/// The source's end of a lane.
#[derive(Clone)]
pub(crate) struct Sender {
    name: Arc<str>,
    queue: mpsc::Sender<Delivery>,
    buffer: Arc<Buffer>,
    overflow: Option<mpsc::Sender<Aside>>,
    fails: bool,
    alarm: Alarm,
    metrics: Arc<Metrics>,
    shed: Arc<Mutex<Shed>>,
}

/// A lane within these bounds: both its ends, and what it holds.
pub(crate) fn lane(
    name: Arc<str>,
    bounds: Bounds,
    alarm: &Alarm,
    metrics: Arc<Metrics>,
) -> (Sender, Queue, Arc<Buffer>) {
    let (queue, receiver) = mpsc::channel(bounds.batches_max.max(1));
    let overflows = bounds.disk_bytes_max > 0;
    let buffer = Arc::new(Buffer::new(bounds.memory_bytes_max.max(1), overflows));
    let overflow = overflows.then(|| {
        let (put_aside, incoming) = mpsc::channel(WAY_BATCHES_MAX);
        let (buffer, queue, alarm) = (Arc::clone(&buffer), queue.clone(), alarm.clone());
        let (name, metrics) = (Arc::clone(&name), Arc::clone(&metrics));
        tokio::spawn(overflow::Overflow::new(name, &bounds, buffer, queue, alarm, metrics).run(incoming));
        put_aside
    });
    let sender = Sender {
        name,
        queue,
        buffer: Arc::clone(&buffer),
        overflow,
        fails: bounds.fails,
        alarm: alarm.clone(),
        metrics,
        shed: Arc::default(),
    };
    (sender, receiver, buffer)
}

impl Sender {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Never waits: gives back what there is no room for.
    pub(super) fn put(&self, owed: Owed) -> Result<Option<Owed>, Closed> {
        if self.buffer.is_aside() { Ok(Some(owed)) } else { self.put_in_memory(owed) }
    }

    fn put_in_memory(&self, owed: Owed) -> Result<Option<Owed>, Closed> {
        let Some(room) = self.buffer.room.try_take(owed.batch.len_bytes()) else { return Ok(Some(owed)) };
        let Owed { batch, receipt } = owed;
        match self.queue.try_send(Delivery { batch, receipt, room: Arc::new(room) }) {
            Ok(()) => Ok(None),
            Err(TrySendError::Closed(_)) => Err(Closed),
            Err(TrySendError::Full(Delivery { batch, receipt, .. })) => Ok(Some(Owed { batch, receipt })),
        }
    }

    /// Waits for room in memory.
    pub(super) async fn place(&self, bytes: usize) -> Result<Place, Closed> {
        loop {
            self.buffer.all_back().await;
            let room = self.buffer.room.take(bytes).await?;
            let slot = self.queue.clone().reserve_owned().await.map_err(|_| Closed)?;
            // Another source may have put something aside meanwhile; its batches and ours have no order.
            if !self.buffer.is_aside() {
                return Ok(Place { room, slot });
            }
        }
    }

    /// Returns when nothing waits in memory: the sink is about to have nothing to do.
    pub(super) async fn dry(&self) {
        let _ = self.queue.reserve_many(self.queue.max_capacity()).await;
    }

    /// Whether it never waits for its sink, but ends the process.
    pub(super) fn fails(&self) -> bool {
        self.fails
    }

    /// Whether what it has no room for goes to the disk at once: some of it is there already, or waiting is not wanted.
    pub(super) fn goes_aside(&self) -> bool {
        self.overflow.is_some() && (self.fails || self.buffer.is_aside())
    }

    pub(super) fn overflows(&self) -> bool {
        self.overflow.is_some()
    }

    pub(super) fn held_back(&self) {
        self.metrics.backpressure(&self.name);
    }

    /// Puts a batch aside; waits only while the disk is behind, or the overflow is full. A lane without one that may not wait ends the
    /// process.
    pub(super) async fn put_aside(&self, owed: Owed) -> Result<(), Closed> {
        let Some(overflow) = &self.overflow else {
            self.alarm.raise(format!(
                "sinks.{}: its queue is full and on_full is `fail`; look at what keeps the sink, or use `block`, an `overflow`, or a larger bus.buffer_bytes",
                self.name
            ));
            return std::future::pending().await;
        };
        let way = self.buffer.way.take(owed.batch.len_bytes()).await?;
        let slot = overflow.reserve().await.map_err(|_| Closed)?;
        self.buffer.put_aside();
        let Owed { batch, receipt } = owed;
        slot.send(Aside { batch, receipt, _way: way });
        Ok(())
    }

    /// Never waits: what does not fit is lost, counted, and said to be. True if it was taken.
    pub(super) fn offer(&self, owed: Owed) -> Result<bool, Closed> {
        let Some(Owed { batch, receipt }) = self.put_in_memory(owed)? else { return Ok(true) };
        let events = u64::from(batch.events());
        self.metrics.dropped(&self.name, events);
        let mut shed = self.shed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(events) = shed.lost(events, Instant::now()) {
            tracing::warn!(
                sink = &*self.name,
                events,
                "lane is full: events are dropped; on_full: block would keep them"
            );
        }
        drop(shed);
        receipt.settle();
        Ok(false)
    }
}
