//! One lane's queue: bounded in batches and in bytes, in flight included.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::Closed;
use crate::ack::Receipt;
use crate::admin::metrics::Metrics;
use crate::batch::Batch;

/// A batch on its way through a lane. Its bytes count until it is dropped.
pub(crate) struct Delivery {
    pub(crate) batch: Arc<Batch>,
    pub(crate) receipt: Receipt,
    pub(crate) room: Arc<OwnedSemaphorePermit>,
}

pub(crate) type Queue = mpsc::Receiver<Delivery>;

/// The source's end of a lane.
#[derive(Clone)]
pub(crate) struct Sender {
    name: Arc<str>,
    queue: mpsc::Sender<Delivery>,
    bytes: Arc<Semaphore>,
    /// What the lane may hold, waiting and in flight. A larger batch goes alone.
    bytes_max: u32,
}

/// A lane for at most so many batches and bytes.
pub(crate) fn queue(name: Arc<str>, batches_max: usize, bytes_max: u32) -> (Sender, Queue) {
    let (sender, receiver) = mpsc::channel(batches_max.max(1));
    (Sender { name, queue: sender, bytes: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }, receiver)
}

impl Sender {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn permits(&self, batch: &Batch) -> u32 {
        u32::try_from(batch.len_bytes()).unwrap_or(u32::MAX).min(self.bytes_max)
    }

    pub(super) async fn send(
        &self,
        batch: Arc<Batch>,
        receipt: Receipt,
        metrics: &Metrics,
    ) -> Result<(), Closed> {
        let wanted = self.permits(&batch);
        let room = match Arc::clone(&self.bytes).try_acquire_many_owned(wanted) {
            Ok(room) => room,
            Err(_) => {
                metrics.backpressure(&self.name);
                Arc::clone(&self.bytes).acquire_many_owned(wanted).await.map_err(|_| Closed)?
            }
        };
        self.queue.send(Delivery { batch, receipt, room: Arc::new(room) }).await.map_err(|_| Closed)
    }

    /// Never waits: what does not fit is lost, and said to be.
    pub(super) fn offer(&self, batch: Arc<Batch>, receipt: Receipt, metrics: &Metrics) -> Result<(), Closed> {
        let room = match Arc::clone(&self.bytes).try_acquire_many_owned(self.permits(&batch)) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(Closed),
            Err(TryAcquireError::NoPermits) => {
                self.lose(&batch, receipt, metrics);
                return Ok(());
            }
        };
        match self.queue.try_send(Delivery { batch, receipt, room: Arc::new(room) }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Closed),
            Err(TrySendError::Full(delivery)) => {
                self.lose(&delivery.batch, delivery.receipt, metrics);
                Ok(())
            }
        }
    }

    fn lose(&self, batch: &Batch, receipt: Receipt, metrics: &Metrics) {
        if metrics.dropped(&self.name, u64::from(batch.events())) {
            tracing::warn!(sink = &*self.name, "lane is full in bus mode fast: events are dropped");
        }
        receipt.settle();
    }
}
