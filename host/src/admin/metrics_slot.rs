//! The metrics of a replication slot and of the signs of life that are written for it.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::status::SourceStatus;

/// What the server may say of a slot's WAL.
const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

pub(crate) struct SlotMetrics {
    wal_status: IntGaugeVec,
    retained_bytes: IntGaugeVec,
    safe_bytes: IntGaugeVec,
    beats: IntCounterVec,
    beats_failed: IntCounterVec,
}

impl SlotMetrics {
    /// None if two metrics have one name.
    pub(super) fn new(registry: &Registry) -> Option<SlotMetrics> {
        use super::metrics::put;
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            put(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            put(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let detector = ["detector"];
        Some(SlotMetrics {
            wal_status: gauges(
                "pgcdc_slot_wal_status",
                "1 for what the server says of the slot's WAL: reserved, extended, unreserved or lost",
                &["detector", "status"],
            )?,
            retained_bytes: gauges(
                "pgcdc_slot_retained_bytes",
                "WAL that the server keeps for the slot",
                &detector,
            )?,
            safe_bytes: gauges(
                "pgcdc_slot_safe_wal_bytes",
                "WAL that may still be written before the slot may be lost; absent without a limit",
                &detector,
            )?,
            beats: counters("pgcdc_heartbeats_total", "Signs of life written to the database", &detector)?,
            beats_failed: counters("pgcdc_heartbeat_errors_total", "Signs of life that failed", &detector)?,
        })
    }

    /// Takes over what is known of a source's slot.
    pub(crate) fn show(&self, source: &str, status: &SourceStatus) {
        let shown = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (given, failed) = status.beats();
        for (counter, count) in [(&self.beats, given), (&self.beats_failed, failed)] {
            let counter = counter.with_label_values(&[source]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let Some(slot) = status.slot() else { return };
        for one in STATUSES {
            let is = i64::from(!slot.wal_status.is_empty() && slot.wal_status == one);
            self.wal_status.with_label_values(&[source, one]).set(is);
        }
        if let Some(bytes) = slot.retained_bytes {
            self.retained_bytes.with_label_values(&[source]).set(shown(bytes));
        }
        match slot.safe_wal_size {
            Some(bytes) => self.safe_bytes.with_label_values(&[source]).set(bytes),
            None => drop(self.safe_bytes.remove_label_values(&[source])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::super::status::SlotHealth;
    use super::*;

    #[test]
    fn exactly_one_status_is_hot() {
        let (metrics, status) = (Metrics::new().unwrap(), SourceStatus::default());
        metrics.slots.show("shop", &status);
        assert!(!metrics.text().contains("pgcdc_slot_wal_status{"));
        for now in ["reserved", "unreserved"] {
            status.slot_is(SlotHealth {
                wal_status: now.into(),
                retained_bytes: Some(7),
                safe_wal_size: Some(-1),
            });
            metrics.slots.show("shop", &status);
            let text = metrics.text();
            let hot: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("pgcdc_slot_wal_status{") && line.ends_with(" 1"))
                .collect();
            assert_eq!(hot, [format!("pgcdc_slot_wal_status{{detector=\"shop\",status=\"{now}\"}} 1")]);
            assert!(text.contains("pgcdc_slot_safe_wal_bytes{detector=\"shop\"} -1"), "{text}");
        }
    }
}
