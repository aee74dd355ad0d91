//! A message inside of a piece: what version 1 would have sent, with a transaction's number behind the tag.

use super::super::message::{self, Message};
use super::super::reader::{Malformed, Reader};

/// Bytes of the number.
const XID_BYTES: usize = 4;

/// A message inside of a piece, as it lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<'a> {
    /// The transaction, or the part of it since a savepoint, that it belongs to; Origin has none.
    pub xid: Option<u32>,
    /// The message's tag.
    pub tag: u8,
    /// What follows the number.
    pub rest: &'a [u8],
}

impl<'a> Within<'a> {
    /// Takes a message apart, or the first bytes of one; only its tag and number are looked at.
    #[inline]
    pub fn read(data: &'a [u8]) -> Result<Within<'a>, Malformed> {
        let mut reader = Reader::new(data);
        let tag = reader.u8("a message's tag")?;
        let xid = match tag {
            message::ORIGIN_TAG => None,
            message::INSERT_TAG
            | message::UPDATE_TAG
            | message::DELETE_TAG
            | message::TRUNCATE_TAG
            | message::RELATION_TAG
            | message::TYPE_TAG
            | message::MESSAGE_TAG => Some(reader.u32("the xid of a message in a stream")?),
            _ => return Err(Malformed { what: "a tag that cannot be inside of a stream", offset: 0 }),
        };
        Ok(Within { xid, tag, rest: reader.rest() })
    }

    /// How many bytes of a message in a stream version 1 would not have sent.
    #[must_use]
    pub fn extra_bytes(&self) -> usize {
        if self.xid.is_some() { XID_BYTES } else { 0 }
    }

    /// Whether it is a table's description.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        self.tag == message::RELATION_TAG
    }

    /// Whether it is a logical message that claims to be outside of transactions, which it cannot be here.
    #[must_use]
    pub fn is_message_outside(&self) -> bool {
        self.tag == message::MESSAGE_TAG && self.rest.first() == Some(&0)
    }

    /// Writes a message as the server does inside of a piece: for tests and simulated servers.
    pub fn encode(out: &mut Vec<u8>, xid: u32, message: &Message<'_>) {
        let mut whole = Vec::new();
        message.encode(&mut whole);
        Self::encode_bytes(out, xid, &whole);
    }

    /// The same, for the bytes of a message of version 1.
    pub fn encode_bytes(out: &mut Vec<u8>, xid: u32, whole: &[u8]) {
        let Some((tag, rest)) = whole.split_first() else { return };
        out.push(*tag);
        if *tag != message::ORIGIN_TAG {
            out.extend_from_slice(&xid.to_be_bytes());
        }
        out.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::pgoutput::{Begin, Logical, Origin, Type};

    #[test]
    fn a_number_is_taken_out_and_the_rest_is_the_message() {
        let message = Message::Type(Type { oid: 9, schema: "s", name: "t" });
        let mut bytes = Vec::new();
        Within::encode(&mut bytes, 771, &message);
        let within = Within::read(&bytes).unwrap();
        assert_eq!((within.xid, within.extra_bytes()), (Some(771), 4));
        let whole = [&[within.tag][..], within.rest].concat();
        assert_eq!(Message::decode(&whole), Ok(message));
        assert!(Within::read(&bytes[..4]).is_err());
    }

    #[test]
    fn an_origin_has_no_number() {
        let mut bytes = Vec::new();
        Within::encode(&mut bytes, 771, &Message::Origin(Origin { lsn: Lsn(5), name: "o" }));
        let within = Within::read(&bytes).unwrap();
        assert_eq!((within.xid, within.rest.len()), (None, 10));
    }

    #[test]
    fn transactions_do_not_begin_inside_of_a_piece() {
        let mut bytes = Vec::new();
        Message::Begin(Begin { commit_lsn: Lsn(1), commit_us: 0, xid: 1 }).encode(&mut bytes);
        assert!(Within::read(&bytes).is_err());
        assert!(Within::read(b"").is_err());
        let mut bytes = Vec::new();
        let alone = Logical { transactional: false, lsn: Lsn(1), prefix: "p", content: b"" };
        Within::encode(&mut bytes, 1, &Message::Logical(alone));
        assert!(Within::read(&bytes).unwrap().is_message_outside());
    }
}
