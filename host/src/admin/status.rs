//! What is known of each source and sink at this moment; written by their loops, read by `status`, health and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pgcdc_core::lsn::Lsn;

use super::guard::Guard;
use crate::batch::Batch;
use crate::bus::Buffer;

/// The last failure, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened.
    pub error: String,
    /// What the operator can do.
    pub next_step: String,
}

#[derive(Default)]
struct Health {
    up: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

impl Health {
    fn set(&self, up: bool, trouble: Option<Trouble>) {
        self.up.store(up, Ordering::Relaxed);
        let mut held = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_some() {
            *held = trouble;
        }
    }
}

/// One source.
#[derive(Default)]
pub struct SourceStatus {
    health: Health,
    received: Mutex<Vec<u8>>,
    stored: AtomicU64,
    lag_bytes: AtomicU64,
    lag_ms: AtomicU64,
}

impl SourceStatus {
    pub(crate) fn up(&self) {
        if !self.health.up.load(Ordering::Relaxed) {
            self.health.set(true, None);
        }
    }

    pub(crate) fn failed(&self, error: &str, next_step: &str) {
        self.health.set(false, Some(Trouble { error: error.into(), next_step: next_step.into() }));
    }

    pub(crate) fn received(&self, batch: &Batch, age_s: f64) {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = batch.last_key();
        self.lag_ms.store((age_s.max(0.0) * 1e3) as u64, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, at: Lsn) {
        self.stored.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn lag(&self, bytes: u64) {
        self.lag_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        self.health.up.load(Ordering::Relaxed)
    }

    /// The last failure.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The stored position.
    pub fn position(&self) -> Lsn {
        Lsn(self.stored.load(Ordering::Relaxed))
    }

    /// WAL that is not confirmed, bytes.
    pub fn lag_bytes(&self) -> u64 {
        self.lag_bytes.load(Ordering::Relaxed)
    }

    /// Age of the last commit when it came, seconds.
    pub fn lag_s(&self) -> f64 {
        self.lag_ms.load(Ordering::Relaxed) as f64 / 1e3
    }
}

/// One sink.
#[derive(Default)]
pub struct LaneStatus {
    health: Health,
    /// What stands between the lane and its sink.
    pub guard: Guard,
    delivered: AtomicU64,
    dead_letters: AtomicU64,
    last_key: Mutex<Vec<u8>>,
    lag_ms: AtomicU64,
    /// What it holds; set once, when the lane is made.
    pub(crate) buffer: OnceLock<Arc<Buffer>>,
}

impl LaneStatus {
    pub(crate) fn delivered(&self, batch: &Batch) {
        self.delivered.fetch_add(u64::from(batch.events()), Ordering::Relaxed);
        *self.last_key.lock().unwrap_or_else(PoisonError::into_inner) = batch.last_key();
        if let Some(age_s) = batch.age_s() {
            self.lag_ms.store((age_s.max(0.0) * 1e3) as u64, Ordering::Relaxed);
        }
        if !self.health.up.load(Ordering::Relaxed) {
            self.health.set(true, None);
        }
    }

    pub(crate) fn dead_lettered(&self, events: u64) {
        self.dead_letters.fetch_add(events, Ordering::Relaxed);
    }

    /// Events dead-lettered since the start.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    pub(crate) fn opened(&self) {
        self.health.set(true, None);
    }

    pub(crate) fn failed(&self, error: &str, next_step: &str) {
        self.health.set(false, Some(Trouble { error: error.into(), next_step: next_step.into() }));
    }

    /// Whether the last delivery went well.
    pub fn is_up(&self) -> bool {
        self.health.up.load(Ordering::Relaxed)
    }

    /// The last failure.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Events delivered since the start.
    pub fn events(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Order key of the last delivered event, hexadecimal; empty before the first.
    pub fn position(&self) -> String {
        let key = self.last_key.lock().unwrap_or_else(PoisonError::into_inner);
        key.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Age of the last delivered commit at its delivery, seconds.
    pub fn lag_s(&self) -> f64 {
        self.lag_ms.load(Ordering::Relaxed) as f64 / 1e3
    }
}
