//! `T`: emptied tables, all those of one command.

use super::super::reader::{Malformed, Reader};

pub(crate) const TAG: u8 = b'T';
const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;

/// Emptied tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// Whether the command said CASCADE.
    pub cascade: bool,
    /// Whether the command said RESTART IDENTITY.
    pub restart_identity: bool,
    relations: &'a [u8],
}

impl<'a> Truncate<'a> {
    /// How many tables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.relations.len() / 4
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// The tables' oids.
    pub fn relations(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (oids, _) = self.relations.as_chunks::<4>();
        oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Truncate<'a>, Malformed> {
        let count = reader.count_u32("Truncate's number of tables")?;
        let options = reader.u8("Truncate's options")?;
        let len = count.saturating_mul(4);
        Ok(Truncate {
            cascade: options & CASCADE != 0,
            restart_identity: options & RESTART_IDENTITY != 0,
            relations: reader.bytes(len, "Truncate's tables")?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&(self.len() as u32).to_be_bytes());
        let cascade = if self.cascade { CASCADE } else { 0 };
        out.push(cascade | if self.restart_identity { RESTART_IDENTITY } else { 0 });
        out.extend_from_slice(self.relations);
    }

    /// Writes a truncation of these tables as the server does: for tests and simulated servers.
    pub fn encode_new(out: &mut Vec<u8>, tables: &[u32], cascade: bool, restart_identity: bool) {
        let relations: Vec<u8> = tables.iter().flat_map(|oid| oid.to_be_bytes()).collect();
        Truncate { cascade, restart_identity, relations: &relations }.encode(out);
    }
}
