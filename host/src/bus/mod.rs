//! From sources to lanes: every lane gets every batch, in order, or the source waits.
//!
//! Invariants. A lane's queue is bounded in batches and in bytes, and what is in flight counts until its receipt is
//! answered. In `reliable` mode a full lane holds the source back; in `fast` mode it loses the batch, which is
//! counted, logged, and answered for in its turn.

mod lane;

pub(crate) use lane::{Delivery, Queue, queue};

use std::sync::Arc;

use pgcdc_core::order_key::OrderKey;

use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::batch::Batch;

/// What a full lane does to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Holds it back.
    Reliable,
    /// Loses the batch.
    Fast,
}

/// One source's way to all lanes.
pub(crate) struct Fanout {
    acks: Arc<Acks>,
    lanes: Vec<lane::Sender>,
    mode: Mode,
    metrics: Arc<Metrics>,
}

/// The lanes are gone: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the lanes have ended")]
pub(crate) struct Closed;

impl Fanout {
    pub(crate) fn new(acks: Arc<Acks>, lanes: Vec<lane::Sender>, mode: Mode, metrics: Arc<Metrics>) -> Fanout {
        Fanout { acks, lanes, mode, metrics }
    }

    /// Hands a batch to every lane; waits, if it has to, for the slowest.
    pub(crate) async fn send(&self, batch: Arc<Batch>, first: OrderKey, last: OrderKey) -> Result<(), Closed> {
        let bytes = batch.len_bytes() as u64;
        let receipts = self.acks.deliver(first, last, bytes).map_err(|error| {
            tracing::error!(%error, "batch refused by its own bookkeeping");
            Closed
        })?;
        self.metrics.received(u64::from(batch.events()));
        for (lane, receipt) in self.lanes.iter().zip(receipts) {
            match self.mode {
                Mode::Reliable => lane.send(Arc::clone(&batch), receipt, &self.metrics).await?,
                Mode::Fast => lane.offer(Arc::clone(&batch), receipt, &self.metrics)?,
            }
        }
        Ok(())
    }
}
