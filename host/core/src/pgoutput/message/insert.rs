//! `I`: a new row.

use super::super::reader::{Malformed, Reader};
use super::super::tuple::Tuple;

pub(crate) const TAG: u8 = b'I';

/// A new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The table's oid.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

impl<'a> Insert<'a> {
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Insert<'a>, Malformed> {
        let relation = reader.u32("Insert's relation")?;
        if reader.u8("Insert's tuple")? != b'N' {
            return reader.fail("Insert without a new tuple before here");
        }
        Ok(Insert { relation, new: Tuple::read(reader)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.relation.to_be_bytes());
        out.push(b'N');
        self.new.encode(out);
    }
}
