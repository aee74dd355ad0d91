//! Transactions in progress, until their commit: in memory while they are small, on the disk after that.
//!
//! ```text
//! keep ─► tail (memory) ─► stow ─► file of that transaction ─┐
//!            └───────────────────────────────────────────────┴─► release ─► blocks, in order ─► replay
//! ```
//!
//! Invariants. It is an extension of memory, not durable: nothing is synced, what a process leaves behind is removed at the
//! next start, and the server sends it all again, since nothing of it was confirmed. Memory holds at most
//! [`MEMORY_BYTES_MAX`] and one record of all tails together, the disk at most `bytes_max`. What cannot be kept ends the
//! session with an error: nothing is left out. A block that is not what was written is never delivered.

mod file;
mod place;

pub(super) use file::{Blocks, Failed};
pub use place::{News, SpillPlace, forget};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use pgcdc_core::error::Kind;
use pgcdc_core::streamed::Record;

use self::file::SpillFile;
use crate::manifest::quantity::show_bytes;
use crate::postgres::Error;

/// A tail that has grown to this goes to the disk: smaller transactions never do, unless there are many.
const BLOCK_BYTES: usize = 256 << 10;
/// All tails together; above it, the longest go to the disk.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// What one session keeps.
#[derive(Debug)]
pub(super) struct Spill {
    place: SpillPlace,
    bytes_max: u64,
    /// Sessions of one process never share a file.
    session: u32,
    kept: BTreeMap<u32, Transaction>,
    memory_bytes: usize,
    disk_bytes: u64,
}

#[derive(Debug, Default)]
struct Transaction {
    tail: Vec<u8>,
    file: Option<SpillFile>,
}

impl Spill {
    /// Touches nothing before there is something for the disk.
    pub(super) fn new(place: SpillPlace, bytes_max: u64) -> Spill {
        static SESSIONS: AtomicU32 = AtomicU32::new(0);
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        Spill { place, bytes_max, session, kept: BTreeMap::new(), memory_bytes: 0, disk_bytes: 0 }
    }

    /// Appends to a transaction. True: call `stow` before the next one.
    #[inline]
    pub(super) fn keep(&mut self, xid: u32, record: &Record<'_>) -> bool {
        let tail = &mut self.kept.entry(xid).or_default().tail;
        let before = tail.len();
        record.write(tail);
        self.memory_bytes += tail.len() - before;
        tail.len() >= BLOCK_BYTES || self.memory_bytes >= MEMORY_BYTES_MAX
    }

    /// Writes what memory has no room for. The error halts the source.
    pub(super) async fn stow(&mut self) -> Result<(), Error> {
        loop {
            let longest = self.kept.iter().max_by_key(|(_, transaction)| transaction.tail.len());
            let Some((xid, transaction)) = longest else { return Ok(()) };
            if transaction.tail.len() < BLOCK_BYTES && self.memory_bytes < MEMORY_BYTES_MAX {
                return Ok(());
            }
            let xid = *xid;
            self.write_out(xid).await?;
        }
    }

    async fn write_out(&mut self, xid: u32) -> Result<(), Error> {
        let Some(transaction) = self.kept.get_mut(&xid) else { return Ok(()) };
        let added = file::written_bytes(&transaction.tail);
        if self.disk_bytes + added > self.bytes_max {
            return Err(self.full(xid));
        }
        let (tail, file) = (std::mem::take(&mut transaction.tail), transaction.file.take());
        let file = file.unwrap_or_else(|| SpillFile::new(self.place.file(self.session, xid)));
        let write = move || {
            let (mut file, mut tail) = (file, tail);
            let written = file.append(&tail);
            let len = tail.len();
            tail.clear();
            // One long row made it grow.
            tail.shrink_to(2 * BLOCK_BYTES);
            (file, tail, len, written)
        };
        let done = tokio::task::spawn_blocking(write).await;
        let (file, tail, len, written) = done.map_err(|e| self.unwritable(&e.to_string()))?;
        // A file that could not be written is removed with the session.
        written.map_err(|error| self.unwritable(&error.to_string()))?;
        if let Some(transaction) = self.kept.get_mut(&xid) {
            *transaction = Transaction { tail, file: Some(file) };
        }
        self.memory_bytes -= len;
        self.disk_bytes += added;
        self.tell(News { written_bytes: added, ..News::default() });
        Ok(())
    }

    /// A transaction was rolled back.
    pub(super) fn forget(&mut self, xid: u32) {
        if let Some(Transaction { tail, file }) = self.kept.remove(&xid) {
            self.memory_bytes -= tail.len();
            self.end(file);
        }
    }

    /// A transaction has committed: what was kept of it, in order.
    pub(super) fn release(&mut self, xid: u32) -> Blocks {
        let Transaction { tail, file } = self.kept.remove(&xid).unwrap_or_default();
        self.memory_bytes -= tail.len();
        Blocks::new(file, tail)
    }

    /// What was released has been read to its end.
    pub(super) fn released(&mut self, blocks: Blocks) {
        self.end(blocks.into_file());
        self.tell(News { committed: 1, ..News::default() });
    }

    fn end(&mut self, file: Option<SpillFile>) {
        let Some(file) = file else { return self.tell(News::default()) };
        self.disk_bytes -= file.bytes();
        // Removing a large file takes its time.
        tokio::task::spawn_blocking(move || drop(file));
        self.tell(News::default());
    }

    /// What is shown: `open` is how many transactions there are.
    pub(super) fn tell(&self, news: News) {
        self.place.tell(News { disk_bytes: self.disk_bytes, open: self.kept.len(), ..news });
    }

    /// What was read back is not what was written.
    pub(super) fn damaged(&self, failed: &Failed) -> Error {
        let place = self.place.folder().display();
        let message =
            format!("what was kept of a transaction in progress cannot be read back: {place}: {failed}");
        let step = "nothing of it is missing, it comes again from the WAL; look at the disk if this repeats, or set `streaming: off`";
        Error::unfit(Kind::Unavailable, "spill_damaged", message, step)
    }

    fn full(&self, xid: u32) -> Error {
        let (max, held) = (show_bytes(self.bytes_max), show_bytes(self.disk_bytes));
        let message = format!(
            "transactions in progress do not fit into `spill_max` ({max}): {held} of {} of them are in {}, and transaction {xid} goes on",
            self.kept.len(),
            self.place.folder().display()
        );
        let step = "raise `spill_max` if the disk has room, or set `streaming: off`, so that the server keeps them until they commit; then restart: nothing is lost, they come again";
        Error::unfit(Kind::Misconfigured, "spill_full", message, step)
    }

    fn unwritable(&self, error: &str) -> Error {
        let held = show_bytes(self.disk_bytes);
        let message = format!(
            "transactions in progress cannot be kept on the disk: {}: {error}; {held} of them are there",
            self.place.folder().display()
        );
        let step = "make space there, or set `streaming: off`, so that the server keeps them until they commit; then restart: nothing is lost, they come again";
        Error::unfit(Kind::Misconfigured, "spill_full", message, step)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // Its files go with their owners.
        self.place.tell(News::default());
    }
}

#[cfg(test)]
mod tests;
