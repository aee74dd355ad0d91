//! What comes to the lane: transformed, and put in the line; or passed by.

use std::sync::Arc;

use super::Runner;
use crate::bus::Delivery;
use crate::component::v1::WireError;
use crate::dlq::{Refusal, What};
use crate::sink::line::Work;
use crate::sink::tries::Tries;

impl Runner {
    /// Transforms a batch and puts what is left of it in the line.
    pub(super) async fn take(&mut self, delivery: Delivery) -> Result<(), String> {
        let Delivery { batch, receipt, room } = delivery;
        if let Some(origin) = batch.origin().filter(|origin| !origin.refused.is_empty()) {
            let refusals = origin.refused.iter().map(Refusal::named).collect();
            self.lane.dlq.put(&self.lane.name, refusals).await;
        }
        let events = batch.events();
        if events == 0 {
            receipt.settle();
            return Ok(());
        }
        let derived = self.lane.chain.apply(batch).await;
        let left: u32 = derived.batches.iter().map(|batch| batch.events()).sum();
        let failed = derived.failed.len() as u64;
        self.lane.metrics.transformed(&self.lane.name, u64::from(events.saturating_sub(left)), failed);
        self.lane.status.dead_lettered(failed);
        if !derived.failed.is_empty() {
            let refusals = derived.failed.iter().map(|failed| Refusal {
                what: What::Event { batch: Arc::clone(&failed.batch), index: failed.index },
                error: failed.error.clone(),
                transform: Some(Arc::clone(&failed.by)),
            });
            self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        }
        for batch in derived.batches {
            let work = Work {
                batch,
                receipt: receipt.split(),
                room: Arc::clone(&room),
                attempts: 0,
                tries: Tries::default(),
                deaths: 0,
                accompanied: false,
            };
            self.line.push(work);
        }
        receipt.settle();
        Ok(())
    }

    /// Dead-letters what would have been next: too much of what went before ended there.
    pub(super) async fn pass_by(&mut self) {
        let Some(work) = self.line.skip() else { return };
        let error = WireError {
            code: "unavailable".into(),
            message: "not delivered: too many of the last deliveries ended as dead letters (dlq.window_size)"
                .into(),
            context: Vec::new(),
            retry_after_ms: None,
        };
        let events = work.batch.events();
        let refusals = (0..events).map(|index| Refusal::delivery(&work.batch, index, error.clone()));
        self.lane.metrics.guard.passed_by(&self.lane.name, u64::from(events));
        self.lane.status.dead_lettered(u64::from(events));
        self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        work.receipt.settle();
    }
}
