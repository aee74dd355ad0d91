//! `B`: a transaction starts. It is sent whole, after its commit.

use super::super::reader::{Malformed, Reader};
use super::{put_time, time_us};
use crate::lsn::Lsn;

pub(crate) const TAG: u8 = b'B';

/// The start of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record starts.
    pub commit_lsn: Lsn,
    /// When it committed, microseconds since 1970.
    pub commit_us: i64,
    /// Its number, without the epoch.
    pub xid: u32,
}

impl Begin {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Begin, Malformed> {
        Ok(Begin {
            commit_lsn: Lsn(reader.u64("Begin's commit LSN")?),
            commit_us: time_us(reader.i64("Begin's commit time")?),
            xid: reader.u32("Begin's xid")?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.commit_lsn.to_bytes());
        put_time(out, self.commit_us);
        out.extend_from_slice(&self.xid.to_be_bytes());
    }
}
