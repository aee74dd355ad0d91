//! The metrics of a source's memory of values that the server did not send.

use pgcdc_core::assembler::ToastCounts;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

pub(crate) struct ToastMetrics {
    hits: IntCounterVec,
    misses: IntCounterVec,
    evictions: IntCounterVec,
    entries: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl ToastMetrics {
    /// None if two metrics have one name.
    pub(super) fn new(registry: &Registry) -> Option<ToastMetrics> {
        use super::metrics::put;
        let counters =
            |name: &str, help: &str| put(registry, IntCounterVec::new(Opts::new(name, help), &["detector"]));
        let gauges =
            |name: &str, help: &str| put(registry, IntGaugeVec::new(Opts::new(name, help), &["detector"]));
        Some(ToastMetrics {
            hits: counters("pgcdc_toast_cache_hits_total", "Updates whose unsent values were filled in")?,
            misses: counters(
                "pgcdc_toast_cache_misses_total",
                "Updates with an unsent value that was not known",
            )?,
            evictions: counters(
                "pgcdc_toast_cache_evictions_total",
                "Rows forgotten for want of room, or with their table",
            )?,
            entries: gauges("pgcdc_toast_cache_entries", "Rows that are remembered")?,
            bytes: gauges("pgcdc_toast_cache_bytes", "What the remembered rows take")?,
        })
    }

    /// What happened since the last call.
    pub(crate) fn show(&self, detector: &str, counts: ToastCounts) {
        let label = &[detector];
        self.hits.with_label_values(label).inc_by(counts.hits);
        self.misses.with_label_values(label).inc_by(counts.misses);
        self.evictions.with_label_values(label).inc_by(counts.evictions);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.entries.with_label_values(label).set(number(counts.entries));
        self.bytes.with_label_values(label).set(number(counts.bytes));
    }
}
