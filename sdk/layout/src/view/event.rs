//! Events, read in place.

use super::{RawTuple, Relation, Transaction, Tuple, View, str_of};
use crate::bytes::{array16, ref_at, u8_at, u16_at, u32_at};
use crate::spec::*;

/// A free-form payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The payload is made of the tuples, or absent.
    None,
    /// One JSON value.
    Json(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes; base64 in JSON.
    Bytes(&'a [u8]),
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub(super) view: View<'a>,
    pub(super) record: &'a [u8; EVENT_BYTES],
    pub(super) index: u32,
}

impl<'a> Event<'a> {
    /// The batch that it is in.
    #[inline]
    pub fn view(&self) -> View<'a> {
        self.view
    }

    /// Its index in the batch.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The id, a UUID; all zero if the host has not drawn one yet.
    #[inline]
    pub fn id(&self) -> [u8; 16] {
        array16(self.record, event::ID)
    }

    /// The event's own part of the order key.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        let len = usize::from(u8_at(self.record, event::KEY_LEN)).min(EVENT_KEY_BYTES_MAX);
        &self.record[event::KEY..event::KEY + len]
    }

    /// What happened.
    #[inline]
    pub fn op(&self) -> Op {
        Op::from_u8(u8_at(self.record, event::OP)).unwrap_or(Op::Named)
    }

    /// The index of its transaction.
    #[inline]
    pub fn tx_index(&self) -> Option<u32> {
        Some(u32_at(self.record, event::TX)).filter(|index| *index != NO_TX)
    }

    /// Its transaction.
    #[inline]
    pub fn transaction(&self) -> Option<Transaction<'a>> {
        self.view.transaction(self.tx_index()?)
    }

    /// The index of its relation.
    #[inline]
    pub fn relation_index(&self) -> u32 {
        u32_at(self.record, event::RELATION)
    }

    /// Its relation. None only in a batch that was not checked.
    #[inline]
    pub fn relation(&self) -> Option<Relation<'a>> {
        self.view.relation(self.relation_index())
    }

    /// The channel.
    #[inline]
    pub fn channel(&self) -> &'a str {
        self.relation().map_or("", |relation| relation.channel())
    }

    /// The row after the change.
    #[inline]
    pub fn after(&self) -> Option<Tuple<'a>> {
        self.raw_after()?.text()
    }

    /// The row before the change.
    #[inline]
    pub fn before(&self) -> Option<Tuple<'a>> {
        self.raw_before()?.text()
    }

    /// The row after the change, as bytes.
    #[inline]
    pub fn raw_after(&self) -> Option<RawTuple<'a>> {
        self.tuple(event::AFTER)
    }

    /// The row before the change, as bytes.
    #[inline]
    pub fn raw_before(&self) -> Option<RawTuple<'a>> {
        self.tuple(event::BEFORE)
    }

    #[inline]
    fn tuple(&self, field: usize) -> Option<RawTuple<'a>> {
        match u32_at(self.record, field) {
            0 => None,
            at => RawTuple::find(self.view.bytes, at as usize),
        }
    }

    /// The number of the row within its transaction, from 1.
    #[inline]
    pub fn seq(&self) -> Option<u32> {
        Some(u32_at(self.record, event::SEQ)).filter(|seq| *seq != 0)
    }

    /// The free-form payload.
    #[inline]
    pub fn body(&self) -> Body<'a> {
        match u16_at(self.record, event::FLAGS) & BODY_ANY {
            0 => Body::None,
            BODY_JSON => Body::Json(self.str(event::BODY)),
            BODY_TEXT => Body::Text(self.str(event::BODY)),
            _ => Body::Bytes(ref_at(self.record, event::BODY).of(self.view.bytes).unwrap_or_default()),
        }
    }

    /// The index of the input that it comes from.
    #[inline]
    pub fn input(&self) -> u32 {
        u32_at(self.record, event::INPUT)
    }

    /// n-th child of its source event; 0 = the event itself.
    #[inline]
    pub fn derived(&self) -> u32 {
        u32_at(self.record, event::DERIVED)
    }

    /// A JSON object with particulars, or empty.
    #[inline]
    pub fn particulars(&self) -> &'a str {
        self.str(event::PARTICULARS)
    }

    /// Appends the order key: its transaction's part, then its own. Nothing is appended if the event has no
    /// place in an order. Events that were derived from one share its key.
    #[inline]
    pub fn order_key(&self, out: &mut Vec<u8>) {
        if let Some(transaction) = self.transaction() {
            out.extend_from_slice(transaction.key());
        }
        out.extend_from_slice(self.key());
    }

    /// Appends the position as the envelope shows it: the order key, if there is one, and the derived index
    /// behind it.
    #[inline]
    pub fn position(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.order_key(out);
        if self.derived() != 0 && out.len() > start {
            out.extend_from_slice(&self.derived().to_be_bytes());
        }
    }

    #[inline]
    fn str(&self, field: usize) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, field))
    }
}
