//! Messages in, events out, with what must hold of every batch checked on the way.

use pgcdc_core::assembler::{Assembler, Error, Fed, Finished, Refused, Settings};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::id;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::pgoutput::{
    Begin, Cell, Column, Commit, Identity, Logical, Message, Origin, Relation, Truncate, encode_tuple,
};
use pgcdc_layout::{Op, View};

pub(crate) const ORIGIN: id::Origin =
    id::Origin { system_identifier: 7_300_000_000_000_000_000, database_oid: 5 };
pub(crate) const NOW_US: i64 = 1_767_605_400_250_000;
/// 2026-01-05T09:30:00Z.
pub(crate) const COMMIT_US: i64 = 1_767_605_400_000_000;

pub(crate) fn settings() -> Settings {
    Settings::new(ORIGIN)
}

pub(crate) fn assembler(settings: Settings) -> Assembler {
    Assembler::new(settings, TypeCatalog::new(), Lsn(1)).unwrap()
}

/// One message with the LSN of its frame.
pub(crate) type Frame = (Lsn, Vec<u8>);

/// An event as it was seen in a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) key: OrderKey,
    pub(crate) id: [u8; 16],
    pub(crate) op: Op,
    pub(crate) seq: Option<u32>,
    /// The envelope.
    pub(crate) json: serde_json::Value,
}

/// All that came out.
#[derive(Default, Debug)]
pub(crate) struct Out {
    pub(crate) events: Vec<Seen>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) batches: Vec<Finished>,
}

/// Feeds all frames and takes a batch wherever `cut` says so, and at the end.
pub(crate) fn fold(
    assembler: &mut Assembler,
    frames: &[Frame],
    mut cut: impl FnMut() -> bool,
) -> Result<Out, Error> {
    let mut out = Out::default();
    for (lsn, data) in frames {
        loop {
            match assembler.feed(*lsn, data, NOW_US)? {
                Fed::Taken => break,
                Fed::NeedTypes(oids) => assembler.learn_types(&oids, vec![]),
                Fed::Full => out.take(assembler.take_batch()),
            }
        }
        if assembler.is_full() || cut() {
            out.take(assembler.take_batch());
        }
    }
    out.take(assembler.take_batch());
    assert!(assembler.is_empty());
    Ok(out)
}

impl Out {
    pub(crate) fn take(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        let view = View::parse(&finished.bytes).unwrap();
        assert_eq!(view.event_count(), finished.events as usize);
        assert_eq!(Lsn::from_bytes(view.resume()), Some(finished.resume));
        let lines = pgcdc_layout::json::lines(&view, usize::MAX).unwrap();
        let mut keys = Vec::new();
        let mut start = 0;
        for (event, end) in view.events().zip(lines.ends) {
            let mut key = Vec::new();
            event.order_key(&mut key);
            let json = serde_json::from_slice(&lines.bytes[start..end as usize]).unwrap();
            start = end as usize;
            let key = OrderKey::new(&key).unwrap();
            keys.push(key);
            self.events.push(Seen { key, id: event.id(), op: event.op(), seq: event.seq(), json });
        }
        let before = keys.len();
        keys.extend(finished.refused.iter().map(|refused| refused.key.to_order_key()));
        assert!(finished.refused.iter().all(|refused| refused.after_events as usize <= before));
        keys.sort();
        assert_eq!(keys.first().copied().unwrap_or(OrderKey::EMPTY), finished.first_key);
        assert_eq!(keys.last().copied().unwrap_or(OrderKey::EMPTY), finished.last_key);
        if let Some(earlier) = self.batches.last() {
            assert!(earlier.resume <= finished.resume);
        }
        self.refused.extend(finished.refused.iter().cloned());
        self.batches.push(finished);
    }

    /// The keys and ids of everything, refused or not, in order.
    pub(crate) fn images(&self) -> Vec<(OrderKey, [u8; 16])> {
        let events = self.events.iter().map(|seen| (seen.key, seen.id));
        let refused = self.refused.iter().map(|refused| (refused.key.to_order_key(), refused.id));
        let mut images: Vec<_> = events.chain(refused).collect();
        images.sort();
        images
    }

    /// Whether the events' keys ascend in the order in which they came.
    pub(crate) fn ascends(&self) -> bool {
        self.events.windows(2).all(|pair| pair[0].key < pair[1].key)
    }
}

/// Writes frames as a server would.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) frames: Vec<Frame>,
    commit: Lsn,
}

impl Wire {
    pub(crate) fn push(&mut self, lsn: u64, message: Message<'_>) -> &mut Wire {
        let mut data = Vec::new();
        message.encode(&mut data);
        self.frames.push((Lsn(lsn), data));
        self
    }

    pub(crate) fn begin(&mut self, commit_lsn: u64, xid: u32) -> &mut Wire {
        self.commit = Lsn(commit_lsn);
        self.push(0, Message::Begin(Begin { commit_lsn: self.commit, commit_us: COMMIT_US, xid }))
    }

    pub(crate) fn commit(&mut self) -> &mut Wire {
        let (commit_lsn, end_lsn) = (self.commit, Lsn(self.commit.0 + 0x30));
        self.push(end_lsn.0, Message::Commit(Commit { commit_lsn, end_lsn, commit_us: COMMIT_US }))
    }

    /// A table in `public`; a column's name may start with `*`: part of the identity.
    pub(crate) fn table(
        &mut self,
        oid: u32,
        name: &str,
        identity: Identity,
        columns: &[(&str, u32)],
    ) -> &mut Wire {
        let columns: Vec<Column<'_>> = columns
            .iter()
            .map(|(name, type_oid)| Column {
                key: name.starts_with('*'),
                name: name.trim_start_matches('*'),
                type_oid: *type_oid,
                type_modifier: -1,
            })
            .collect();
        let mut data = Vec::new();
        Relation::encode_new(&mut data, oid, "public", name, identity, &columns);
        self.frames.push((Lsn(0), data));
        self
    }

    pub(crate) fn insert(&mut self, lsn: u64, oid: u32, new: &[Cell<'_>]) -> &mut Wire {
        self.change(lsn, b'I', oid, &[(b'N', new)])
    }

    /// `tuples` as they are in the message: letter and cells.
    pub(crate) fn change(&mut self, lsn: u64, tag: u8, oid: u32, tuples: &[(u8, &[Cell<'_>])]) -> &mut Wire {
        let mut data = vec![tag];
        data.extend_from_slice(&oid.to_be_bytes());
        for (letter, cells) in tuples {
            data.push(*letter);
            encode_tuple(&mut data, cells);
        }
        self.frames.push((Lsn(lsn), data));
        self
    }

    pub(crate) fn truncate(&mut self, lsn: u64, tables: &[u32]) -> &mut Wire {
        let mut data = Vec::new();
        Truncate::encode_new(&mut data, tables, false, false);
        self.frames.push((Lsn(lsn), data));
        self
    }

    /// With CASCADE and RESTART IDENTITY, or without.
    pub(crate) fn truncate_so(
        &mut self,
        lsn: u64,
        tables: &[u32],
        cascade: bool,
        restart: bool,
    ) -> &mut Wire {
        let mut data = Vec::new();
        Truncate::encode_new(&mut data, tables, cascade, restart);
        self.frames.push((Lsn(lsn), data));
        self
    }

    /// The transaction was replicated from another server.
    pub(crate) fn origin(&mut self, name: &str) -> &mut Wire {
        self.push(0, Message::Origin(Origin { lsn: Lsn(1), name }))
    }

    pub(crate) fn message(&mut self, lsn: u64, transactional: bool, content: &[u8]) -> &mut Wire {
        let message = Logical { transactional, lsn: Lsn(lsn), prefix: "p", content };
        self.push(lsn, Message::Logical(message))
    }
}
