//! What an operator sees: metrics, status, health, and the log's form.

pub mod guard;
pub mod http;
pub mod log;
pub mod metrics;
mod metrics_guard;
mod metrics_slot;
mod metrics_snapshot;
mod metrics_spill;
mod metrics_toast;
mod overview;
pub mod panics;
pub mod reload;
pub mod status;
