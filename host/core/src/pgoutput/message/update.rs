//! `U`: a changed row, with as much of the old one as the replica identity says.

use super::super::reader::{Malformed, Reader};
use super::super::tuple::Tuple;

pub(crate) const TAG: u8 = b'U';

/// How much of an old row was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKind {
    /// Its key; all other columns are NULL.
    Key,
    /// All of it.
    Full,
}

impl OldKind {
    pub(super) fn from_letter(letter: u8) -> Option<OldKind> {
        match letter {
            b'K' => Some(OldKind::Key),
            b'O' => Some(OldKind::Full),
            _ => None,
        }
    }

    pub(super) fn letter(self) -> u8 {
        match self {
            OldKind::Key => b'K',
            OldKind::Full => b'O',
        }
    }
}

/// A changed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The table's oid.
    pub relation: u32,
    /// The row before, if it was sent: by default only when its key has changed.
    pub old: Option<(OldKind, Tuple<'a>)>,
    /// The row after.
    pub new: Tuple<'a>,
}

impl<'a> Update<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Update<'a>, Malformed> {
        let relation = reader.u32("Update's relation")?;
        let mut letter = reader.u8("Update's first tuple")?;
        let mut old = None;
        if let Some(kind) = OldKind::from_letter(letter) {
            old = Some((kind, Tuple::read(reader)?));
            letter = reader.u8("Update's new tuple")?;
        }
        if letter != b'N' {
            return reader.fail("Update without a new tuple before here");
        }
        Ok(Update { relation, old, new: Tuple::read(reader)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.relation.to_be_bytes());
        if let Some((kind, old)) = &self.old {
            out.push(kind.letter());
            old.encode(out);
        }
        out.push(b'N');
        self.new.encode(out);
    }
}
