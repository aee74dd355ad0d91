//! `M`: what `pg_logical_emit_message` wrote, inside or outside of a transaction.

use super::super::reader::{Malformed, Reader, put_text};
use crate::lsn::Lsn;

pub(crate) const TAG: u8 = b'M';

/// A logical decoding message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logical<'a> {
    /// Whether it belongs to the transaction that is being sent. If not, it may come between any two.
    pub transactional: bool,
    /// Where its record ends.
    pub lsn: Lsn,
    /// What its writer called it.
    pub prefix: &'a str,
    /// Any bytes.
    pub content: &'a [u8],
}

impl<'a> Logical<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Logical<'a>, Malformed> {
        let transactional = match reader.u8("Message's flags")? {
            0 => false,
            1 => true,
            _ => return reader.fail("unknown flags of Message before here"),
        };
        let lsn = Lsn(reader.u64("Message's LSN")?);
        let prefix = reader.text("Message's prefix")?;
        let len = reader.count_u32("Message's length")?;
        Ok(Logical { transactional, lsn, prefix, content: reader.bytes(len, "Message's content")? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[TAG, u8::from(self.transactional)]);
        out.extend_from_slice(&self.lsn.to_bytes());
        put_text(out, self.prefix);
        out.extend_from_slice(&(self.content.len() as u32).to_be_bytes());
        out.extend_from_slice(self.content);
    }
}
