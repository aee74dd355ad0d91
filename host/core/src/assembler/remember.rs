//! A table's description that counts again, after a transaction with an older one of its own.

use super::{Assembler, Error};
use crate::pgoutput::Message;

impl Assembler {
    /// Takes a Relation message that was fed before: later rows are what it says. Nobody is told, since nothing has changed
    /// but our memory. Anything else is ignored.
    pub fn remember(&mut self, relation: &[u8]) -> Result<(), Error> {
        if let Message::Relation(relation) = Message::decode(relation)? {
            self.tables.put(&relation, &self.known.settings.tables)?;
        }
        Ok(())
    }
}
