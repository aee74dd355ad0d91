//! `A`: a transaction that was sent in pieces was rolled back, or a part of it that began at a savepoint.

use super::super::reader::{Malformed, Reader};

pub(super) const TAG: u8 = b'A';

/// A rollback of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction, without the epoch.
    pub xid: u32,
    /// The part of it that was rolled back; the same number if it is all of it.
    pub part: u32,
}

impl StreamAbort {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<StreamAbort, Malformed> {
        Ok(StreamAbort {
            xid: reader.u32("Stream Abort's xid")?,
            part: reader.u32("Stream Abort's subtransaction")?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&self.part.to_be_bytes());
    }
}
