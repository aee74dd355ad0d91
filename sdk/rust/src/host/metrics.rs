//! Metrics of a connector's own. The host prefixes `pgcdc_` and the connector's kind, adds its name as a
//! label, and bounds how many series there may be.

use crate::backend;

/// A counter goes up.
pub fn count(name: &str, by: f64) {
    backend::metrics::counter_add(name, by);
}

/// A gauge is set.
pub fn gauge(name: &str, value: f64) {
    backend::metrics::gauge_set(name, value);
}

/// A histogram takes a value: durations in seconds, sizes in bytes.
pub fn observe(name: &str, value: f64) {
    backend::metrics::observe(name, value);
}
