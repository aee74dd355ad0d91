//! Little-endian fields of fixed places in records.
//!
//! Reads outside of the record give zero: with a record of known size and a constant place the check
//! vanishes when compiled, with foreign bytes it is what keeps a reader from panicking.

/// Offset and length of bytes in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ref {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Ref {
    /// The bytes, or none if any is outside of the batch. Nothing at all is a valid empty string.
    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.len == 0 {
            return Some(&[]);
        }
        let start = self.at as usize;
        bytes.get(start..start.checked_add(self.len as usize)?)
    }
}

#[inline(always)]
fn chunk<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    match record.get(at..) {
        Some(rest) => rest.first_chunk::<N>().copied().unwrap_or([0; N]),
        None => [0; N],
    }
}

#[inline(always)]
pub(crate) fn array16(record: &[u8], at: usize) -> [u8; 16] {
    chunk(record, at)
}

#[inline(always)]
pub(crate) fn u8_at(record: &[u8], at: usize) -> u8 {
    record.get(at).copied().unwrap_or(0)
}

#[inline(always)]
pub(crate) fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(chunk(record, at))
}

#[inline(always)]
pub(crate) fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(chunk(record, at))
}

#[inline(always)]
pub(crate) fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(chunk(record, at))
}

#[inline(always)]
pub(crate) fn ref_at(record: &[u8], at: usize) -> Ref {
    Ref { at: u32_at(record, at), len: u32_at(record, at + 4) }
}

/// Writes `value` at `at`; what does not fit is left out.
#[inline(always)]
pub(crate) fn put(record: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = record.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}

#[inline(always)]
pub(crate) fn put_u32(record: &mut [u8], at: usize, value: u32) {
    put(record, at, &value.to_le_bytes());
}

#[inline(always)]
pub(crate) fn put_ref(record: &mut [u8], at: usize, value: Ref) {
    put_u32(record, at, value.at);
    put_u32(record, at + 4, value.len);
}
