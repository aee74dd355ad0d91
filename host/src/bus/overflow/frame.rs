//! One batch on the disk, and back: pure.
//!
//! ```text
//! len u32 │ crc u32 │ source u32 │ lane u32 │ number u64 │ refused_len u32 │ refused (JSON) │ batch (flat layout)
//!         └ of all that follows it                         all little-endian; len counts from `source` on
//! ```
//!
//! Invariant: what reads back without an error is bit for bit what was written.

use bytes::Bytes;
use pgcdc_core::assembler::Refused;

use super::refused;
use crate::batch::Batch;

/// Before what `len` counts.
const PREFIX_BYTES: usize = 8;
/// Everything in front of the refused changes.
const HEAD_BYTES: usize = PREFIX_BYTES + 4 + 4 + 8 + 4;

/// Which batch it is: the index of its source among those that have overflowed, and its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) source: u32,
    pub(super) lane: u32,
    pub(super) sequence: u64,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damaged {
    #[error("a frame ends too early")]
    Short,
    #[error("a frame of {expected} bytes says that it has {got}")]
    Length { expected: u64, got: u64 },
    #[error("a frame's checksum does not match")]
    Checksum,
    #[error("a frame's refused changes cannot be read")]
    Refused,
}

/// What a frame holds.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) number: Number,
    pub(super) refused: Vec<Refused>,
    pub(super) batch: Bytes,
}

/// All of a frame but the batch's own bytes, which follow it.
pub(super) fn head(number: Number, batch: &Batch) -> Result<Vec<u8>, &'static str> {
    let refused = batch.origin().map(|origin| origin.refused.as_slice()).unwrap_or_default();
    let refused = refused::write(refused).map_err(|_| "its refused changes cannot be written")?;
    let whole = HEAD_BYTES + refused.len() + batch.bytes().len();
    let len = u32::try_from(whole - PREFIX_BYTES).map_err(|_| "it has more than 4 GiB")?;
    let mut head = Vec::with_capacity(HEAD_BYTES + refused.len());
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&number.source.to_le_bytes());
    head.extend_from_slice(&number.lane.to_le_bytes());
    head.extend_from_slice(&number.sequence.to_le_bytes());
    head.extend_from_slice(&(refused.len() as u32).to_le_bytes());
    head.extend_from_slice(&refused);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[PREFIX_BYTES..]);
    crc.update(batch.bytes());
    head[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    Ok(head)
}

/// A frame of exactly these bytes. Its batch shares them.
pub(super) fn read(bytes: &Bytes) -> Result<Frame, Damaged> {
    let mut rest = Reader(bytes);
    let got = PREFIX_BYTES as u64 + u64::from(rest.u32()?);
    let expected = bytes.len() as u64;
    if got != expected {
        return Err(Damaged::Length { expected, got });
    }
    let crc = rest.u32()?;
    if crc32fast::hash(rest.0) != crc {
        return Err(Damaged::Checksum);
    }
    let (source, lane, sequence) = (rest.u32()?, rest.u32()?, rest.u64()?);
    let refused_bytes = rest.u32()? as usize;
    let (refused, batch) = rest.0.split_at_checked(refused_bytes).ok_or(Damaged::Short)?;
    let refused = refused::read(refused).ok_or(Damaged::Refused)?;
    Ok(Frame { number: Number { source, lane, sequence }, refused, batch: bytes.slice_ref(batch) })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::samples;

    fn whole() -> (Vec<u8>, Number) {
        let number = Number { source: 1, lane: 2, sequence: u64::MAX - 3 };
        let batch = samples::with_refused(3, 40);
        let mut bytes = head(number, &batch).unwrap();
        bytes.extend_from_slice(batch.bytes());
        (bytes, number)
    }

    #[test]
    fn what_was_written_reads_back() {
        let (bytes, number) = whole();
        let frame = read(&bytes.into()).unwrap();
        let batch = samples::with_refused(3, 40);
        assert_eq!(frame.number, number);
        assert_eq!(frame.batch, *batch.bytes());
        assert_eq!(frame.refused, batch.origin().unwrap().refused);
    }

    #[test]
    fn every_flipped_bit_and_every_shorter_frame_is_an_error() {
        let (bytes, _) = whole();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped.into()).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(read(&Bytes::copy_from_slice(&bytes[..len])).is_err(), "{len} bytes");
        }
    }
}
