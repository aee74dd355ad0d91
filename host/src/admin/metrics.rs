//! Every metric's name and labels, once.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::metrics_guard::GuardMetrics;
use super::metrics_slot::SlotMetrics;
use super::metrics_snapshot::SnapshotMetrics;
use super::metrics_spill::SpillMetrics;
use super::metrics_toast::ToastMetrics;

/// Series that one process's connectors may make with names of their own.
const CONNECTOR_SERIES_MAX: usize = 1_000;
/// That a sink is passed by is logged at most this often.
const SHED_LOG_EVERY: Duration = Duration::from_secs(10);

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    received: IntCounter,
    subscribers: IntGauge,
    delivered: IntCounterVec,
    dropped: IntCounterVec,
    backpressure: IntCounterVec,
    lost: IntCounterVec,
    dead_letters: IntCounterVec,
    dlq_errors: IntCounter,
    retries: IntCounterVec,
    delivery_s: HistogramVec,
    transform_dropped: IntCounterVec,
    transform_errors: IntCounterVec,
    restarts: IntCounterVec,
    reloads: IntCounter,
    reload_errors: IntCounter,
    panics: IntCounter,
    checkpoints: IntCounter,
    checkpoint_lsn: IntGaugeVec,
    slot_lag_bytes: IntGaugeVec,
    source_lag_s: GaugeVec,
    source_errors: IntCounterVec,
    source_up: IntGaugeVec,
    sink_up: IntGaugeVec,
    queue_depth: IntGaugeVec,
    load_shed: IntCounterVec,
    throttle_s: HistogramVec,
    zone: IntGaugeVec,
    ack_position: IntGaugeVec,
    checkpoint_lag_bytes: IntGaugeVec,
    connector_counters: CounterVec,
    connector_gauges: GaugeVec,
    connector_histograms: HistogramVec,
    pub(crate) guard: GuardMetrics,
    pub(crate) spill: SpillMetrics,
    pub(crate) toast: ToastMetrics,
    pub(crate) slots: SlotMetrics,
    pub(crate) snapshot: SnapshotMetrics,
    connector_series: Mutex<HashSet<String>>,
    shed_logged: Mutex<HashMap<String, Instant>>,
    overflow_bytes: IntGaugeVec,
    overflow_events: IntCounterVec,
    buffered_bytes: IntGaugeVec,
}

/// Registers a collector; a name that is there twice is a fault of this file, seen by its test.
pub(super) fn put<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> Option<C> {
    let collector = made.ok()?;
    registry.register(Box::new(collector.clone())).ok()?;
    Some(collector)
}

impl Metrics {
    /// None if two metrics have one name.
    #[must_use]
    pub fn new() -> Option<Metrics> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| put(&registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            put(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            put(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let own = ["connector", "name"];
        let version = put(
            &registry,
            IntGaugeVec::new(Opts::new("pgcdc_build_info", "1, with the version"), &["version"]),
        )?;
        version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Some(Metrics {
            received: counter("pgcdc_events_received_total", "Events taken from sources")?,
            subscribers: put(&registry, IntGauge::new("pgcdc_bus_subscribers", "Lanes behind the bus"))?,
            delivered: counters("pgcdc_events_delivered_total", "Events durable at a sink", &["adapter"])?,
            dropped: counters("pgcdc_events_dropped_total", "Events dropped by a full lane", &["adapter"])?,
            backpressure: counters(
                "pgcdc_bus_backpressure_total",
                "Times that a full lane held a source",
                &["adapter"],
            )?,
            lost: counters(
                "pgcdc_events_lost_total",
                "Events refused with no dead-letter queue",
                &["adapter"],
            )?,
            dead_letters: counters("pgcdc_dlq_records_total", "Events dead-lettered", &["adapter"])?,
            dlq_errors: counter("pgcdc_dlq_errors_total", "Failures of the dead-letter queue")?,
            retries: counters("pgcdc_middleware_retries_total", "Deliveries tried again", &["adapter"])?,
            delivery_s: put(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("pgcdc_middleware_delivery_duration_seconds", "One write of a batch"),
                    &["adapter"],
                ),
            )?,
            transform_dropped: counters(
                "pgcdc_transform_dropped_total",
                "Events dropped by transforms or routes",
                &["adapter"],
            )?,
            transform_errors: counters(
                "pgcdc_transform_errors_total",
                "Events that a transform failed on",
                &["adapter"],
            )?,
            restarts: counters("pgcdc_component_restarts_total", "Instances made anew", &["component"])?,
            reloads: counter("pgcdc_config_reloads_total", "Reloads that were taken over")?,
            reload_errors: counter("pgcdc_config_reload_errors_total", "Reloads that were refused")?,
            panics: counter("pgcdc_panics_recovered_total", "Panics of the host that were caught")?,
            checkpoints: counter("pgcdc_checkpoint_total", "Checkpoints stored")?,
            checkpoint_lsn: gauges(
                "pgcdc_checkpoint_lsn",
                "Position of the last stored checkpoint",
                &["detector"],
            )?,
            slot_lag_bytes: gauges(
                "pgcdc_slot_lag_bytes",
                "WAL behind the server's end that is not confirmed",
                &["detector"],
            )?,
            source_lag_s: put(
                &registry,
                GaugeVec::new(
                    Opts::new("pgcdc_source_lag_seconds", "Age of the last received commit when it came"),
                    &["detector"],
                ),
            )?,
            source_errors: counters("pgcdc_source_errors_total", "Failures of a source", &["detector"])?,
            source_up: gauges("pgcdc_source_up", "1 while connected", &["detector"])?,
            sink_up: gauges("pgcdc_sink_up", "1 while the last delivery went well", &["adapter"])?,
            queue_depth: gauges(
                "pgcdc_adapter_queue_depth",
                "Batches a lane has not answered for",
                &["adapter"],
            )?,
            load_shed: counters(
                "pgcdc_backpressure_load_shed_total",
                "Events that a sink did not get because the slot lags",
                &["adapter"],
            )?,
            throttle_s: put(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "pgcdc_backpressure_throttle_duration_seconds",
                        "Waits of a reader because its slot lags",
                    )
                    .buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5]),
                    &["detector"],
                ),
            )?,
            zone: gauges("pgcdc_backpressure_state", "0 green, 1 yellow, 2 red", &["detector"])?,
            ack_position: gauges(
                "pgcdc_ack_position",
                "Position up to which a sink has everything",
                &["adapter"],
            )?,
            checkpoint_lag_bytes: gauges(
                "pgcdc_checkpoint_lag_bytes",
                "WAL between the last stored checkpoint and the server's end",
                &["detector"],
            )?,
            connector_counters: put(
                &registry,
                CounterVec::new(
                    Opts::new("pgcdc_connector_count_total", "Counters of connectors' own"),
                    &own,
                ),
            )?,
            connector_gauges: put(
                &registry,
                GaugeVec::new(Opts::new("pgcdc_connector_gauge", "Gauges of connectors' own"), &own),
            )?,
            connector_histograms: put(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("pgcdc_connector_observations", "Observations of connectors' own"),
                    &own,
                ),
            )?,
            guard: GuardMetrics::new(&registry)?,
            spill: SpillMetrics::new(&registry)?,
            toast: ToastMetrics::new(&registry)?,
            slots: SlotMetrics::new(&registry)?,
            snapshot: SnapshotMetrics::new(&registry)?,
            connector_series: Mutex::default(),
            shed_logged: Mutex::default(),
            overflow_bytes: gauges(
                "pgcdc_overflow_bytes",
                "Bytes on the disk for a lane that is behind",
                &["adapter"],
            )?,
            overflow_events: counters(
                "pgcdc_overflow_events_total",
                "Events that went to the disk for a lane that was behind",
                &["adapter"],
            )?,
            buffered_bytes: gauges(
                "pgcdc_bus_buffered_bytes",
                "Bytes of batches that a lane holds in memory, in flight included",
                &["adapter"],
            )?,
            registry,
        })
    }

    /// The Prometheus text form.
    #[must_use]
    pub fn text(&self) -> String {
        self.panics.inc_by(super::panics::count().saturating_sub(self.panics.get()));
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        if encoded.is_err() {
            text.clear();
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// Events that some sink has not got, and will not get: dead-lettered, lost or dropped.
    pub(crate) fn undelivered(&self) -> u64 {
        let families = [&self.dead_letters, &self.lost, &self.dropped].map(Collector::collect);
        let counts = families.iter().flatten().flat_map(|family| family.get_metric());
        counts.map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    pub(crate) fn lanes(&self, lanes: u64) {
        self.subscribers.set(i64::try_from(lanes).unwrap_or(i64::MAX));
    }

    pub(crate) fn received(&self, events: u64) {
        self.received.inc_by(events);
    }

    pub(crate) fn delivered(&self, sink: &str, events: u64) {
        self.delivered.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn dropped(&self, sink: &str, events: u64) {
        self.dropped.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn overflowed(&self, sink: &str, events: u64) {
        self.overflow_events.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn buffered(&self, sink: &str, memory_bytes: u64, disk_bytes: u64) {
        let shown = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.buffered_bytes.with_label_values(&[sink]).set(shown(memory_bytes));
        self.overflow_bytes.with_label_values(&[sink]).set(shown(disk_bytes));
    }

    pub(crate) fn backpressure(&self, sink: &str) {
        self.backpressure.with_label_values(&[sink]).inc();
    }

    pub(crate) fn lost(&self, sink: &str, events: u64) {
        self.lost.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn dead_lettered(&self, sink: &str, events: u64) {
        self.dead_letters.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn dlq_failed(&self) {
        self.dlq_errors.inc();
    }

    pub(crate) fn retried(&self, sink: &str) {
        self.retries.with_label_values(&[sink]).inc();
    }

    pub(crate) fn delivery_took(&self, sink: &str, took: Duration) {
        self.delivery_s.with_label_values(&[sink]).observe(took.as_secs_f64());
    }

    pub(crate) fn transformed(&self, sink: &str, gone: u64, failed: u64) {
        if gone > failed {
            self.transform_dropped.with_label_values(&[sink]).inc_by(gone - failed);
        }
        if failed > 0 {
            self.transform_errors.with_label_values(&[sink]).inc_by(failed);
        }
    }

    pub(crate) fn restarted(&self, component: &str) {
        self.restarts.with_label_values(&[component]).inc();
    }

    pub(crate) fn reloaded(&self, taken_over: bool) {
        if taken_over { self.reloads.inc() } else { self.reload_errors.inc() }
    }

    pub(crate) fn checkpointed(&self, source: &str, lsn: u64) {
        self.checkpoints.inc();
        self.checkpoint_lsn.with_label_values(&[source]).set(i64::try_from(lsn).unwrap_or(i64::MAX));
    }

    pub(crate) fn slot_lag(&self, source: &str, bytes: u64) {
        self.slot_lag_bytes.with_label_values(&[source]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn source_lag(&self, source: &str, seconds: f64) {
        self.source_lag_s.with_label_values(&[source]).set(seconds);
    }

    pub(crate) fn source_failed(&self, source: &str) {
        self.source_errors.with_label_values(&[source]).inc();
    }

    pub(crate) fn source_up(&self, source: &str, up: bool) {
        self.source_up.with_label_values(&[source]).set(i64::from(up));
    }

    pub(crate) fn sink_up(&self, sink: &str, up: bool) {
        self.sink_up.with_label_values(&[sink]).set(i64::from(up));
    }

    pub(crate) fn queue_depth(&self, sink: &str, batches: u64) {
        self.queue_depth.with_label_values(&[sink]).set(i64::try_from(batches).unwrap_or(i64::MAX));
    }

    /// Whether the shedding is to be logged, too.
    pub(crate) fn load_shed(&self, sink: &str, events: u64) -> bool {
        self.load_shed.with_label_values(&[sink]).inc_by(events);
        let Ok(mut logged) = self.shed_logged.lock() else { return false };
        let due = logged.get(sink).is_none_or(|at| at.elapsed() >= SHED_LOG_EVERY);
        if due {
            logged.insert(sink.to_string(), Instant::now());
        }
        due
    }

    pub(crate) fn throttled(&self, source: &str, took: Duration) {
        self.throttle_s.with_label_values(&[source]).observe(took.as_secs_f64());
    }

    pub(crate) fn zone(&self, source: &str, number: u8) {
        self.zone.with_label_values(&[source]).set(i64::from(number));
    }

    pub(crate) fn ack_position(&self, sink: &str, lsn: u64) {
        self.ack_position.with_label_values(&[sink]).set(i64::try_from(lsn).unwrap_or(i64::MAX));
    }

    pub(crate) fn checkpoint_lag(&self, source: &str, bytes: u64) {
        self.checkpoint_lag_bytes.with_label_values(&[source]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Whether a connector may have this series: its name is plain, and there are not too many.
    fn admits(&self, connector: &str, name: &str) -> bool {
        let plain = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let Ok(mut series) = self.connector_series.lock() else { return false };
        let key = format!("{connector}/{name}");
        plain && (series.contains(&key) || (series.len() < CONNECTOR_SERIES_MAX && series.insert(key)))
    }

    pub(crate) fn connector_counter(&self, connector: &str, name: &str, value: f64) {
        if value.is_finite() && value >= 0.0 && self.admits(connector, name) {
            self.connector_counters.with_label_values(&[connector, name]).inc_by(value);
        }
    }

    pub(crate) fn connector_gauge(&self, connector: &str, name: &str, value: f64) {
        if value.is_finite() && self.admits(connector, name) {
            self.connector_gauges.with_label_values(&[connector, name]).set(value);
        }
    }

    pub(crate) fn connector_observe(&self, connector: &str, name: &str, value: f64) {
        if value.is_finite() && self.admits(connector, name) {
            self.connector_histograms.with_label_values(&[connector, name]).observe(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_the_text_has_them() {
        let metrics = Metrics::new().unwrap();
        metrics.received(3);
        assert!(metrics.text().contains("pgcdc_events_received_total 3"));
    }

    #[test]
    fn connectors_cannot_flood_the_registry() {
        let metrics = Metrics::new().unwrap();
        for n in 0..2 * CONNECTOR_SERIES_MAX {
            metrics.connector_counter("c", &format!("n{n}"), 1.0);
        }
        metrics.connector_counter("c", "Bad name", 1.0);
        assert_eq!(metrics.text().matches("pgcdc_connector_count_total{").count(), CONNECTOR_SERIES_MAX);
    }
}
