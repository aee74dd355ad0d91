//! What is kept of one message: its bytes without the number in it, and what its replay needs besides.
//!
//! ```text
//! length u32 │ xid u32 │ wal_start u64 │ message … │ [clock u64] │ [whole u64]         all little-endian
//! ```
//!
//! `length` counts the message as it is here; its highest bit says that only its first bytes are, and that `whole` follows,
//! the length that it had. `clock` follows a table's description: when it came. A record is never longer than the frame
//! that its message came in.

use crate::lsn::Lsn;
use crate::pgoutput::message::RELATION_TAG;
use crate::pgoutput::stream::Within;

const HEAD_BYTES: usize = 16;
const ONLY_HEAD: u32 = 1 << 31;

/// A message to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    xid: u32,
    wal_start: Lsn,
    tag: u8,
    rest: &'a [u8],
    clock: Option<u64>,
    whole: Option<u64>,
}

/// A message that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// What the server's frame said of it.
    pub wal_start: Lsn,
    /// The message, as version 1 would have sent it; or its first bytes.
    pub data: &'a [u8],
    /// How long it was.
    pub bytes: u64,
}

/// Bytes that are not what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was kept of a transaction in progress has changed meanwhile")]
pub struct Damaged;

impl<'a> Record<'a> {
    /// `here` bytes of the message are at hand of `bytes` that it has; `top` stands for a number that it lacks.
    #[inline]
    pub(super) fn new(
        within: &Within<'a>,
        top: u32,
        wal_start: Lsn,
        here: u64,
        bytes: u64,
        clock: Option<u64>,
    ) -> Record<'a> {
        let whole = (bytes != here).then(|| bytes.saturating_sub(within.extra_bytes() as u64));
        let xid = within.xid.unwrap_or(top);
        Record { xid, wal_start, tag: within.tag, rest: within.rest, clock, whole }
    }

    /// How many bytes [`Record::write`] appends.
    #[must_use]
    #[inline]
    pub fn len_bytes(&self) -> usize {
        let more = usize::from(self.clock.is_some()) + usize::from(self.whole.is_some());
        HEAD_BYTES + 1 + self.rest.len() + 8 * more
    }

    /// Appends it.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut length = (self.rest.len() + 1) as u32;
        if self.whole.is_some() {
            length |= ONLY_HEAD;
        }
        let mut head = [0; HEAD_BYTES + 1];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..8].copy_from_slice(&self.xid.to_le_bytes());
        head[8..16].copy_from_slice(&self.wal_start.0.to_le_bytes());
        head[16] = self.tag;
        out.extend_from_slice(&head);
        out.extend_from_slice(self.rest);
        for number in [self.clock, self.whole].into_iter().flatten() {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// A record as it lies in what was read back.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) xid: u32,
    pub(super) kept: Kept<'a>,
    pub(super) clock: Option<u64>,
    pub(super) len_bytes: usize,
}

impl<'a> Found<'a> {
    /// Takes the next record off the front.
    #[inline]
    pub(super) fn read(from: &mut &'a [u8]) -> Result<Found<'a>, Damaged> {
        let before = from.len();
        let length = u32::from_le_bytes(*array(from)?);
        let xid = u32::from_le_bytes(*array(from)?);
        let wal_start = Lsn(u64::from_le_bytes(*array(from)?));
        let (data, rest) = from.split_at_checked((length & !ONLY_HEAD) as usize).ok_or(Damaged)?;
        *from = rest;
        let number = |from: &mut &'a [u8]| array(from).map(|bytes| u64::from_le_bytes(*bytes));
        let clock = if data.first() == Some(&RELATION_TAG) { Some(number(from)?) } else { None };
        let bytes = if length & ONLY_HEAD == 0 { data.len() as u64 } else { number(from)? };
        let len_bytes = before - from.len();
        Ok(Found { xid, kept: Kept { wal_start, data, bytes }, clock, len_bytes })
    }
}

#[inline]
fn array<'a, const N: usize>(from: &mut &'a [u8]) -> Result<&'a [u8; N], Damaged> {
    let (bytes, rest) = from.split_first_chunk().ok_or(Damaged)?;
    *from = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(data: &'a [u8], bytes: u64, clock: Option<u64>) -> Record<'a> {
        Record::new(&Within::read(data).unwrap(), 7, Lsn(99), data.len() as u64, bytes, clock)
    }

    #[test]
    fn comes_back_as_it_went_in() {
        let mut out = Vec::new();
        let records = [
            record(b"I\0\0\0\x09abc", 8, None),
            record(b"Oabc", 4, None),
            record(b"R\0\0\0\x09de", 7, Some(5)),
            record(b"U\0\0\0\x08fgh", 1_000, None),
        ];
        let mut lens = Vec::new();
        for record in &records {
            let before = out.len();
            record.write(&mut out);
            lens.push(out.len() - before);
            assert_eq!(record.len_bytes(), out.len() - before);
        }
        let mut from = out.as_slice();
        let found: Vec<_> = lens
            .iter()
            .map(|len| {
                let found = Found::read(&mut from).unwrap();
                assert_eq!(found.len_bytes, *len);
                (found.xid, found.kept.data.to_vec(), found.kept.bytes, found.clock)
            })
            .collect();
        let expected = [
            (9, b"Iabc".to_vec(), 4, None),
            (7, b"Oabc".to_vec(), 4, None),
            (9, b"Rde".to_vec(), 3, Some(5)),
            (8, b"Ufgh".to_vec(), 996, None),
        ];
        assert_eq!(found, expected);
        assert!(from.is_empty());
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        let mut out = Vec::new();
        record(b"R\0\0\0\x09de", 500, Some(5)).write(&mut out);
        for len in 0..out.len() {
            assert!(Found::read(&mut &out[..len]).is_err(), "{len}");
        }
        assert!(Found::read(&mut out.as_slice()).is_ok());
    }

    #[test]
    fn is_never_longer_than_the_frame_of_its_message() {
        // A frame has five bytes of its own and twenty-five of XLogData's.
        let data = b"I\0\0\0\x09\0\0\0\x01N\0\0";
        assert!(record(data, data.len() as u64, None).len_bytes() <= 30 + data.len());
        let data = b"R\0\0\0\x09\0\0\0\x01a\0b\0d\0\0";
        assert!(record(data, data.len() as u64, Some(1)).len_bytes() <= 30 + data.len());
    }
}
