//! `C`: a transaction ends. Its end LSN is the only one that may ever be confirmed.

use super::super::reader::{Malformed, Reader};
use super::{put_time, time_us};
use crate::lsn::Lsn;

pub(crate) const TAG: u8 = b'C';

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record starts: as in Begin.
    pub commit_lsn: Lsn,
    /// Where it ends: with this confirmed, the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it committed, microseconds since 1970.
    pub commit_us: i64,
}

impl Commit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Commit, Malformed> {
        if reader.u8("Commit's flags")? != 0 {
            return reader.fail("unknown flags of Commit before here");
        }
        Ok(Commit {
            commit_lsn: Lsn(reader.u64("Commit's LSN")?),
            end_lsn: Lsn(reader.u64("Commit's end LSN")?),
            commit_us: time_us(reader.i64("Commit's time")?),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[TAG, 0]);
        out.extend_from_slice(&self.commit_lsn.to_bytes());
        out.extend_from_slice(&self.end_lsn.to_bytes());
        put_time(out, self.commit_us);
    }
}
