//! What is known of each source and sink at this moment; written by their loops, read by `status`, health and metrics.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pgcdc_core::lsn::Lsn;
use pgcdc_core::pressure::Zone;
use tokio::sync::{Notify, watch};

use super::guard::Guard;
use crate::batch::Batch;
use crate::bus::Buffer;
use crate::now_us;
use crate::wal::Progress;

/// The last failure, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened.
    pub error: String,
    /// What the operator can do.
    pub next_step: String,
    /// A stable name for what happened, where it has one: `slot_missing`, `publication_gap`, …
    pub reason: Option<String>,
}

/// What a server says of a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotHealth {
    /// `reserved`, `extended`, `unreserved` or `lost`; empty before version 13.
    pub wal_status: String,
    /// WAL that the server keeps for it; bytes.
    pub retained_bytes: Option<u64>,
    /// Bytes that may still be written before it may be lost; absent without `max_slot_wal_keep_size`.
    pub safe_wal_size: Option<i64>,
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
    /// Not failed: another process does its work, and it waits.
    standby: AtomicBool,
    /// Failed, and not tried again.
    halted: AtomicBool,
    /// What the server said of the slot at the last look.
    slot: Mutex<Option<SlotHealth>>,
    beats: AtomicU64,
    beats_failed: AtomicU64,
    paused: AtomicBool,
    stored: AtomicU64,
    lag_bytes: AtomicU64,
    /// The server's WAL end at the last look at the lag.
    end: AtomicU64,
    /// Age of the last commit when it came.
    age_ms: AtomicU64,
    behind: Behind,
    zone: Mutex<Option<Zone>>,
    progress: Mutex<Option<Arc<Progress>>>,
    /// Somebody wants to know the lag now.
    wanted: Notify,
    /// When the lag was measured last.
    measured: watch::Sender<Option<Instant>>,
}

/// Since when something is behind: the commit that it had last, or the last look at which it was not behind.
#[derive(Default)]
struct Behind {
    commit_us: AtomicI64,
    current_us: AtomicI64,
}

impl Behind {
    fn reached(&self, age_s: f64) {
        self.commit_us.store(now_us() - (age_s.max(0.0) * 1e6) as i64, Ordering::Relaxed);
    }

    fn is_current(&self) {
        self.current_us.store(now_us(), Ordering::Relaxed);
    }

    /// `None` before the first event and the first look.
    fn seconds(&self) -> Option<f64> {
        let since = self.commit_us.load(Ordering::Relaxed).max(self.current_us.load(Ordering::Relaxed));
        (since > 0).then(|| (now_us() - since).max(0) as f64 / 1e6)
    }
}

/// The lag is measured anew for whoever looks, but not more often.
const FRESH: Duration = Duration::from_secs(2);
/// For how long whoever looks waits for that.
const REFRESH_MAX: Duration = Duration::from_millis(500);

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SourceStatus {
    pub(crate) fn up(&self) {
        if !self.health.up.load(Ordering::Relaxed) {
            self.standby.store(false, Ordering::Relaxed);
            self.health.set(true, None);
        }
    }

    pub(crate) fn failed(&self, error: &str, next_step: &str) {
        self.failed_for(error, next_step, None, false);
    }

    /// It failed for a reason that has a name, and `halts` if only a person can make it go on.
    pub(crate) fn failed_for(&self, error: &str, next_step: &str, reason: Option<&str>, halts: bool) {
        self.standby.store(false, Ordering::Relaxed);
        self.halted.store(halts, Ordering::Relaxed);
        let (error, next_step, reason) = (error.into(), next_step.into(), reason.map(str::to_owned));
        self.health.set(false, Some(Trouble { error, next_step, reason }));
    }

    /// What was told to have failed is only a wait for another process.
    pub(crate) fn stands_by(&self) {
        self.standby.store(true, Ordering::Relaxed);
    }

    pub(crate) fn paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, age_s: f64) {
        self.age_ms.store((age_s.max(0.0) * 1e3) as u64, Ordering::Relaxed);
        self.behind.reached(age_s);
    }

    pub(crate) fn stored(&self, at: Lsn) {
        self.stored.store(at.0, Ordering::Relaxed);
    }

    /// A session is live; these are its positions.
    pub(crate) fn session(&self, progress: &Arc<Progress>) {
        *held(&self.progress) = Some(Arc::clone(progress));
    }

    /// The lag was measured: bytes that are not confirmed, the server's WAL end, and up to where everything was read.
    pub(crate) fn lag(&self, bytes: u64, end: Lsn, received: Lsn) {
        self.lag_bytes.store(bytes, Ordering::Relaxed);
        self.end.store(end.0, Ordering::Relaxed);
        if received >= end {
            self.behind.is_current();
        }
        self.measured.send_replace(Some(Instant::now()));
    }

    pub(crate) fn zone(&self, zone: Zone) {
        *held(&self.zone) = Some(zone);
    }

    /// Until somebody wants the lag measured.
    pub(crate) async fn asked(&self) {
        self.wanted.notified().await;
    }

    /// Has the lag measured anew, unless it was just now; waits a moment for it.
    pub(crate) async fn refresh(&self) {
        let mut measured = self.measured.subscribe();
        let last = *measured.borrow_and_update();
        if last.is_some_and(|at| at.elapsed() >= FRESH) && self.is_up() {
            self.wanted.notify_one();
            let _ = tokio::time::timeout(REFRESH_MAX, measured.changed()).await;
        }
    }

    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        self.health.up.load(Ordering::Relaxed)
    }

    /// Whether it waits for another process.
    pub fn is_standby(&self) -> bool {
        self.standby.load(Ordering::Relaxed)
    }

    /// Whether it failed, and waits for a person.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed) && !self.is_up()
    }

    /// What the server said of its slot at the last look.
    pub fn slot(&self) -> Option<SlotHealth> {
        held(&self.slot).clone()
    }

    pub(crate) fn slot_is(&self, slot: SlotHealth) {
        *held(&self.slot) = Some(slot);
    }

    /// A sign of life was given, or not.
    pub(crate) fn beat(&self, given: bool) {
        let count = if given { &self.beats } else { &self.beats_failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Signs of life since the start: given, failed.
    pub fn beats(&self) -> (u64, u64) {
        (self.beats.load(Ordering::Relaxed), self.beats_failed.load(Ordering::Relaxed))
    }

    /// Whether it reads nothing because its slot lags.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// The last failure.
    pub fn trouble(&self) -> Option<Trouble> {
        held(&self.health.trouble).clone()
    }

    /// The stored position.
    pub fn position(&self) -> Lsn {
        Lsn(self.stored.load(Ordering::Relaxed))
    }

    /// Up to where every sink has everything, stored or not.
    pub fn storable(&self) -> Lsn {
        let live = held(&self.progress).as_ref().map(|progress| progress.storable());
        live.unwrap_or(Lsn::ZERO).max(self.position())
    }

    /// WAL that is not confirmed, bytes.
    pub fn lag_bytes(&self) -> u64 {
        self.lag_bytes.load(Ordering::Relaxed)
    }

    /// Bytes between a position and the server's WAL end; `None` if that is not known.
    pub fn bytes_behind(&self, position: Lsn) -> Option<u64> {
        let end = Lsn(self.end.load(Ordering::Relaxed));
        end.is_some().then(|| if end > position { end.bytes_since(position) } else { 0 })
    }

    /// Behind the source's end, seconds; where the end is not known, the age of the last event when it came.
    pub fn lag_s(&self) -> f64 {
        let known =
            Some(()).filter(|()| self.end.load(Ordering::Relaxed) > 0).and_then(|()| self.behind.seconds());
        known.unwrap_or(self.age_ms.load(Ordering::Relaxed) as f64 / 1e3)
    }

    /// The zone that its slot's lag has put it in; `None` without backpressure, or before the first look.
    pub fn pressure(&self) -> Option<Zone> {
        *held(&self.zone)
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
    /// What it holds; set once, when the lane is made.
    pub(crate) buffer: OnceLock<Arc<Buffer>>,
    behind: Behind,
}

impl LaneStatus {
    pub(crate) fn delivered(&self, batch: &Batch) {
        self.delivered.fetch_add(u64::from(batch.events()), Ordering::Relaxed);
        if let Some(age_s) = batch.age_s() {
            self.behind.reached(age_s);
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
        self.health
            .set(false, Some(Trouble { error: error.into(), next_step: next_step.into(), reason: None }));
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

    /// It has everything that there was.
    pub(crate) fn is_current(&self) {
        self.behind.is_current();
    }

    /// Since the last commit that it has, or since it was last seen with nothing to do; seconds.
    pub fn behind_s(&self) -> Option<f64> {
        self.behind.seconds()
    }
}
