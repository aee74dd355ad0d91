//! A PostgreSQL that exists only in memory: transactions that overlap and are released at their commit, a slot whose
//! confirmed position is on disk only sometimes, timelines.
//!
//! LSNs are like the server's: a change carries the start of its record, several rows of one record share it, a message
//! carries the end of its record, which is where the next record starts.

use fastrand::Rng;
use pgcdc_core::checkpoint::PostgresIdentity;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::PostgresKey;
use pgcdc_core::resume::{ServerFacts, SlotFacts, TimelineSwitch};

use crate::truth::{Event, Truth};

pub(crate) const ROWS: u32 = 8;
pub(crate) const DATABASE_OID: u32 = 5;
pub(crate) const SYSTEM: u64 = 7_300_000_000_000_000_000;
/// 2026-01-05T09:30:00Z.
const EPOCH_US: i64 = 1_767_605_400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
    Message,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) lsn: Lsn,
    pub(crate) op: Op,
    /// Which row; the table follows from it.
    pub(crate) row: u32,
    /// Unique: the row's new value.
    pub(crate) version: u32,
    /// Larger than `max_event_bytes`.
    pub(crate) large: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Transaction {
        xid: u32,
        commit_us: i64,
        changes: Vec<Change>,
    },
    Message {
        version: u32,
    },
    /// WAL of no interest.
    Nothing,
}

/// What the decoder comes across, in its order.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Where the record starts that releases it.
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    pub(crate) kind: Kind,
}

struct Open {
    xid: u32,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) confirmed: Lsn,
    on_disk: Lsn,
}

pub(crate) struct Server {
    pub(crate) up: bool,
    pub(crate) identity: PostgresIdentity,
    pub(crate) history: Vec<TimelineSwitch>,
    pub(crate) end: Lsn,
    pub(crate) items: Vec<Item>,
    pub(crate) slot: Option<Slot>,
    open: Vec<Open>,
    next_xid: u32,
    next_version: u32,
}

impl Server {
    pub(crate) fn new() -> Server {
        let identity = PostgresIdentity {
            system_identifier: SYSTEM,
            timeline: 1,
            database_oid: DATABASE_OID,
            database: "shop".into(),
            slot: "pgcdc".into(),
            publication_oid: 16_500,
            publication: "all".into(),
        };
        Server {
            up: true,
            identity,
            history: Vec::new(),
            end: Lsn(0x1000),
            items: Vec::new(),
            slot: None,
            open: Vec::new(),
            next_xid: 700,
            next_version: 1,
        }
    }

    pub(crate) fn facts(&self) -> ServerFacts {
        ServerFacts { identity: self.identity.clone(), end: self.end, history: self.history.clone() }
    }

    pub(crate) fn slot_facts(&self) -> Option<SlotFacts> {
        self.slot.as_ref().map(|slot| SlotFacts {
            confirmed: Some(slot.confirmed),
            plugin: "pgoutput".into(),
            database_oid: DATABASE_OID,
            invalidated: None,
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Some session writes something.
    pub(crate) fn write(&mut self, rng: &mut Rng, truth: &mut Truth) {
        match rng.u8(..16) {
            0..4 if self.open.len() < 3 => {
                self.open.push(Open { xid: self.next_xid, changes: Vec::new() });
                self.next_xid += 1;
            }
            0..10 if !self.open.is_empty() => self.change(rng),
            10..13 if !self.open.is_empty() => self.finish(rng, truth),
            13 | 14 => {
                let (start, version) = (self.end, self.version());
                self.grow(rng);
                self.release(start, Kind::Message { version }, truth);
            }
            _ => {
                let start = self.end;
                self.grow(rng);
                self.release(start, Kind::Nothing, truth);
            }
        }
    }

    /// Lets a transaction end, if one is open.
    pub(crate) fn settle(&mut self, rng: &mut Rng, truth: &mut Truth) {
        if !self.open.is_empty() {
            self.finish(rng, truth);
        }
    }

    fn grow(&mut self, rng: &mut Rng) {
        self.end.0 += rng.u64(1..6) * 8;
    }

    fn version(&mut self) -> u32 {
        self.next_version += 1;
        self.next_version
    }

    fn change(&mut self, rng: &mut Rng) {
        let which = rng.usize(..self.open.len());
        let locked: Vec<u32> = self
            .open
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != which)
            .flat_map(|(_, open)| open.changes.iter().map(|change| change.row))
            .collect();
        let free: Vec<u32> = (0..ROWS).filter(|row| !locked.contains(row)).collect();
        let lsn = self.end;
        self.grow(rng);
        if rng.u8(..10) == 0 {
            let (lsn, version) = (self.end, self.version());
            self.open[which].changes.push(Change { lsn, op: Op::Message, row: 0, version, large: false });
            return;
        }
        if free.is_empty() {
            return;
        }
        // A COPY puts many rows in one record.
        let rows = if rng.u8(..4) == 0 { rng.usize(2..9) } else { 1 };
        for _ in 0..rows {
            let row = free[rng.usize(..free.len())];
            let op = [Op::Insert, Op::Update, Op::Delete][rng.usize(..3)];
            let (version, large) = (self.version(), op != Op::Delete && rng.u8(..40) == 0);
            self.open[which].changes.push(Change { lsn, op, row, version, large });
        }
    }

    fn finish(&mut self, rng: &mut Rng, truth: &mut Truth) {
        let Open { xid, changes } = self.open.swap_remove(rng.usize(..self.open.len()));
        if rng.u8(..6) == 0 {
            return;
        }
        let start = self.end;
        self.grow(rng);
        let commit_us = EPOCH_US + start.0 as i64 * 1_000;
        self.release(start, Kind::Transaction { xid, commit_us, changes }, truth);
    }

    fn release(&mut self, start: Lsn, kind: Kind, truth: &mut Truth) {
        let end = self.end;
        let event = |key: PostgresKey, version, row, refused| Event { key, start, version, row, refused };
        match &kind {
            Kind::Transaction { xid, commit_us, changes } => {
                let (mut at, mut nth) = (Lsn::ZERO, 0);
                for change in changes {
                    let key = if change.op == Op::Message {
                        PostgresKey::message_inside(start, change.lsn)
                    } else {
                        nth = if change.lsn > at { 1 } else { nth + 1 };
                        at = change.lsn;
                        PostgresKey::row(start, at, nth)
                    };
                    let row = (change.op != Op::Message).then_some(change.row);
                    truth.add(event(key, change.version, row, change.large), *xid, *commit_us);
                }
            }
            Kind::Message { version } => {
                truth.add(event(PostgresKey::message_outside(end), *version, None, false), 0, i64::MIN);
            }
            Kind::Nothing => {}
        }
        self.items.push(Item { start, end, kind });
    }

    pub(crate) fn create_slot(&mut self) -> Lsn {
        self.slot = Some(Slot { confirmed: self.end, on_disk: self.end });
        self.end
    }

    pub(crate) fn confirm(&mut self, position: Lsn) {
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.confirmed.max(position);
        }
    }

    pub(crate) fn checkpoint(&mut self) {
        if let Some(slot) = &mut self.slot {
            slot.on_disk = slot.confirmed;
        }
    }

    /// What is open is gone, and the slot is where its file says.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.open.clear();
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.on_disk;
        }
    }

    /// A standby takes over that has the WAL up to a position, and the slot as it was on disk.
    pub(crate) fn fail_over(&mut self, left_at: Lsn) {
        self.crash();
        self.history.push(TimelineSwitch { timeline: self.identity.timeline, left_at });
        self.identity.timeline += 1;
        self.items.retain(|item| item.end <= left_at);
        self.end = left_at;
        if let Some(slot) = &mut self.slot {
            slot.on_disk = slot.on_disk.min(left_at);
            slot.confirmed = slot.on_disk;
        }
    }

    pub(crate) fn slot_on_disk(&self) -> Lsn {
        self.slot.as_ref().map_or(Lsn::ZERO, |slot| slot.on_disk)
    }
}
