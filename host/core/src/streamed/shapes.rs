//! Which description of a table counts for whom, when transactions in progress have descriptions of their own.
//!
//! The server describes a table once: to everybody with the first change that is sent whole, and once more inside of every
//! transaction that is sent in pieces. It goes by what it last sent, whatever commits first:
//! - It may go on without another description after a transaction in pieces has committed. So what that one brought has to
//!   be known then.
//! - A table may be described anew, to everybody, between a transaction's pieces: its schema was renamed, say, for which no
//!   lock on the table is needed. When that transaction commits, its rows are what its own, older description says. The
//!   rows of everybody else after it are not; the server does not describe the table again.
//! - What a transaction brought that was rolled back never counted.
//!
//! Hence a clock of descriptions: of two for one table, the one that came later counts for everybody. Only those that came
//! while a transaction was open can be later than one of its own, and only they are remembered.

use rustc_hash::FxHashMap;

/// Descriptions by table: when each came, and the message.
pub(super) type Carried = FxHashMap<u32, (u64, Vec<u8>)>;

/// Descriptions for everybody.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    clock: u64,
    later: Carried,
}

impl Shapes {
    /// One has come; when.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// One has come for everybody, while a transaction was open.
    pub(super) fn came(&mut self, relation: &[u8]) {
        let now = self.tick();
        if let Some(oid) = oid(relation) {
            self.later.insert(oid, (now, relation.to_vec()));
        }
    }

    /// No transaction is open any more.
    pub(super) fn forget(&mut self) {
        self.later = Carried::default();
    }

    /// A transaction that carried these has committed, and they were shown to the assembler. Returns those that it has to
    /// be shown again, because they are later.
    pub(super) fn settle(&mut self, carried: Carried, others_open: bool) -> Vec<Vec<u8>> {
        let mut again = Vec::new();
        for (oid, (at, relation)) in carried {
            match self.later.get(&oid) {
                Some((later, shape)) if *later > at => again.push(shape.clone()),
                // Another that is still open may have an earlier one.
                _ if others_open => drop(self.later.insert(oid, (at, relation))),
                _ => {}
            }
        }
        if !others_open {
            self.forget();
        }
        again
    }
}

/// The table that a Relation message describes.
pub(super) fn oid(relation: &[u8]) -> Option<u32> {
    relation.get(1..)?.first_chunk().map(|oid| u32::from_be_bytes(*oid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, shape: &[u8]) -> Vec<u8> {
        [b"R", &oid.to_be_bytes()[..], shape].concat()
    }

    fn carried(shapes: &mut Shapes, oid: u32, shape: &[u8]) -> Carried {
        Carried::from_iter([(oid, (shapes.tick(), relation(oid, shape)))])
    }

    #[test]
    fn the_description_that_came_later_counts() {
        let mut shapes = Shapes::default();
        let older = carried(&mut shapes, 1, b"old");
        shapes.came(&relation(1, b"new"));
        let newer = carried(&mut shapes, 1, b"newest");
        assert_eq!(shapes.settle(newer, true), [[0; 0]; 0]);
        assert_eq!(shapes.settle(older, false), [relation(1, b"newest")]);
        assert!(shapes.later.is_empty());
    }

    #[test]
    fn tables_do_not_mix() {
        let mut shapes = Shapes::default();
        let one = carried(&mut shapes, 1, b"a");
        shapes.came(&relation(2, b"b"));
        assert_eq!(shapes.settle(one, true), [[0; 0]; 0]);
        assert_eq!(shapes.later.len(), 2);
    }
}
