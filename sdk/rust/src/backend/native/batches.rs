//! Batches in memory.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use pgcdc_layout::{View, json, rewrite};

use super::bytes_of;
use crate::batch::{Part, Slice};
use crate::linked::{self, Lender};
use crate::{Error, Result};

/// A batch of changes.
#[derive(Debug, Clone)]
pub struct Batch {
    rows: Bytes,
    lines: Rc<OnceCell<json::Lines>>,
    lender: Option<Rc<dyn Lender>>,
}

impl Batch {
    /// The number of events, 1 or more.
    pub fn count(&self) -> u32 {
        u32::try_from(self.view().event_count()).unwrap_or(u32::MAX)
    }

    /// Events `start .. start + n` (clipped to the batch) in the flat layout.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn rows(&self, start: u32, n: u32) -> Result<Vec<u8>> {
        self.shared_rows(start, n).map(Vec::from)
    }

    /// The same without a copy of a whole batch.
    pub(crate) fn shared_rows(&self, start: u32, n: u32) -> Result<Bytes> {
        if start == 0 && n >= self.count() {
            return Ok(self.rows.clone());
        }
        Ok(rewrite::slice(&self.view(), start, n)?.into())
    }

    /// The same events as JSON envelopes, one a line.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn json_lines(&self, start: u32, n: u32) -> Result<Vec<u8>> {
        Ok(self.printed(start, n)?.map(|line| self.line(line)).collect::<Vec<_>>().concat())
    }

    /// Another handle on the same batch, to keep after the call that lent this one.
    #[must_use]
    pub fn retain(&self) -> Self {
        self.clone()
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::of_valid(&self.rows)
    }

    /// Where the lines of some events are.
    fn printed(&self, start: u32, n: u32) -> Result<impl Iterator<Item = Range<usize>>> {
        let lines = match self.lines.get() {
            Some(lines) => lines,
            None => {
                let lines = json::lines(&self.view(), json::LINES_BYTES_MAX).map_err(Error::too_large)?;
                self.lines.get_or_init(|| lines)
            }
        };
        let starts = std::iter::once(0).chain(lines.ends.iter().copied());
        let ranges = starts.zip(lines.ends.iter().copied()).skip(start as usize).take(n as usize);
        Ok(ranges.map(|(from, to)| from as usize..to as usize))
    }

    fn line(&self, range: Range<usize>) -> &[u8] {
        self.lines.get().and_then(|lines| lines.bytes.get(range)).unwrap_or_default()
    }
}

pub(crate) fn build(rows: &[u8]) -> Result<Batch> {
    // Who is linked into the host is believed, as the host believes itself.
    if !linked::is_under_way() {
        View::parse(rows)?;
    }
    Ok(trusted(rows.to_vec()))
}

/// Of bytes that a writer of this process has finished.
pub(crate) fn trusted(rows: Vec<u8>) -> Batch {
    Batch { rows: rows.into(), lines: Rc::default(), lender: None }
}

/// A host's batch, lent to a connector that is linked into it.
pub(crate) fn lent(lender: Rc<dyn Lender>) -> Batch {
    Batch { rows: lender.rows(), lines: Rc::default(), lender: Some(lender) }
}

pub(crate) fn select(from: &Batch, indexes: &[u32]) -> Result<Batch> {
    let ascend = indexes.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascend || indexes.is_empty() {
        return Err(Error::invalid("the indexes of a selection ascend, and there is one at least"));
    }
    if from.lender.is_some() {
        return Ok(trusted(rewrite::pick(&from.view(), indexes)?));
    }
    build(&rewrite::select(&from.view(), indexes)?)
}

pub(crate) fn into_rows(batch: Batch) -> Vec<u8> {
    batch.rows.into()
}

/// A body as chunks, the lender's own where they are slices of what it lent.
pub(crate) fn chunks(body: &[Part<'_>]) -> Result<Vec<Bytes>> {
    let mut chunks = Vec::new();
    for part in body {
        match part {
            Part::Bytes(bytes) => chunks.push(Bytes::from(bytes.clone())),
            Part::Slice(slice) => match &slice.batch.lender {
                Some(lender) => chunks.extend(lender.encode(&slice.encoding, slice.start, slice.n)?),
                None => chunks.push(encode(slice)?.into()),
            },
        }
    }
    Ok(chunks)
}

pub(crate) fn size(body: &[Part<'_>]) -> Result<u64> {
    bytes_of(body).map(|bytes| bytes.len() as u64)
}

pub(crate) fn encode(slice: &Slice<'_>) -> Result<Vec<u8>> {
    let ranges: Vec<Range<usize>> = slice.batch.printed(slice.start, slice.n)?.collect();
    let lines = ranges.iter().map(|range| slice.batch.line(range.clone()));
    let bare = lines.clone().map(|line| line.strip_suffix(b"\n").unwrap_or(line));
    match (slice.encoding.as_str(), slice.n) {
        ("json-lines", _) => Ok(lines.collect::<Vec<_>>().concat()),
        ("json", 1) => Ok(bare.collect::<Vec<_>>().concat()),
        ("json-array", _) => {
            let inside = bare.collect::<Vec<_>>().join(&b","[..]);
            Ok([b"[", inside.as_slice(), b"]"].concat())
        }
        (other, n) => Err(Error::invalid(format!("no encoding {other} of {n} events"))),
    }
}
