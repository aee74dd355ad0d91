//! The metrics of what stands between a lane and its sink.

use std::time::Duration;

use pgcdc_core::breaker;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::guard::Life;

/// A wait for a token that is no longer than this is none.
const WAIT_MIN: Duration = Duration::from_millis(1);

pub(crate) struct GuardMetrics {
    breaker_state: IntGaugeVec,
    breaker_trips: IntCounterVec,
    rate_waits: IntCounterVec,
    rate_wait_s: HistogramVec,
    paused: IntGaugeVec,
    passed_by: IntCounterVec,
    component_state: IntGaugeVec,
    log_suppressed: IntCounterVec,
}

impl GuardMetrics {
    /// None if two metrics have one name.
    pub(super) fn new(registry: &Registry) -> Option<GuardMetrics> {
        use super::metrics::put;
        let adapter = ["adapter"];
        let counters = |name: &str, help: &str, labels: &[&str]| {
            put(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            put(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let wait = HistogramOpts::new("pgcdc_rate_limit_wait_duration_seconds", "Waits for the rate limit")
            .buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]);
        Some(GuardMetrics {
            breaker_state: gauges("pgcdc_circuit_breaker_state", "0 closed, 1 open, 2 half-open", &adapter)?,
            breaker_trips: counters("pgcdc_circuit_breaker_trips_total", "Times it opened", &adapter)?,
            rate_waits: counters(
                "pgcdc_rate_limit_waits_total",
                "Deliveries that waited for the rate limit",
                &adapter,
            )?,
            rate_wait_s: put(registry, HistogramVec::new(wait, &adapter))?,
            paused: gauges("pgcdc_adapter_paused", "1 while the nack window passes the sink by", &adapter)?,
            passed_by: counters(
                "pgcdc_nack_window_exceeded_total",
                "Events dead-lettered undelivered because of the nack window",
                &adapter,
            )?,
            component_state: gauges(
                "pgcdc_component_state",
                "1 for what the component is doing: running, restarting or quarantined",
                &["component", "state"],
            )?,
            log_suppressed: counters(
                "pgcdc_component_log_lines_suppressed_total",
                "Log lines over the component's rate",
                &["component"],
            )?,
        })
    }

    pub(crate) fn breaker(&self, sink: &str, state: breaker::State) {
        self.breaker_state.with_label_values(&[sink]).set(i64::from(state.number()));
    }

    pub(crate) fn no_breaker(&self, sink: &str) {
        let _ = self.breaker_state.remove_label_values(&[sink]);
    }

    pub(crate) fn tripped(&self, sink: &str) {
        self.breaker_trips.with_label_values(&[sink]).inc();
    }

    pub(crate) fn rate_waited(&self, sink: &str, waited: Duration) {
        if waited > WAIT_MIN {
            self.rate_waits.with_label_values(&[sink]).inc();
            self.rate_wait_s.with_label_values(&[sink]).observe(waited.as_secs_f64());
        }
    }

    pub(crate) fn paused(&self, sink: &str, paused: bool) {
        self.paused.with_label_values(&[sink]).set(i64::from(paused));
    }

    pub(crate) fn passed_by(&self, sink: &str, events: u64) {
        self.passed_by.with_label_values(&[sink]).inc_by(events);
    }

    pub(crate) fn life(&self, component: &str, now: Life) {
        for life in Life::ALL {
            self.component_state.with_label_values(&[component, life.as_str()]).set(i64::from(life == now));
        }
    }

    /// A component's own, found once: a flood is counted line by line.
    pub(crate) fn log_suppressed(&self, component: &str) -> IntCounter {
        self.log_suppressed.with_label_values(&[component])
    }
}
