//! `O`: the transaction was replicated from another server.

use super::super::reader::{Malformed, Reader, put_text};
use crate::lsn::Lsn;

pub(crate) const TAG: u8 = b'O';

/// Where a replicated transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Its commit LSN over there.
    pub lsn: Lsn,
    /// The origin's name.
    pub name: &'a str,
}

impl<'a> Origin<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Origin<'a>, Malformed> {
        Ok(Origin { lsn: Lsn(reader.u64("Origin's LSN")?), name: reader.text("Origin's name")? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.lsn.to_bytes());
        put_text(out, self.name);
    }
}
