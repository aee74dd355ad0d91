//! What the sinks have taken, as it comes: from the pipe of standard output, from the file, from the receiver.
//!
//! Invariant: a delivery is counted under the life that brought it; a life begins only after everything that the one
//! before has left behind was read.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pgcdc_core::lsn::Lsn;
use tokio::sync::Notify;

use super::anomaly::{Anomaly, Name};
use super::envelope;
use super::history::{Delivery, Order, SinkLog, commit_lsn};
use super::tail::Tail;

/// The sinks, by the names of their lanes.
pub(crate) const STDOUT: usize = 0;
pub(crate) const FILE: usize = 1;
pub(crate) const WEBHOOK: usize = 2;
const SINKS: [(&str, Order); 3] =
    [("stdout", Order::Total), ("file", Order::Total), ("webhook", Order::PerRow)];

/// The name of a sink's lane.
pub(crate) fn name(sink: usize) -> &'static str {
    SINKS.get(sink).map_or("", |(name, _)| name)
}

#[derive(Default)]
struct Log {
    deliveries: Vec<Delivery>,
    seen: HashSet<u128>,
    bad: Vec<Anomaly>,
}

/// Everything that was taken.
pub(crate) struct Inbox {
    logs: [Mutex<Log>; 3],
    life: AtomicU32,
    /// When this life brought the first change that its sink did not have.
    fresh: Mutex<Option<Instant>>,
    /// Something came.
    pub(crate) came: Notify,
    file: Mutex<Tail>,
    /// From where on a delivery shows that the source is read again, and when one came.
    again: Mutex<(Lsn, Option<Instant>)>,
}

impl Inbox {
    pub(crate) fn new() -> Arc<Inbox> {
        Arc::new(Inbox {
            logs: Default::default(),
            life: AtomicU32::new(0),
            fresh: Mutex::new(None),
            came: Notify::new(),
            file: Mutex::default(),
            again: Mutex::new((Lsn(u64::MAX), None)),
        })
    }

    /// The next life begins.
    pub(crate) fn begin(&self) -> u32 {
        *lock(&self.fresh) = None;
        self.life.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// When this life first brought something new.
    pub(crate) fn fresh_at(&self) -> Option<Instant> {
        *lock(&self.fresh)
    }

    /// From now on: when standard output first has something that was committed at or after this.
    pub(crate) fn await_beyond(&self, goal: Lsn) {
        *lock(&self.again) = (goal, None);
    }

    /// When that came.
    pub(crate) fn beyond_at(&self) -> Option<Instant> {
        lock(&self.again).1
    }

    /// Different changes that a sink has.
    pub(crate) fn distinct(&self, sink: usize) -> usize {
        self.logs.get(sink).map_or(0, |log| lock(log).seen.len())
    }

    /// Deliveries that a sink has.
    pub(crate) fn len(&self, sink: usize) -> usize {
        self.logs.get(sink).map_or(0, |log| lock(log).deliveries.len())
    }

    /// Takes lines, whole ones. Returns where the first of them went.
    pub(crate) fn take(&self, sink: usize, lines: &[u8], unanswered: bool) -> usize {
        let life = self.life.load(Ordering::Acquire);
        let Some(log) = self.logs.get(sink) else { return 0 };
        let mut log = lock(log);
        let first = log.deliveries.len();
        let (mut fresh, mut newest) = (false, Lsn::ZERO);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match envelope::read(line, life) {
                Ok(delivery) => {
                    newest = newest.max(commit_lsn(&delivery.position));
                    fresh |= log.seen.insert(delivery.id);
                    log.deliveries.push(Delivery { unanswered, ..delivery });
                }
                Err(why) => log.bad.push(Anomaly::new(Name::Unreadable, name(sink), why)),
            }
        }
        drop(log);
        let mut again = lock(&self.again);
        if sink == STDOUT && newest >= again.0 {
            again.1.get_or_insert_with(Instant::now);
        }
        drop(again);
        if fresh {
            lock(&self.fresh).get_or_insert_with(Instant::now);
            self.came.notify_one();
        }
        first
    }

    /// The sender has learnt that this one was taken.
    pub(crate) fn answered(&self, sink: usize, at: usize) {
        let Some(log) = self.logs.get(sink) else { return };
        if let Some(delivery) = lock(log).deliveries.get_mut(at) {
            delivery.unanswered = false;
        }
    }

    /// Reads the pipe to its end, on a thread. A line that was cut off was not taken.
    pub(crate) fn read_pipe(
        self: &Arc<Self>,
        pipe: impl Read + Send + 'static,
    ) -> std::thread::JoinHandle<()> {
        let inbox = Arc::clone(self);
        std::thread::spawn(move || {
            let mut pipe = BufReader::with_capacity(256 * 1024, pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                if line.ends_with(b"\n") {
                    inbox.take(STDOUT, &line, false);
                }
                line.clear();
            }
        })
    }

    /// Reads what was appended to the file since the last time, whole lines only, over rotations.
    pub(crate) fn read_file(&self, path: &Path) -> Result<(), String> {
        let mut tail = lock(&self.file);
        let lines = tail.read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        self.take(FILE, &lines, false);
        Ok(())
    }

    /// Everything, for judgement.
    pub(crate) fn close(&self) -> (Vec<SinkLog>, Vec<Anomaly>) {
        let mut bad = Vec::new();
        let logs = SINKS.iter().zip(&self.logs).map(|((name, order), log)| {
            let log = std::mem::take(&mut *lock(log));
            bad.extend(log.bad);
            SinkLog { name, order: *order, deliveries: log.deliveries }
        });
        (logs.collect(), bad)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
