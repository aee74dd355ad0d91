//! `c`: a transaction that was sent in pieces has committed. It says what Begin and Commit say of one that is sent whole.

use super::super::message::{put_time, time_us};
use super::super::reader::{Malformed, Reader};
use crate::lsn::Lsn;

pub(super) const TAG: u8 = b'c';

/// The commit of a transaction that was sent in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction, without the epoch.
    pub xid: u32,
    /// Where its commit record starts.
    pub commit_lsn: Lsn,
    /// Where it ends: with this confirmed, the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it committed, microseconds since 1970.
    pub commit_us: i64,
}

impl StreamCommit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<StreamCommit, Malformed> {
        let xid = reader.u32("Stream Commit's xid")?;
        if reader.u8("Stream Commit's flags")? != 0 {
            return reader.fail("unknown flags of Stream Commit before here");
        }
        Ok(StreamCommit {
            xid,
            commit_lsn: Lsn(reader.u64("Stream Commit's LSN")?),
            end_lsn: Lsn(reader.u64("Stream Commit's end LSN")?),
            commit_us: time_us(reader.i64("Stream Commit's time")?),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.push(0);
        out.extend_from_slice(&self.commit_lsn.to_bytes());
        out.extend_from_slice(&self.end_lsn.to_bytes());
        put_time(out, self.commit_us);
    }
}
