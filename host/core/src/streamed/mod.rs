//! Transactions that the server sends in pieces while they are in progress: what is kept of them, and what comes out at
//! their commit.
//!
//! ```text
//!  message ─► Streamed::take ─┬─ Pass ─────────────────────────────────────────► assembler, at once
//!                             ├─ Keep ──► a store of the transaction's own (bytes appended)
//!                             ├─ Forget ► the store is thrown away
//!                             └─ Release ► the store is read back through a Replay ─► assembler
//! ```
//!
//! Whoever has a socket and a disk appends what [`Step::Keep`] says, and reads it back in the same order. Invariants:
//! - nothing of a transaction is let out before its commit, and nothing of what was rolled back ever;
//! - what comes out of a [`Replay`] is what the server would have sent had it waited for the commit: Begin, the same
//!   messages with the same LSNs, Commit; so keys, ids and envelopes are the same either way;
//! - a table's description inside of a transaction counts for that transaction alone, until it commits; then for
//!   everybody, unless a later one has come meanwhile ([`shapes`]);
//! - memory: a few dozen bytes a transaction, sixteen a rollback that came after its rows were sent, and the descriptions
//!   of tables that came while a transaction was open.

mod record;
mod replay;
mod shapes;
mod voids;

pub use record::{Damaged, Kept, Record};
pub use replay::Replay;

use rustc_hash::FxHashMap;

use crate::lsn::Lsn;
use crate::pgoutput::Malformed;
use crate::pgoutput::message::{BEGIN_TAG, COMMIT_TAG, RELATION_TAG};
use crate::pgoutput::stream::{Bracket, StreamAbort, StreamCommit, StreamStart, Within};
use shapes::Shapes;
use voids::Voids;

/// Transactions in progress at once; more are refused. A server has a thousandth of them.
pub const OPEN_MAX: usize = 1 << 16;

/// The transactions of one connection that are in progress and were sent in part.
#[derive(Debug, Default)]
pub struct Streamed {
    open: FxHashMap<u32, Open>,
    /// Whose piece the present message is in.
    inside: Option<u32>,
    /// Within a transaction that is sent whole.
    whole: bool,
    shapes: Shapes,
}

/// One of them.
#[derive(Debug, Default)]
struct Open {
    /// How much of it is kept, in bytes.
    bytes: u64,
    voids: Voids,
}

/// What a message asks for.
#[derive(Debug)]
pub enum Step<'a> {
    /// It belongs to no transaction in progress: the assembler takes it now.
    Pass,
    /// Nothing but to remember it, which was done.
    Noted,
    /// Append it to what is kept of that transaction.
    Keep {
        /// The top-level transaction.
        xid: u32,
        /// What to append.
        record: Record<'a>,
    },
    /// Throw away all that is kept of that transaction.
    Forget {
        /// The top-level transaction.
        xid: u32,
    },
    /// Read back what is kept, to its end, then call [`Streamed::settle`]. No other message before that.
    Release(Box<Replay>),
}

/// The stream cannot be read any further: reconnect, and start again at the last confirmed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A message that breaks the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A message where it cannot be.
    #[error("unexpected {message}: {why}")]
    Unexpected {
        /// The message.
        message: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than any server has.
    #[error("more than {OPEN_MAX} transactions in progress")]
    TooMany,
}

impl Streamed {
    /// How many transactions are in progress and were sent in part.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether the last message was inside of a piece.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Takes one message, or its first bytes if it is too large to be held; `bytes` is how long it is.
    #[inline]
    pub fn take<'a>(&mut self, wal_start: Lsn, data: &'a [u8], bytes: u64) -> Result<Step<'a>, Error> {
        if let Some(bracket) = Bracket::decode(data)? {
            return self.bracket(bracket);
        }
        match self.inside {
            Some(xid) => self.keep(xid, wal_start, data, bytes),
            None => Ok(self.pass(data)),
        }
    }

    /// A replay has come to its end. Returns descriptions of tables that are to be what they were before it.
    pub fn settle(&mut self, replay: Replay) -> Vec<Vec<u8>> {
        self.shapes.settle(replay.into_shapes(), !self.open.is_empty())
    }

    #[inline]
    fn pass(&mut self, data: &[u8]) -> Step<'static> {
        match data.first() {
            Some(&BEGIN_TAG) => self.whole = true,
            Some(&COMMIT_TAG) => self.whole = false,
            Some(&RELATION_TAG) if !self.open.is_empty() => self.shapes.came(data),
            _ => {}
        }
        Step::Pass
    }

    #[inline]
    fn keep<'a>(&mut self, xid: u32, wal_start: Lsn, data: &'a [u8], bytes: u64) -> Result<Step<'a>, Error> {
        let within = Within::read(data)?;
        if within.is_message_outside() {
            return unexpected("Message", "it is outside of transactions and inside of a stream");
        }
        let Some(open) = self.open.get_mut(&xid) else { return unexpected("message", NOT_BEGUN) };
        let clock = if within.is_relation() { Some(self.shapes.tick()) } else { None };
        let record = Record::new(&within, xid, wal_start, data.len() as u64, bytes, clock);
        open.bytes += record.len_bytes() as u64;
        Ok(Step::Keep { xid, record })
    }

    #[cold]
    fn bracket(&mut self, bracket: Bracket) -> Result<Step<'static>, Error> {
        if self.whole {
            return unexpected("message of a stream", "a transaction that is sent whole has not ended");
        }
        match (bracket, self.inside) {
            (Bracket::Start(start), None) => self.start(start),
            (Bracket::Stop(_), Some(_)) => {
                self.inside = None;
                Ok(Step::Noted)
            }
            (Bracket::Commit(commit), None) => self.commit(&commit),
            (Bracket::Abort(abort), None) => Ok(self.abort(abort)),
            (Bracket::Stop(_), None) => unexpected("Stream Stop", "no stream has started"),
            (_, Some(_)) => unexpected("message of a stream", "the stream before has not stopped"),
        }
    }

    fn start(&mut self, start: StreamStart) -> Result<Step<'static>, Error> {
        match (start.first, self.open.contains_key(&start.xid)) {
            (true, true) => return unexpected("Stream Start", "that transaction was begun before"),
            (false, false) => return unexpected("Stream Start", NOT_BEGUN),
            (true, false) if self.open.len() >= OPEN_MAX => return Err(Error::TooMany),
            (true, false) => drop(self.open.insert(start.xid, Open::default())),
            (false, true) => {}
        }
        self.inside = Some(start.xid);
        Ok(Step::Noted)
    }

    fn commit(&mut self, commit: &StreamCommit) -> Result<Step<'static>, Error> {
        let Some(open) = self.open.remove(&commit.xid) else {
            return unexpected("Stream Commit", NOT_BEGUN);
        };
        Ok(Step::Release(Box::new(Replay::new(commit, open.bytes, open.voids))))
    }

    /// The server names parts of which nothing was published, too: of what is not known here, there is nothing to undo.
    fn abort(&mut self, abort: StreamAbort) -> Step<'static> {
        if abort.part == abort.xid {
            let known = self.open.remove(&abort.xid).is_some();
            if self.open.is_empty() {
                self.shapes.forget();
            }
            return if known { Step::Forget { xid: abort.xid } } else { Step::Noted };
        }
        if let Some(open) = self.open.get_mut(&abort.xid) {
            open.voids.add(open.bytes, rank(abort.xid, abort.part));
        }
        Step::Noted
    }
}

/// When a part of a transaction began, relative to its others: numbers are given out in order, and may wrap around.
fn rank(top: u32, part: u32) -> u32 {
    part.wrapping_sub(top)
}

const NOT_BEGUN: &str = "that transaction was not begun";

fn unexpected<T>(message: &'static str, why: &'static str) -> Result<T, Error> {
    Err(Error::Unexpected { message, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::stream::StreamStop;
    use crate::pgoutput::{Begin, Message};

    fn bytes(bracket: Bracket) -> Vec<u8> {
        let mut out = Vec::new();
        bracket.encode(&mut out);
        out
    }

    fn start(xid: u32, first: bool) -> Vec<u8> {
        bytes(Bracket::Start(StreamStart { xid, first }))
    }

    fn commit(xid: u32) -> Vec<u8> {
        let (commit_lsn, end_lsn) = (Lsn(1), Lsn(2));
        bytes(Bracket::Commit(StreamCommit { xid, commit_lsn, end_lsn, commit_us: 0 }))
    }

    /// What becomes of the last message; all before it are taken.
    fn last(messages: &[Vec<u8>]) -> Result<String, String> {
        let mut streamed = Streamed::default();
        let mut said = String::new();
        for data in messages {
            let step = streamed.take(Lsn(1), data, data.len() as u64);
            said = format!("{:?}", step.map_err(|error| error.to_string())?);
        }
        Ok(said)
    }

    #[test]
    fn messages_out_of_order_end_the_connection() {
        let stop = bytes(Bracket::Stop(StreamStop));
        let mut begin = Vec::new();
        Message::Begin(Begin { commit_lsn: Lsn(9), commit_us: 0, xid: 1 }).encode(&mut begin);
        for (messages, part) in [
            (vec![stop.clone()], "no stream has started"),
            (vec![start(1, false)], "was not begun"),
            (vec![start(1, true), start(1, true)], "has not stopped"),
            (vec![start(1, true), stop.clone(), start(1, true)], "was begun before"),
            (vec![commit(1)], "was not begun"),
            (vec![start(1, true), commit(1)], "has not stopped"),
            (vec![begin.clone(), start(1, true)], "has not ended"),
            (vec![start(1, true), begin], "cannot be inside of a stream"),
            (vec![start(1, true), b"M\0\0\0\x01\0".to_vec()], "outside of transactions"),
        ] {
            let error = last(&messages).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_has_nothing_to_undo() {
        let abort = bytes(Bracket::Abort(StreamAbort { xid: 5, part: 5 }));
        let part = bytes(Bracket::Abort(StreamAbort { xid: 5, part: 6 }));
        assert_eq!(last(std::slice::from_ref(&abort)).unwrap(), "Noted");
        assert_eq!(last(std::slice::from_ref(&part)).unwrap(), "Noted");
        let stop = bytes(Bracket::Stop(StreamStop));
        assert_eq!(last(&[start(5, true), stop.clone(), part.clone()]).unwrap(), "Noted");
        let forget = last(&[start(5, true), stop, part, abort]).unwrap();
        assert_eq!(forget, "Forget { xid: 5 }");
    }
}
