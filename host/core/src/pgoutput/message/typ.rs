//! `Y`: the name of a type that is not built in. Of a domain, the server names the base type.

use super::super::reader::{Malformed, Reader, put_text};

pub(crate) const TAG: u8 = b'Y';

/// A type's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    /// The oid that columns use.
    pub oid: u32,
    /// Its schema; empty means `pg_catalog`.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Type<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Type<'a>, Malformed> {
        Ok(Type {
            oid: reader.u32("Type's oid")?,
            schema: reader.text("Type's schema")?,
            name: reader.text("Type's name")?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        out.extend_from_slice(&self.oid.to_be_bytes());
        put_text(out, self.schema);
        put_text(out, self.name);
    }
}
