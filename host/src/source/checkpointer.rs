//! Stores what is settled, then lets PostgreSQL know: at most every 200 ms or 64 MiB, only on change, and at the end.

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::checkpoint::Checkpoint;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Living, SourceLink};
use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::store::Memory;

const EVERY: Duration = Duration::from_millis(200);
const BYTES: u64 = 64 * 1024 * 1024;
/// After a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The memory's key for a source.
pub(crate) fn key(source: &str) -> String {
    format!("source/{source}")
}

/// One source's checkpoints.
pub(crate) struct Checkpointer {
    pub(crate) link: Arc<SourceLink>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) living: watch::Receiver<Option<Living>>,
    /// True once the lanes have worked off everything: store a last time and end.
    pub(crate) drained: watch::Receiver<bool>,
}

#[derive(Default)]
struct Last {
    bytes_done: u64,
}

impl Checkpointer {
    /// Runs until everything is drained. The error is for the operator: somebody else writes this source's checkpoints.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let mut last = Last::default();
        let mut due = Instant::now();
        loop {
            let ended = self.wait(&last, due).await;
            due = Instant::now() + EVERY;
            if let Err(error) = self.store(&mut last).await {
                tracing::error!(detector = &*self.link.name, %error, "checkpoint not stored: positions stay where they are");
                self.link.status.failed(
                    &error.to_string(),
                    "check the checkpoint store: nothing is confirmed until it works",
                );
                if error.conflict {
                    return Err(format!("detectors.{}: {error}", self.link.name));
                }
                due = Instant::now() + RETRY;
            }
            if ended {
                self.link.farewell().await;
                return Ok(());
            }
        }
    }

    /// Until something moved and enough time or bytes have passed; true at the end.
    async fn wait(&mut self, last: &Last, due: Instant) -> bool {
        let progress = self.link.wal().map(|wal| wal.progress);
        let offered = async {
            match &progress {
                Some(progress) => progress.offered().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.drained.wait_for(|drained| *drained) => return true,
            () = self.acks.moved.notified() => {}
            () = self.link.changed.notified() => {}
            () = offered => {}
        }
        loop {
            self.link.moved.notify_waiters();
            if self.acks.bytes_done().saturating_sub(last.bytes_done) >= BYTES {
                return false;
            }
            tokio::select! {
                _ = self.drained.wait_for(|drained| *drained) => return true,
                () = tokio::time::sleep_until(due) => return false,
                () = self.acks.moved.notified() => {}
            }
        }
    }

    async fn store(&self, last: &mut Last) -> Result<(), crate::store::Error> {
        let standing = self.acks.standing();
        last.bytes_done = standing.bytes_done;
        self.tell().await;
        let Some((wal, storable)) = self.link.storable(standing.frontier) else { return Ok(()) };
        if !wal.temporary {
            let stored = self.link.checkpoint();
            let lanes = standing.lanes.clone();
            let mut checkpoint = Checkpoint::of_wal(stored.as_ref(), &wal.identity, storable, lanes);
            self.link.store_strands(&mut checkpoint, &standing);
            if stored.as_ref() != Some(&checkpoint) {
                let bytes = checkpoint.encode().map_err(crate::store::Error::new)?;
                #[cfg(feature = "faults")]
                if storable > wal.progress.status().confirmed {
                    crate::fault::confirm_early(&wal.progress, storable);
                    let _ = crate::fault::pause!("store::write::further");
                }
                if crate::fault::pause!("store::write::before") {
                    return Err(crate::store::Error::new("a fault that was asked for"));
                }
                self.memory.set(&key(&self.link.name), Some(bytes)).await?;
                if crate::fault::fails!("store::write::after") {
                    return Err(crate::store::Error::new("a fault that was asked for"));
                }
                self.link.set_checkpoint(checkpoint);
            }
        }
        self.metrics.checkpointed(&self.link.name, storable.0);
        self.link.status.stored(storable);
        wal.progress.stored(storable);
        Ok(())
    }

    /// Names to a component source what is settled. It may free what it holds; nothing depends on its answer.
    async fn tell(&self) {
        let settled = self.acks.take_settled();
        let living = self.living.borrow().clone();
        if let (Some(living), false) = (living, settled.is_empty()) {
            living.tell(&settled).await;
        }
    }
}
