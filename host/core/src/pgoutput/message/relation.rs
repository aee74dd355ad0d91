//! `R`: the shape of a table from here on. Only this is trusted: the catalog may be ahead of the WAL.

use super::super::reader::{Malformed, Reader, put_text};

pub(crate) const TAG: u8 = b'R';

/// What of an old row the server sends: `REPLICA IDENTITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The primary key.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a chosen index.
    Index,
}

impl Identity {
    /// The letter in `pg_class.relreplident`.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Identity::Default => b'd',
            Identity::Nothing => b'n',
            Identity::Full => b'f',
            Identity::Index => b'i',
        }
    }
}

/// The shape of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The number by which rows refer to it.
    pub oid: u32,
    /// Its schema; empty means `pg_catalog`.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What of old rows is sent.
    pub identity: Identity,
    count: u16,
    columns: &'a [u8],
}

/// One column of a [`Relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Whether it is part of the replica identity.
    pub key: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: u32,
    /// Its type's modifier, or -1.
    pub type_modifier: i32,
}

impl<'a> Relation<'a> {
    /// How many columns it has.
    #[must_use]
    pub fn columns_len(&self) -> u16 {
        self.count
    }

    /// Its columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut reader = Reader::new(self.columns);
        (0..self.count).map_while(move |_| read_column(&mut reader).ok())
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Relation<'a>, Malformed> {
        let oid = reader.u32("Relation's oid")?;
        let schema = reader.text("Relation's schema")?;
        let name = reader.text("Relation's name")?;
        let identity = match reader.u8("Relation's replica identity")? {
            b'd' => Identity::Default,
            b'n' => Identity::Nothing,
            b'f' => Identity::Full,
            b'i' => Identity::Index,
            _ => return reader.fail("an unknown replica identity before here"),
        };
        let count = reader.count_u16("Relation's number of columns")?;
        let columns = reader.rest();
        for _ in 0..count {
            read_column(reader)?;
        }
        let used = columns.len() - reader.rest().len();
        Ok(Relation { oid, schema, name, identity, count, columns: &columns[..used] })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.oid.to_be_bytes());
        put_text(out, self.schema);
        put_text(out, self.name);
        out.push(self.identity.letter());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.columns);
    }

    /// Writes a relation of these columns as the server does: for tests and simulated servers.
    pub fn encode_new(
        out: &mut Vec<u8>,
        oid: u32,
        schema: &str,
        name: &str,
        identity: Identity,
        columns: &[Column<'_>],
    ) {
        let mut bytes = Vec::new();
        for column in columns {
            bytes.push(u8::from(column.key));
            put_text(&mut bytes, column.name);
            bytes.extend_from_slice(&column.type_oid.to_be_bytes());
            bytes.extend_from_slice(&column.type_modifier.to_be_bytes());
        }
        let count = columns.len() as u16;
        Relation { oid, schema, name, identity, count, columns: &bytes }.encode(out);
    }
}

fn read_column<'a>(reader: &mut Reader<'a>) -> Result<Column<'a>, Malformed> {
    Ok(Column {
        key: reader.u8("a column's flags")? & 1 == 1,
        name: reader.text("a column's name")?,
        type_oid: reader.u32("a column's type")?,
        type_modifier: reader.i32("a column's type modifier")?,
    })
}
