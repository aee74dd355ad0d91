//! Batches: handles of what the host owns, and the rows within.

mod body;
mod rows;

use std::ops::Range;

pub use body::{Body, Encoding, Part, Slice};
pub use rows::Rows;

pub use crate::backend::batches::Batch;
use crate::{Result, backend};

impl Batch {
    /// Every event, to be read in place. The bytes are fetched once: read once, keep what this returns.
    ///
    /// # Errors
    ///
    /// `too-large` says to read fewer with [`read_some`](Self::read_some).
    pub fn read(&self) -> Result<Rows> {
        self.read_some(0..self.count())
    }

    /// Some events, with what they need of the rest.
    ///
    /// # Errors
    ///
    /// `too-large` says to read fewer.
    pub fn read_some(&self, events: Range<u32>) -> Result<Rows> {
        let n = events.end.saturating_sub(events.start);
        #[cfg(target_arch = "wasm32")]
        let bytes = self.rows(events.start, n)?;
        #[cfg(not(target_arch = "wasm32"))]
        let bytes = self.shared_rows(events.start, n)?;
        Ok(Rows::new(bytes))
    }

    /// A new batch from bytes in the flat layout (`layout::BatchWriter`, `layout::rewrite`).
    ///
    /// # Errors
    ///
    /// `invalid` if they are not a batch.
    pub fn build(rows: &[u8]) -> Result<Self> {
        backend::batches::build(rows)
    }

    /// A new batch of the events at these indexes, ascending, that shares this one's bytes.
    ///
    /// # Errors
    ///
    /// `invalid` for indexes that do not ascend or that lead outside, or for none.
    pub fn select(&self, indexes: &[u32]) -> Result<Self> {
        backend::batches::select(self, indexes)
    }
}
