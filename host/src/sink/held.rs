//! Batches that a sink has taken and not settled yet: when to ask for a flush.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::line::Work;

/// By the number of the delivery.
#[derive(Default)]
pub(super) struct Held {
    works: BTreeMap<u64, Work>,
    bytes: u64,
    oldest: Option<Instant>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    /// Something in it has been in an instance that ended.
    pub(super) fn suspects(&self) -> bool {
        self.works.values().any(|work| work.deaths > 0)
    }

    /// It was all in an instance that ended; `accompanied`: no single one of it is to blame.
    pub(super) fn suspect(&mut self, accompanied: bool) {
        for work in self.works.values_mut() {
            work.deaths += 1;
            work.accompanied = accompanied;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    pub(super) fn insert(&mut self, sequence: u64, work: Work) {
        self.bytes += work.batch.len_bytes() as u64;
        self.oldest.get_or_insert_with(Instant::now);
        self.works.insert(sequence, work);
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Work> {
        let work = self.works.remove(&sequence)?;
        self.bytes -= work.batch.len_bytes() as u64;
        if self.works.is_empty() {
            self.oldest = None;
        }
        Some(work)
    }

    /// When the next flush is due, by age.
    pub(super) fn due(&self, after: Duration) -> Option<Instant> {
        self.oldest.map(|oldest| oldest + after)
    }

    /// A flush was answered: what is still held ages anew.
    pub(super) fn flushed(&mut self) {
        self.oldest = (!self.works.is_empty()).then(Instant::now);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The instance is gone, and with it what it held: everything comes back, in order.
    pub(super) fn take_all(&mut self) -> Vec<Work> {
        self.bytes = 0;
        self.oldest = None;
        std::mem::take(&mut self.works).into_values().collect()
    }
}
