//! Flags for what happens when a replication slot lags, or another pgcdc does the same.

use std::time::Duration;

use clap::Args;

use super::args;
use crate::manifest::backpressure::BackpressureOverrides;
use crate::manifest::quantity;

/// Backpressure, from the command line.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PressureFlags {
    /// Slow down, pause and shed when the replication slot lags
    #[arg(long)]
    pub backpressure: bool,
    /// From this lag on the source is slowed down [default: 524288000]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub bp_warn_threshold: Option<u64>,
    /// From this lag on it is paused [default: 2147483648]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub bp_critical_threshold: Option<u64>,
    /// The longest wait before a portion is read [default: 500ms]
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    pub bp_max_throttle: Option<Duration>,
    /// How often the slot's lag is asked for [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    pub bp_poll_interval: Option<Duration>,
}

impl PressureFlags {
    /// As a layer of settings.
    pub(super) fn overrides(&self) -> BackpressureOverrides {
        BackpressureOverrides {
            enabled: self.backpressure.then_some(true),
            warn_threshold: self.bp_warn_threshold,
            critical_threshold: self.bp_critical_threshold,
            max_throttle: self.bp_max_throttle,
            poll_interval: self.bp_poll_interval,
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    let value = quantity::bytes(text).filter(|bytes| *bytes > 0);
    value.ok_or_else(|| "wanted: a size of 1 byte or more, such as 524288000, 500MB or 2GiB".to_owned())
}
