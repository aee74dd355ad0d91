//! One file: what makes it whole, and which of two counts. Pure.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `PGCK` |
//! | 4 | 4 | version, 1 |
//! | 8 | 8 | generation, from 1 |
//! | 16 | 8 | length of the body |
//! | 24 | 32 | SHA-256 of bytes 0 to 24 and the body |
//! | 56 | | the body |
//!
//! Integers are little-endian. Bytes behind the body are the remains of a longer one and do not count.

use pgcdc_sdk::{Error, Result};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 4] = b"PGCK";
const VERSION: u32 = 1;
const SUM_AT: usize = 24;
const BODY_AT: usize = 56;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// Empty: never written.
    Absent,
    /// Shorter than it says: its writing was cut off.
    Torn,
    /// Not what was written, and why.
    Damaged(&'static str),
    /// As it was written.
    Whole { generation: u64, body: &'a [u8] },
}

/// Looks at a file.
pub(crate) fn read(content: &[u8]) -> Found<'_> {
    if content.is_empty() {
        return Found::Absent;
    }
    let Some((header, rest)) = content.split_at_checked(BODY_AT) else { return Found::Torn };
    if header.iter().all(|byte| *byte == 0) {
        // A length that reached the device before the bytes did.
        return Found::Torn;
    }
    let (fields, sum) = header.split_at(SUM_AT);
    if !fields.starts_with(MAGIC) {
        return Found::Damaged("not a checkpoint file");
    }
    if number(fields, 4, 4) != u64::from(VERSION) {
        return Found::Damaged("of a version that is not known here");
    }
    let length = usize::try_from(number(fields, 16, 8)).unwrap_or(usize::MAX);
    let Some(body) = rest.get(..length) else { return Found::Torn };
    if checksum(fields, body) != sum {
        return Found::Damaged("the checksum differs");
    }
    Found::Whole { generation: number(fields, 8, 8), body }
}

/// Which file counts; none if there never was any.
pub(crate) fn newest<'a>(found: &[Found<'a>; 2]) -> Result<Option<(u64, &'a [u8])>> {
    let whole = found.iter().filter_map(|found| match found {
        Found::Whole { generation, body } => Some((*generation, *body)),
        _ => None,
    });
    match (whole.max_by_key(|(generation, _)| *generation), found) {
        (Some(newest), _) => Ok(Some(newest)),
        // Nothing was ever stored: the very first write was cut off, or has not begun.
        (None, [Found::Absent | Found::Torn, Found::Absent] | [Found::Absent, Found::Torn]) => Ok(None),
        (None, _) => Err(Error::gone(
            "no checkpoint file is whole any more; put one back from a backup, or take stock with \
             `pgcdc checkpoint reset`, which says where each source can go on",
        )),
    }
}

/// A whole file.
pub(crate) fn write(generation: u64, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(BODY_AT + body.len());
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&VERSION.to_le_bytes());
    content.extend_from_slice(&generation.to_le_bytes());
    content.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let sum = checksum(&content, body);
    content.extend_from_slice(&sum);
    content.extend_from_slice(body);
    content
}

fn checksum(fields: &[u8], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(fields).chain_update(body).finalize().into()
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let bytes = bytes.get(at..at + len).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let content = write(7, b"body");
        assert_eq!(read(&content), Found::Whole { generation: 7, body: b"body" });
        let longer = [content.as_slice(), b"remains of a longer one"].concat();
        assert_eq!(read(&longer), Found::Whole { generation: 7, body: b"body" });
    }

    #[test]
    fn every_cut_is_torn_and_every_flipped_bit_is_found() {
        let content = write(7, b"body");
        for end in 1..content.len() {
            assert_eq!(read(&content[..end]), Found::Torn, "{end}");
        }
        for bit in 0..8 * content.len() {
            let mut bad = content.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&bad), Found::Whole { .. } | Found::Absent), "{bit}");
        }
    }

    #[test]
    fn the_higher_generation_counts() {
        let (old, new) = (write(4, b"old"), write(5, b"new"));
        assert_eq!(newest(&[read(&old), read(&new)]).unwrap(), Some((5, &b"new"[..])));
        assert_eq!(newest(&[read(&old), Found::Torn]).unwrap(), Some((4, &b"old"[..])));
        assert_eq!(newest(&[Found::Damaged(""), read(&new)]).unwrap(), Some((5, &b"new"[..])));
    }

    #[test]
    fn what_is_lost_is_not_nothing() {
        assert_eq!(newest(&[Found::Absent, Found::Absent]).unwrap(), None);
        assert_eq!(newest(&[Found::Absent, Found::Torn]).unwrap(), None);
        for lost in [
            [Found::Torn, Found::Torn],
            [Found::Damaged(""), Found::Absent],
            [Found::Torn, Found::Damaged("")],
        ] {
            assert_eq!(newest(&lost).unwrap_err().code, "gone");
        }
    }
}
