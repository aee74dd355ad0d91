//! The metrics of snapshots, which `pgcdc snapshot` reads for its progress, too.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

pub(crate) struct SnapshotMetrics {
    rows: IntCounter,
    took_s: Histogram,
    expected: IntGauge,
}

impl SnapshotMetrics {
    /// None if two metrics have one name.
    pub(super) fn new(registry: &Registry) -> Option<SnapshotMetrics> {
        use super::metrics::put;
        let took =
            HistogramOpts::new("pgcdc_snapshot_duration_seconds", "Snapshots that were read to their end")
                .buckets(vec![1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0]);
        Some(SnapshotMetrics {
            rows: put(
                registry,
                IntCounter::new("pgcdc_snapshot_rows_exported_total", "Rows that snapshots have handed on"),
            )?,
            took_s: put(registry, Histogram::with_opts(took))?,
            expected: put(
                registry,
                IntGauge::new(
                    "pgcdc_snapshot_rows_estimated",
                    "Rows of the last snapshot that began, as far as the server knows",
                ),
            )?,
        })
    }

    pub(crate) fn rows(&self, rows: u64) {
        self.rows.inc_by(rows);
    }

    pub(crate) fn ended(&self, took: Duration) {
        self.took_s.observe(took.as_secs_f64());
    }

    pub(crate) fn expected(&self, rows: u64) {
        self.expected.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Rows handed on, and rows that there may be; 0: nobody knows.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.rows.get(), u64::try_from(self.expected.get()).unwrap_or_default())
    }
}
