//! One file per message: its bytes in, its bytes out.

mod begin;
mod commit;
mod delete;
mod insert;
mod logical;
mod origin;
mod relation;
mod truncate;
mod typ;
mod update;

pub use begin::Begin;
pub use commit::Commit;
pub use delete::Delete;
pub use insert::Insert;
pub use logical::Logical;
pub use origin::Origin;
pub use relation::{Column, Identity, Relation};
pub use truncate::Truncate;
pub use typ::Type;
pub use update::{OldKind, Update};

pub(crate) use begin::TAG as BEGIN_TAG;
pub(crate) use commit::TAG as COMMIT_TAG;
pub(crate) use delete::TAG as DELETE_TAG;
pub(crate) use insert::TAG as INSERT_TAG;
pub(crate) use logical::TAG as MESSAGE_TAG;
pub(crate) use origin::TAG as ORIGIN_TAG;
pub(crate) use relation::TAG as RELATION_TAG;
pub(crate) use truncate::TAG as TRUNCATE_TAG;
pub(crate) use typ::TAG as TYPE_TAG;
pub(crate) use update::TAG as UPDATE_TAG;

use super::reader::{Malformed, Reader};

/// Any message that a transaction is made of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction starts.
    Begin(Begin),
    /// A transaction ends.
    Commit(Commit),
    /// The transaction was replicated from elsewhere.
    Origin(Origin<'a>),
    /// The shape of a table, from here on.
    Relation(Relation<'a>),
    /// The name of a type that is not built in.
    Type(Type<'a>),
    /// A new row.
    Insert(Insert<'a>),
    /// A changed row.
    Update(Update<'a>),
    /// A deleted row.
    Delete(Delete<'a>),
    /// Emptied tables.
    Truncate(Truncate<'a>),
    /// What `pg_logical_emit_message` wrote.
    Logical(Logical<'a>),
}

impl<'a> Message<'a> {
    /// The message that these bytes are, from its tag to its end.
    #[inline]
    pub fn decode(data: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let mut reader = Reader::new(data);
        let message = match reader.u8("a message's tag")? {
            insert::TAG => Message::Insert(Insert::read(&mut reader)?),
            update::TAG => Message::Update(Update::read(&mut reader)?),
            delete::TAG => Message::Delete(Delete::read(&mut reader)?),
            begin::TAG => Message::Begin(Begin::read(&mut reader)?),
            commit::TAG => Message::Commit(Commit::read(&mut reader)?),
            relation::TAG => Message::Relation(Relation::read(&mut reader)?),
            truncate::TAG => Message::Truncate(Truncate::read(&mut reader)?),
            logical::TAG => Message::Logical(Logical::read(&mut reader)?),
            typ::TAG => Message::Type(Type::read(&mut reader)?),
            origin::TAG => Message::Origin(Origin::read(&mut reader)?),
            _ => return Err(Malformed { what: "an unknown tag", offset: 0 }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message as the server writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Begin(m) => m.encode(out),
            Message::Commit(m) => m.encode(out),
            Message::Origin(m) => m.encode(out),
            Message::Relation(m) => m.encode(out),
            Message::Type(m) => m.encode(out),
            Message::Insert(m) => m.encode(out),
            Message::Update(m) => m.encode(out),
            Message::Delete(m) => m.encode(out),
            Message::Truncate(m) => m.encode(out),
            Message::Logical(m) => m.encode(out),
        }
    }
}

/// A time of the protocol (microseconds since 2000) as microseconds since 1970.
pub(super) fn time_us(since_2000_us: i64) -> i64 {
    since_2000_us.saturating_add(super::EPOCH_2000_US)
}

pub(super) fn put_time(out: &mut Vec<u8>, since_1970_us: i64) {
    out.extend_from_slice(&since_1970_us.saturating_sub(super::EPOCH_2000_US).to_be_bytes());
}
