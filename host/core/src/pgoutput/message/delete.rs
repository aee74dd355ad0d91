//! `D`: a deleted row, as much of it as the replica identity says.

use super::super::reader::{Malformed, Reader};
use super::super::tuple::Tuple;
use super::update::OldKind;

pub(crate) const TAG: u8 = b'D';

/// A deleted row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The table's oid.
    pub relation: u32,
    /// How much of the row was sent.
    pub kind: OldKind,
    /// The row.
    pub old: Tuple<'a>,
}

impl<'a> Delete<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Delete<'a>, Malformed> {
        let relation = reader.u32("Delete's relation")?;
        match OldKind::from_letter(reader.u8("Delete's tuple")?) {
            Some(kind) => Ok(Delete { relation, kind, old: Tuple::read(reader)? }),
            None => reader.fail("Delete without an old tuple before here"),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.relation.to_be_bytes());
        out.push(self.kind.letter());
        self.old.encode(out);
    }
}
