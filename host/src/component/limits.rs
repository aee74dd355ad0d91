//! What bounds a guest: memory, CPU between completions, wall clock, what it hands over, log lines.
//!
//! A denial is remembered, because all that a guest sees of it is a failed allocation: the report names the
//! limit, not the `unreachable` that followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use wasmtime::ResourceLimiter;

/// The limits of one instance; the operator's `limits`, or these defaults.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Linear memory, and the batches that its handles keep; each.
    pub(crate) memory_bytes_max: usize,
    /// CPU time without finishing a call or asking the host for anything.
    pub(crate) cpu_max: Duration,
    /// Wall clock of one call.
    pub(crate) call_max: Duration,
    /// What one call may return, and what one call of the guest's may hand to the host. Parts of batches that it names do not count.
    pub(crate) output_bytes_max: usize,
    /// Log lines; ten seconds' worth of them at once.
    pub(crate) log_lines_per_s: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes_max: 64 * 1024 * 1024,
            cpu_max: Duration::from_secs(1),
            call_max: Duration::from_secs(60),
            output_bytes_max: 64 * 1024 * 1024,
            log_lines_per_s: 10,
        }
    }
}

/// Denies memory and tables past the limit, and remembers that it did.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    denied: Option<String>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Limiter {
        Limiter { memory_bytes_max: limits.memory_bytes_max, denied: None }
    }

    pub(super) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }

    pub(super) fn deny(&mut self, what: String) {
        self.denied.get_or_insert(what);
    }

    /// The first denial, in words.
    pub(super) fn denied(&self) -> Option<&str> {
        self.denied.as_deref()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.memory_bytes_max;
        if !granted {
            self.deny(format!("memory: {desired} bytes wanted, the limit is {}", self.memory_bytes_max));
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        const ELEMENTS_MAX: usize = 100_000;
        if desired > ELEMENTS_MAX {
            self.deny(format!("table: {desired} elements wanted, the limit is {ELEMENTS_MAX}"));
        }
        Ok(desired <= ELEMENTS_MAX)
    }
}

/// CPU time of one Store, counted in epochs; shared by the Store's callback and by whoever polls it.
#[derive(Default)]
pub(crate) struct CpuMeter {
    epochs: AtomicU32,
    yielded: AtomicBool,
}

impl CpuMeter {
    /// Called when the Store is polled: unless the guest only gave way, it has been waiting, and starts anew.
    pub(super) fn resumed(&self) {
        if !self.yielded.swap(false, Ordering::Relaxed) {
            self.epochs.store(0, Ordering::Relaxed);
        }
    }

    /// One more epoch on the CPU; whether the budget still holds.
    pub(super) fn tick(&self, budget: Duration) -> bool {
        self.yielded.store(true, Ordering::Relaxed);
        let used = self.epochs.fetch_add(1, Ordering::Relaxed);
        Duration::from_millis(u64::from(used) * pgcdc_artifact::native::EPOCH_MS) <= budget
    }
}

/// A token bucket for a guest's log lines.
pub(crate) struct LogRate {
    tokens: f64,
    refilled: Instant,
    suppressed: u64,
    per_s: f64,
    /// All that were not written.
    suppressed_total: IntCounter,
}

/// Lines at once after a pause, as seconds of the rate.
const LOG_BURST_S: f64 = 10.0;

impl LogRate {
    pub(super) fn new(limits: &Limits, suppressed_total: IntCounter) -> LogRate {
        let per_s = f64::from(limits.log_lines_per_s);
        LogRate {
            tokens: per_s * LOG_BURST_S,
            refilled: Instant::now(),
            suppressed: 0,
            per_s,
            suppressed_total,
        }
    }

    /// Whether one more line may be written; says how many were not, once lines are admitted again.
    pub(super) fn admit(&mut self, connector: &str) -> bool {
        let now = Instant::now();
        self.tokens =
            (self.tokens + (now - self.refilled).as_secs_f64() * self.per_s).min(self.per_s * LOG_BURST_S);
        self.refilled = now;
        if self.tokens < 1.0 {
            self.suppressed += 1;
            self.suppressed_total.inc();
            return false;
        }
        self.tokens -= 1.0;
        if self.suppressed > 0 {
            let suppressed = self.suppressed;
            tracing::warn!(connector, suppressed, "log lines of a connector were over its rate");
            self.suppressed = 0;
        }
        true
    }
}

/// Shared with the Store's epoch callback.
pub(super) type SharedMeter = Arc<CpuMeter>;
