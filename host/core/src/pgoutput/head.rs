//! The first bytes of a message that is too large to be held: enough to say what it was about.

use pgcdc_layout::Op;

use super::message::{DELETE_TAG, INSERT_TAG, MESSAGE_TAG, UPDATE_TAG};
use super::reader::{Malformed, Reader};
use super::tuple::Tuple;
use crate::lsn::Lsn;

/// What the start of a large message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// A change of a row.
    Row {
        /// Insert, Update or Delete.
        op: Op,
        /// The table's oid.
        relation: u32,
        /// The first tuple of the message; its cells end where the bytes do.
        start: Option<Tuple<'a>>,
    },
    /// A logical message.
    Message {
        /// Whether it belongs to the transaction.
        transactional: bool,
        /// Where its record ends.
        lsn: Lsn,
    },
}

impl<'a> Head<'a> {
    /// Reads the start of a message; `None` if it is of a kind that is never large.
    pub fn decode(data: &'a [u8]) -> Result<Option<Head<'a>>, Malformed> {
        let mut reader = Reader::new(data);
        let op = match reader.u8("a message's tag")? {
            INSERT_TAG => Op::Insert,
            UPDATE_TAG => Op::Update,
            DELETE_TAG => Op::Delete,
            MESSAGE_TAG => {
                let transactional = reader.u8("Message's flags")? == 1;
                let lsn = Lsn(reader.u64("Message's LSN")?);
                return Ok(Some(Head::Message { transactional, lsn }));
            }
            _ => return Ok(None),
        };
        let relation = reader.u32("a row's relation")?;
        // The letter before the tuple says which one it is; for naming the row any will do.
        let start = reader.u8("a row's tuple").and_then(|_| Tuple::read_start(&mut reader)).ok();
        Ok(Some(Head::Row { op, relation, start }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::{Cell, Insert, Logical, Message, encode_tuple};

    #[test]
    fn the_cells_that_are_there_can_be_read() {
        let mut row = Vec::new();
        encode_tuple(&mut row, &[Cell::Text(b"42"), Cell::Null, Cell::Text(&[b'x'; 5_000])]);
        let new = Tuple::read(&mut Reader::new(&row)).unwrap();
        let mut bytes = Vec::new();
        Message::Insert(Insert { relation: 7, new }).encode(&mut bytes);
        let Some(Head::Row { op: Op::Insert, relation: 7, start: Some(start) }) =
            Head::decode(&bytes[..1_000]).unwrap()
        else {
            panic!()
        };
        assert_eq!(start.cells().collect::<Vec<_>>(), [Cell::Text(b"42"), Cell::Null]);
        assert!(matches!(Head::decode(&bytes[..5]).unwrap(), Some(Head::Row { start: None, .. })));
        assert!(Head::decode(&bytes[..4]).is_err());
        assert_eq!(Head::decode(b"B"), Ok(None));
    }

    #[test]
    fn a_message_is_known_by_its_lsn() {
        let message = Logical { transactional: true, lsn: Lsn(77), prefix: "p", content: &[0; 100] };
        let mut bytes = Vec::new();
        Message::Logical(message).encode(&mut bytes);
        let head = Head::decode(&bytes[..12]).unwrap();
        assert_eq!(head, Some(Head::Message { transactional: true, lsn: Lsn(77) }));
    }
}
