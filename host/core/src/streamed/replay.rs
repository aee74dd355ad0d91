//! A transaction that was kept in pieces, at its commit: read back as if it had been sent whole.

use super::rank;
use super::record::{Damaged, Found, Kept};
use super::shapes::{self, Carried};
use super::voids::{Cursor, Voids};
use crate::pgoutput::stream::StreamCommit;
use crate::pgoutput::{Begin, Commit, Message};

/// A committed transaction on its way to the assembler: [`Replay::begin`], what [`Replay::next`] gives of everything that
/// was kept, [`Replay::commit`].
#[derive(Debug)]
pub struct Replay {
    commit: StreamCommit,
    /// The next byte of what was kept, and how many there are.
    at: u64,
    bytes: u64,
    voids: Cursor,
    shapes: Carried,
}

impl Replay {
    pub(super) fn new(commit: &StreamCommit, bytes: u64, voids: Voids) -> Replay {
        Replay { commit: *commit, at: 0, bytes, voids: voids.cursor(), shapes: Carried::default() }
    }

    /// The top-level transaction.
    #[must_use]
    pub fn xid(&self) -> u32 {
        self.commit.xid
    }

    /// How many bytes were kept of it.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// The message that begins it.
    #[must_use]
    pub fn begin(&self) -> Vec<u8> {
        let StreamCommit { xid, commit_lsn, commit_us, .. } = self.commit;
        encoded(&Message::Begin(Begin { commit_lsn, commit_us, xid }))
    }

    /// The message that ends it, once all that was kept has been read back.
    pub fn commit(&self) -> Result<Vec<u8>, Damaged> {
        if self.at != self.bytes {
            return Err(Damaged);
        }
        let StreamCommit { commit_lsn, end_lsn, commit_us, .. } = self.commit;
        Ok(encoded(&Message::Commit(Commit { commit_lsn, end_lsn, commit_us })))
    }

    /// The next message that counts, from bytes that go on where the last ones ended, and hold whole records; what is used
    /// up is taken off them. `None`: they are used up.
    #[inline]
    pub fn next<'a>(&mut self, from: &mut &'a [u8]) -> Result<Option<Kept<'a>>, Damaged> {
        while !from.is_empty() {
            let found = Found::read(from)?;
            let at = self.at;
            self.at += found.len_bytes as u64;
            if self.at > self.bytes {
                return Err(Damaged);
            }
            if self.voids.is_void(at, rank(self.commit.xid, found.xid)) {
                continue;
            }
            if let Some(clock) = found.clock {
                let oid = shapes::oid(found.kept.data).ok_or(Damaged)?;
                self.shapes.insert(oid, (clock, found.kept.data.to_vec()));
            }
            return Ok(Some(found.kept));
        }
        Ok(None)
    }

    pub(super) fn into_shapes(self) -> Carried {
        self.shapes
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}
