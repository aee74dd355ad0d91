//! `S`: a piece of a transaction in progress begins.

use super::super::reader::{Malformed, Reader};

pub(super) const TAG: u8 = b'S';

/// The start of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction, without the epoch.
    pub xid: u32,
    /// Whether it is the first piece of that transaction on this connection.
    pub first: bool,
}

impl StreamStart {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<StreamStart, Malformed> {
        let xid = reader.u32("Stream Start's xid")?;
        match reader.u8("Stream Start's flag")? {
            flag @ 0..=1 => Ok(StreamStart { xid, first: flag == 1 }),
            _ => reader.fail("an unknown flag of Stream Start before here"),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.push(u8::from(self.first));
    }
}
