//! Version 2 of the protocol: transactions that are sent in pieces while they are still in progress.
//!
//! A piece lies between [`StreamStart`] and [`StreamStop`]. Between two pieces come other transactions, whole, and the news
//! that a piece was for nothing ([`StreamAbort`]) or that all of them count ([`StreamCommit`]). Inside of a piece every
//! message but Origin has the number of its (sub)transaction behind its tag: [`Within`]; without it, the message is what
//! version 1 would have sent.

mod abort;
mod commit;
mod start;
mod stop;
mod within;

pub use abort::StreamAbort;
pub use commit::StreamCommit;
pub use start::StreamStart;
pub use stop::StreamStop;
pub use within::Within;

use super::reader::{Malformed, Reader};

/// A message around pieces of transactions in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bracket {
    /// A piece begins.
    Start(StreamStart),
    /// The piece ends.
    Stop(StreamStop),
    /// The transaction of earlier pieces has committed.
    Commit(StreamCommit),
    /// The transaction of earlier pieces, or a part of it, was rolled back.
    Abort(StreamAbort),
}

impl Bracket {
    /// The message that these bytes are, from its tag to its end; `None` if it is another kind of message.
    #[inline]
    pub fn decode(data: &[u8]) -> Result<Option<Bracket>, Malformed> {
        let mut reader = Reader::new(data);
        let bracket = match reader.u8("a message's tag")? {
            start::TAG => Bracket::Start(StreamStart::read(&mut reader)?),
            stop::TAG => Bracket::Stop(StreamStop),
            commit::TAG => Bracket::Commit(StreamCommit::read(&mut reader)?),
            abort::TAG => Bracket::Abort(StreamAbort::read(&mut reader)?),
            _ => return Ok(None),
        };
        reader.end()?;
        Ok(Some(bracket))
    }

    /// Appends the message as the server writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Bracket::Start(m) => m.encode(out),
            Bracket::Stop(m) => m.encode(out),
            Bracket::Commit(m) => m.encode(out),
            Bracket::Abort(m) => m.encode(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn brackets_come_back_as_they_went_in_and_only_whole() {
        let commit = StreamCommit { xid: 7, commit_lsn: Lsn(8), end_lsn: Lsn(9), commit_us: 10 };
        for (bracket, len) in [
            (Bracket::Start(StreamStart { xid: 771, first: true }), 6),
            (Bracket::Start(StreamStart { xid: 771, first: false }), 6),
            (Bracket::Stop(StreamStop), 1),
            (Bracket::Commit(commit), 30),
            (Bracket::Abort(StreamAbort { xid: 1, part: 2 }), 9),
        ] {
            let mut bytes = Vec::new();
            bracket.encode(&mut bytes);
            assert_eq!(bytes.len(), len);
            assert_eq!(Bracket::decode(&bytes), Ok(Some(bracket)));
            for short in 1..len {
                assert!(Bracket::decode(&bytes[..short]).is_err());
            }
            bytes.push(0);
            assert!(Bracket::decode(&bytes).is_err(), "bytes left over");
        }
        assert_eq!(Bracket::decode(b"I"), Ok(None));
        assert!(Bracket::decode(b"").is_err());
        assert!(Bracket::decode(b"S\0\0\0\x01\x02").is_err(), "an unknown flag");
    }
}
