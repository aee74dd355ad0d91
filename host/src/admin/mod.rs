//! What an operator sees: metrics, status, health, and the log's form.

pub mod http;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod reload;
pub mod status;
