//! From sources to lanes: every lane gets every batch, in order, or the source waits.
//!
//! Invariants. A lane's queue is bounded in batches and in bytes, and what is in flight counts until its receipt is
//! answered. In `reliable` mode a full lane holds the source back; in `fast` mode it loses the batch, which is
//! counted, logged, and answered for in its turn.

mod lane;

pub(crate) use lane::{Delivery, Queue, queue};

use std::sync::Arc;

use pgcdc_core::checkpoint::LaneMark;
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
    lanes: Vec<Entrance>,
    metrics: Arc<Metrics>,
}

struct Entrance {
    lane: lane::Sender,
    mode: Mode,
    /// What the lane had done before the process started; none once the source is past it.
    before: Option<LaneMark>,
}

/// The lanes are gone: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the lanes have ended")]
pub(crate) struct Closed;

impl Fanout {
    /// For these lanes, in the order that `acks` has them.
    pub(crate) fn new(
        acks: Arc<Acks>,
        lanes: impl Iterator<Item = (lane::Sender, Mode)>,
        metrics: Arc<Metrics>,
    ) -> Fanout {
        let before = |index: usize| Some(acks.before(index)).filter(|mark| *mark != crate::source::NOTHING);
        #[cfg(feature = "faults")]
        let before = |index| before(index).map(crate::fault::whole_transaction);
        let entrance = |(index, (lane, mode))| Entrance { lane, mode, before: before(index) };
        let lanes: Vec<Entrance> = lanes.enumerate().map(entrance).collect();
        metrics.lanes(lanes.len() as u64);
        Fanout { acks, lanes, metrics }
    }

    /// Hands a batch to every lane; waits, if it has to, for the slowest.
    pub(crate) async fn send(
        &mut self,
        batch: Arc<Batch>,
        first: OrderKey,
        last: OrderKey,
    ) -> Result<(), Closed> {
        crate::fault::point!("bus::push::before");
        let bytes = batch.len_bytes() as u64;
        let receipts = self.acks.deliver(last, bytes).map_err(|error| {
            tracing::error!(%error, "batch refused by its own bookkeeping");
            Closed
        })?;
        self.metrics.received(u64::from(batch.events()));
        for (entrance, receipt) in self.lanes.iter_mut().zip(receipts) {
            #[cfg(feature = "faults")]
            let receipt = crate::fault::settled_early(receipt);
            let Some(owed) = entrance.owed(&batch, first, last) else {
                receipt.settle();
                continue;
            };
            match entrance.mode {
                Mode::Reliable => entrance.lane.send(owed, receipt, &self.metrics).await?,
                Mode::Fast => entrance.lane.offer(owed, receipt, &self.metrics)?,
            }
        }
        crate::fault::point!("bus::push::after");
        Ok(())
    }
}

impl Entrance {
    /// The part of a batch that this lane has not had before.
    fn owed(&mut self, batch: &Arc<Batch>, first: OrderKey, last: OrderKey) -> Option<Arc<Batch>> {
        let Some(before) = &self.before else { return Some(Arc::clone(batch)) };
        if first.is_empty() {
            return Some(Arc::clone(batch));
        }
        let done_to = before.done.last().map_or(before.mark, |range| range.last.max(before.mark));
        if first > done_to {
            self.before = None;
            return Some(Arc::clone(batch));
        }
        if last <= before.mark {
            return None;
        }
        // If the batch cannot be cut, all of it is delivered: twice is allowed, never is not.
        batch.without(before).map_or_else(|_| Some(Arc::clone(batch)), |part| part.map(Arc::new))
    }
}
