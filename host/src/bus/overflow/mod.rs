//! What a lane has no room for in memory, on the disk until it has: so that the other lanes go on.
//!
//! ```text
//! fan-out ─► incoming ─► hand ─► spool (disk) ─► ahead ─► queue ─► sink
//!                          └── nothing on the disk, room in memory ──┘
//! ```
//!
//! Invariants. It is an extension of memory, not durable: its batches stay unanswered, so the confirmed position holds, nothing is synced, and what
//! a process leaves behind is removed at the next start, because the WAL brings it again. Batches leave in the order in which they came.
//! Of a batch on the disk, memory keeps four bytes; its receipt is on the disk, too. What is in memory has room taken: the hand on the way, blocks
//! that were read in the lane's own, until the last batch of the block is answered. A frame that is damaged stops the process;
//! nothing of it is delivered. A disk that takes no more holds the source back, and that is said once.

mod frame;
mod refused;
mod spool;

pub(crate) use spool::forget;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgcdc_core::order_key::OrderKey;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use self::frame::Number;
use self::spool::{Record, Spool};
use super::Alarm;
use super::buffer::Buffer;
use super::lane::{Bounds, Delivery};
use crate::ack::{Acks, Receipt};
use crate::admin::metrics::Metrics;
use crate::batch::Batch;
use crate::source::{Origin, Part};

/// What is read at once, unless the lane has room for less.
const BLOCK_BYTES_MAX: u64 = 256 << 10;
/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// That a sink is behind, or no longer, is logged at most this often.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// A batch that is put aside.
pub(super) struct Aside {
    pub(super) batch: Arc<Batch>,
    pub(super) receipt: Receipt,
    /// Its bytes on the way to the disk, until it is there.
    pub(super) _way: OwnedSemaphorePermit,
}

/// One lane's overflow.
pub(super) struct Overflow {
    name: Arc<str>,
    buffer: Arc<Buffer>,
    queue: mpsc::Sender<Delivery>,
    alarm: Alarm,
    metrics: Arc<Metrics>,
    spool: Arc<Mutex<Spool>>,
    folder: PathBuf,
    disk_bytes_max: u64,
    fails: bool,
    /// Whose receipts there are.
    sources: Vec<Arc<Acks>>,
    /// Not on the disk yet.
    hand: VecDeque<Aside>,
    /// Back from the disk.
    ahead: VecDeque<Delivery>,
    /// No write before.
    again: Option<Instant>,
    said: Option<Instant>,
    stuck_said: Option<Instant>,
}

/// The disk's content cannot be trusted.
struct Damage(String);

impl Overflow {
    pub(super) fn new(
        name: Arc<str>,
        bounds: &Bounds,
        buffer: Arc<Buffer>,
        queue: mpsc::Sender<Delivery>,
        alarm: Alarm,
        metrics: Arc<Metrics>,
    ) -> Overflow {
        /// Lanes of one process never share a file, however often they are made anew.
        static LANES: AtomicU32 = AtomicU32::new(0);
        let stem = format!("lane-{}", LANES.fetch_add(1, Ordering::Relaxed));
        let spool = Spool::new(&bounds.folder, stem, bounds.disk_bytes_max);
        Overflow {
            name,
            buffer,
            queue,
            alarm,
            metrics,
            spool: Arc::new(Mutex::new(spool)),
            folder: bounds.folder.clone(),
            disk_bytes_max: bounds.disk_bytes_max,
            fails: bounds.fails,
            sources: Vec::new(),
            hand: VecDeque::new(),
            ahead: VecDeque::new(),
            again: None,
            said: None,
            stuck_said: None,
        }
    }

    /// Until no more comes and all of it is back, or the sink is gone.
    pub(super) async fn run(mut self, mut incoming: mpsc::Receiver<Aside>) {
        if let Err(Damage(what)) = self.turn(&mut incoming).await {
            self.alarm.raise(format!(
                "sinks.{}: its overflow is damaged: {what}; nothing of it was delivered, and it comes again from the WAL: start pgcdc again, and look at the disk if this repeats",
                self.name
            ));
            // Sources go on until they are told to stop; what they bring stays unanswered.
            while incoming.recv().await.is_some() {}
        }
    }

    async fn turn(&mut self, incoming: &mut mpsc::Receiver<Aside>) -> Result<(), Damage> {
        let (queue, buffer) = (self.queue.clone(), Arc::clone(&self.buffer));
        let mut open = true;
        loop {
            self.stow().await?;
            let next_bytes = self.next_bytes();
            if !open && next_bytes.is_none() && self.ahead.is_empty() && self.hand.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = queue.closed() => return Ok(()),
                slot = queue.reserve(), if !self.ahead.is_empty() => {
                    if let (Ok(slot), Some(delivery)) = (slot, self.ahead.pop_front()) {
                        slot.send(delivery);
                        buffer.came_back();
                        self.caught_up();
                    }
                }
                room = buffer.room.take(next_bytes.unwrap_or_default() as usize), if next_bytes.is_some() => {
                    let Ok(room) = room else { return Ok(()) };
                    self.fetch(room).await?;
                }
                aside = incoming.recv(), if open && self.hand.is_empty() => match aside {
                    Some(aside) => {
                        self.hand.push_back(aside);
                        // All that is on its way fits into one write.
                        while let Ok(aside) = incoming.try_recv() {
                            self.hand.push_back(aside);
                        }
                    }
                    None => open = false,
                },
                () = until(self.again), if self.again.is_some() => self.again = None,
            }
        }
    }

    fn spool(&self) -> std::sync::MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much room the next step towards the queue takes: a block from the disk, or, if nothing is there, what is at hand.
    fn next_bytes(&self) -> Option<u64> {
        if !self.ahead.is_empty() {
            return None;
        }
        match self.spool().ahead(self.block_bytes()) {
            Some((_, bytes)) => Some(bytes),
            None => self.hand.front().map(|aside| aside.batch.len_bytes() as u64),
        }
    }

    fn block_bytes(&self) -> u64 {
        BLOCK_BYTES_MAX.min(u64::from(self.buffer.room.bytes_max()) / 4)
    }

    /// Takes the next step, now that there is room for it.
    async fn fetch(&mut self, room: OwnedSemaphorePermit) -> Result<(), Damage> {
        let room = Arc::new(room);
        let Some((count, _)) = self.spool().ahead(self.block_bytes()) else {
            if let Some(Aside { batch, receipt, .. }) = self.hand.pop_front() {
                self.ahead.push_back(Delivery { batch, receipt, room });
            }
            return Ok(());
        };
        let (spool, reading) = (Arc::clone(&self.spool), self.spool().reading());
        let read = move || spool.lock().unwrap_or_else(PoisonError::into_inner).read(count);
        let frames = tokio::task::spawn_blocking(read).await.map_err(|e| Damage(e.to_string()))?;
        for frame in frames.map_err(Damage)? {
            let frame = frame::read(&frame).map_err(|e| Damage(format!("{reading}: {e}")))?;
            let Number { source, lane, sequence } = frame.number;
            let acks = self.sources.get(source as usize);
            let acks = acks.ok_or_else(|| Damage(format!("{reading}: a frame of no source")))?;
            let origin = (!frame.refused.is_empty()).then_some(Origin {
                session: 0,
                number: 0,
                part: Part::Wal(0),
                first: OrderKey::EMPTY,
                last: OrderKey::EMPTY,
                refused: frame.refused,
            });
            let batch = Arc::new(Batch::restored(frame.batch, origin));
            let receipt = Receipt::again(acks, lane, sequence);
            self.ahead.push_back(Delivery { batch, receipt, room: Arc::clone(&room) });
        }
        self.show();
        Ok(())
    }

    /// Writes what is at hand, as much of it as there is space for.
    async fn stow(&mut self) -> Result<(), Damage> {
        self.pass();
        if self.hand.is_empty() || self.again.is_some() {
            return Ok(());
        }
        let mut records = VecDeque::with_capacity(self.hand.len());
        for at in 0..self.hand.len() {
            let number = self.number(at);
            let Some(aside) = self.hand.get(at) else { break };
            let head = frame::head(number, &aside.batch)
                .map_err(|e| Damage(format!("a batch cannot be put aside: {e}")))?;
            records.push_back(Record { head, batch: aside.batch.bytes().clone() });
        }
        let fits = self.spool().fits(records.iter().map(Record::len));
        if fits == 0 {
            self.full();
            return Ok(());
        }
        records.truncate(fits);
        let spool = Arc::clone(&self.spool);
        let write = move || {
            let records = Vec::from(records);
            spool.lock().unwrap_or_else(PoisonError::into_inner).append(&records)
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(|e| Damage(e.to_string()))?;
        if let Err(error) = written {
            self.again = Some(Instant::now() + AGAIN);
            let folder = self.folder.display().to_string();
            self.stuck(&format!("its overflow cannot be written: {folder}: {error}"), "make space there");
            return Ok(());
        }
        let events = self.hand.drain(..fits).map(|aside| u64::from(aside.batch.events())).sum();
        self.metrics.overflowed(&self.name, events);
        self.say_once("sink is behind: what it has no room for goes to the disk, the others go on");
        if self.spool().bytes() <= self.disk_bytes_max / 4 * 3 {
            self.buffer.set_stuck(None);
        }
        self.show();
        if !self.hand.is_empty() {
            self.full();
        }
        Ok(())
    }

    /// With nothing on the disk, what there is room for need not go there.
    fn pass(&mut self) {
        while let Some(aside) = self.hand.front().filter(|_| self.spool().bytes() == 0) {
            let Some(room) = self.buffer.room.try_take(aside.batch.len_bytes()) else { return };
            let Some(Aside { batch, receipt, .. }) = self.hand.pop_front() else { return };
            self.ahead.push_back(Delivery { batch, receipt, room: Arc::new(room) });
        }
    }

    /// The number of a batch at hand.
    fn number(&mut self, at: usize) -> Number {
        let Some(aside) = self.hand.get(at) else { return Number { source: 0, lane: 0, sequence: 0 } };
        let (acks, lane, sequence) = aside.receipt.parts();
        let known = self.sources.iter().position(|known| Arc::ptr_eq(known, acks));
        let source = known.unwrap_or_else(|| {
            self.sources.push(Arc::clone(acks));
            self.sources.len() - 1
        });
        Number { source: source as u32, lane, sequence }
    }

    fn full(&mut self) {
        let (held, max) = (self.spool().bytes(), self.disk_bytes_max);
        self.stuck(&format!("its overflow is full: {held} of {max} bytes"), "raise `overflow`");
    }

    /// The disk takes no more: held until it has taken a quarter less than it could, so that this is said once.
    fn stuck(&mut self, why: &str, way_out: &str) {
        if self.buffer.stuck().is_some() {
            return;
        }
        let next_step = format!("look at what keeps the sink, {way_out}, or use on_full: shed");
        self.buffer.set_stuck(Some(format!("{why}; {next_step}")));
        if self.fails {
            return self
                .alarm
                .raise(format!("sinks.{}: {why}, and on_full is `fail`; {next_step}", self.name));
        }
        self.metrics.backpressure(&self.name);
        if self.stuck_said.is_some_and(|at| at.elapsed() < SAID_EVERY) {
            return;
        }
        self.stuck_said = Some(Instant::now());
        tracing::warn!(
            sink = &*self.name,
            error = why,
            next_step,
            "the source waits for a sink that is behind"
        );
    }

    fn show(&self) {
        let bytes = self.spool().bytes();
        self.buffer.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    fn caught_up(&mut self) {
        if !self.buffer.is_aside() {
            self.buffer.set_stuck(None);
            self.say_once("sink has caught up: nothing of it is on the disk any more");
        }
    }

    fn say_once(&mut self, what: &str) {
        // Both are said of one episode, if it is longer than the pause.
        if self.said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            self.said = Some(Instant::now());
            tracing::info!(sink = &*self.name, "{what}");
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
