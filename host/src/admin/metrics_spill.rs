//! The metrics of transactions that are received while they are in progress.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::wal::News;

pub(crate) struct SpillMetrics {
    disk_bytes: IntGaugeVec,
    open: IntGaugeVec,
    written_bytes: IntCounterVec,
    committed: IntCounterVec,
}

impl SpillMetrics {
    /// None if two metrics have one name.
    pub(super) fn new(registry: &Registry) -> Option<SpillMetrics> {
        use super::metrics::put;
        let detector = ["detector"];
        let gauges =
            |name: &str, help: &str| put(registry, IntGaugeVec::new(Opts::new(name, help), &detector));
        let counters =
            |name: &str, help: &str| put(registry, IntCounterVec::new(Opts::new(name, help), &detector));
        Some(SpillMetrics {
            disk_bytes: gauges("pgcdc_wal_spill_bytes", "Bytes on the disk of transactions in progress")?,
            open: gauges(
                "pgcdc_wal_streamed_open",
                "Transactions in progress of which something was received",
            )?,
            written_bytes: counters(
                "pgcdc_wal_spill_written_bytes_total",
                "Bytes of transactions in progress that were written to the disk",
            )?,
            committed: counters(
                "pgcdc_wal_streamed_total",
                "Committed transactions that were received while they were in progress",
            )?,
        })
    }

    pub(crate) fn tell(&self, source: &str, news: &News) {
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.disk_bytes.with_label_values(&[source]).set(shown(news.disk_bytes));
        self.open.with_label_values(&[source]).set(shown(news.open as u64));
        self.written_bytes.with_label_values(&[source]).inc_by(news.written_bytes);
        self.committed.with_label_values(&[source]).inc_by(news.committed);
    }
}
