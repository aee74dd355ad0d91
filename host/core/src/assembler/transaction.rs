//! The transaction that is being received: where its changes stand, and how many have been let through.
//!
//! Places are counted over all rows of the stream, let through or not; numbers only over those let through.

use crate::lsn::Lsn;
use crate::order_key::PostgresKey;
use crate::pgoutput::Begin;

/// The n-th row at an LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    change: Lsn,
    nth: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    pub(super) begin: Begin,
    last: Place,
    /// Rows let through so far.
    pub(super) rows: u32,
    /// Whether the BEGIN marker is out.
    pub(super) announced: bool,
    /// Whether the COMMIT marker is out.
    pub(super) concluded: bool,
    /// Tables of the present TRUNCATE that are done, in case its rest has to wait for the next batch.
    pub(super) truncated: usize,
    /// Whether an event of it is out.
    pub(super) begun: bool,
    /// Its place in a batch.
    pub(super) placed: Option<Placed>,
    /// Whether it came from another server and is not wanted.
    pub(super) foreign: bool,
}

/// Where a batch has a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// The batch's number.
    pub(super) batch: u64,
    /// The index in its table.
    pub(super) index: u32,
    /// Whether its first event is in that batch.
    pub(super) first: bool,
}

impl Transaction {
    pub(super) fn new(begin: Begin) -> Transaction {
        let last = Place { change: Lsn::ZERO, nth: 0 };
        Transaction {
            begin,
            last,
            rows: 0,
            announced: false,
            concluded: false,
            truncated: 0,
            begun: false,
            placed: None,
            foreign: false,
        }
    }

    /// Where the next row at that LSN stands. The server sends changes in the order of their LSNs; if one
    /// came earlier, it would count as one at the last LSN, so that places ascend in any case.
    #[inline]
    pub(super) fn next_place(&self, change: Lsn) -> Place {
        if change > self.last.change {
            Place { change, nth: 1 }
        } else {
            Place { change: self.last.change, nth: self.last.nth.saturating_add(1) }
        }
    }

    /// The row at this place has been dealt with.
    #[inline]
    pub(super) fn pass(&mut self, place: Place) {
        self.last = place;
    }

    #[inline]
    pub(super) fn row_key(&self, place: Place) -> PostgresKey {
        PostgresKey::row(self.begin.commit_lsn, place.change, place.nth)
    }

    /// Where the n-th change of shape in front of a row stands. There is room only in front of the first row
    /// at an LSN.
    pub(super) fn shape_key(&self, place: Place, nth: u32) -> Option<PostgresKey> {
        (place.nth == 1).then(|| PostgresKey::shape(self.begin.commit_lsn, place.change, nth))
    }

    /// Where the n-th change of shape behind the last row stands.
    pub(super) fn last_shape_key(&self, nth: u32) -> PostgresKey {
        PostgresKey::shape(self.begin.commit_lsn, self.begin.commit_lsn, nth)
    }

    /// The number of the next row that is let through.
    #[inline]
    pub(super) fn next_row(&self) -> u32 {
        self.rows.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_ascend_and_count_rows_at_one_lsn() {
        let mut tx = Transaction::new(Begin { commit_lsn: Lsn(9), commit_us: 0, xid: 1 });
        let places = [5, 5, 7, 6, 7, 8].map(|lsn| {
            let place = tx.next_place(Lsn(lsn));
            tx.pass(place);
            (place.change.0, place.nth)
        });
        assert_eq!(places, [(5, 1), (5, 2), (7, 1), (7, 2), (7, 3), (8, 1)]);
    }
}
