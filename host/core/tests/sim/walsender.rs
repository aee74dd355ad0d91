//! The server's end of a connection: real pgoutput bytes in CopyData frames, and keepalives at bad moments. Some transactions
//! are sent in pieces while they are in progress, with parts that are rolled back.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::stream::{Bracket, StreamAbort, StreamCommit, StreamStart, StreamStop, Within};
use pgcdc_core::pgoutput::{Begin, Cell, Column, Commit, Identity, Logical, Message, Relation, encode_tuple};

use crate::server::{Change, Item, Kind, Op, Server};

pub(crate) const TABLES: [&str; 2] = ["orders", "people"];
/// More than waits in the socket's buffers.
const BUFFER_BYTES: usize = 8 << 10;
/// What a change has to exceed to be refused.
pub(crate) const EVENT_BYTES_MAX: usize = 1 << 10;

pub(crate) struct Connection {
    start: Lsn,
    /// The next item to look at.
    next: usize,
    /// Everything up to here was decoded.
    sent: Lsn,
    described: [bool; 2],
    /// Of transactions that are sent in pieces, by item: how many of their changes are out.
    pieces: BTreeMap<usize, usize>,
    /// Which of those have been told what a table is.
    described_in: BTreeSet<(u32, usize)>,
    /// Whose piece is being sent, if one is.
    within: Option<u32>,
    /// On its way to the client.
    pub(crate) down: Vec<u8>,
    /// On its way to the server: confirmed positions.
    pub(crate) up: Vec<Lsn>,
}

pub(crate) fn table_of(row: u32) -> usize {
    row as usize % TABLES.len()
}

impl Connection {
    /// `START_REPLICATION`: from there, or from what the slot has confirmed if that is later.
    pub(crate) fn new(server: &Server, requested: Lsn) -> Connection {
        let confirmed = server.slot.as_ref().map_or(Lsn::ZERO, |slot| slot.confirmed);
        Connection {
            start: requested.max(confirmed),
            next: 0,
            sent: requested.max(confirmed),
            described: [false; 2],
            pieces: BTreeMap::new(),
            described_in: BTreeSet::new(),
            within: None,
            down: Vec::new(),
            up: Vec::new(),
        }
    }

    /// Decodes the next item, if there is one and room for it.
    pub(crate) fn send(&mut self, server: &Server, rng: &mut Rng) -> bool {
        if self.down.len() > BUFFER_BYTES {
            return false;
        }
        let Some(item) = server.items.get(self.next) else { return false };
        if rng.u8(..4) == 0 {
            self.early(server, rng);
        }
        let pieces = self.pieces.remove(&self.next);
        self.next += 1;
        // What a slot has behind it is not decoded.
        match pieces {
            Some(out) => self.committed(item, out, rng),
            None if item.start >= self.start => self.item(item, rng),
            None => {}
        }
        self.sent = self.sent.max(item.end);
        true
    }

    pub(crate) fn caught_up(&self, server: &Server) -> bool {
        self.next == server.items.len() && self.down.is_empty()
    }

    pub(crate) fn keepalive(&mut self, wanted: bool) {
        self.alive(self.sent, wanted);
    }

    fn alive(&mut self, end: Lsn, wanted: bool) {
        let mut body = vec![b'k'];
        body.extend_from_slice(&end.to_bytes());
        body.extend_from_slice(&[0; 8]);
        body.push(u8::from(wanted));
        self.frame(&body);
    }

    fn frame(&mut self, body: &[u8]) {
        self.down.push(b'd');
        self.down.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        self.down.extend_from_slice(body);
    }

    fn data(&mut self, at: Lsn, data: &[u8]) {
        let mut inside = Vec::new();
        let data = match self.within {
            Some(xid) => {
                Within::encode_bytes(&mut inside, xid, data);
                &inside
            }
            None => data,
        };
        let mut body = vec![b'w'];
        body.extend_from_slice(&at.to_bytes());
        body.extend_from_slice(&at.to_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(data);
        self.frame(&body);
    }

    fn message(&mut self, at: Lsn, message: &Message<'_>) {
        let mut data = Vec::new();
        message.encode(&mut data);
        self.data(at, &data);
    }

    fn item(&mut self, item: &Item, rng: &mut Rng) {
        match &item.kind {
            Kind::Nothing => {}
            Kind::Message { version } => self.logical(item.end, false, *version),
            // Since version 15 an empty one is passed over.
            Kind::Transaction { changes, .. } if changes.is_empty() && rng.bool() => {}
            Kind::Transaction { xid, commit_us, changes } => {
                let (commit_lsn, end_lsn, commit_us) = (item.start, item.end, *commit_us);
                self.message(Lsn::ZERO, &Message::Begin(Begin { commit_lsn, commit_us, xid: *xid }));
                for change in changes {
                    if rng.u8(..12) == 0 {
                        self.alive(end_lsn, rng.bool());
                    }
                    self.change(change, rng);
                }
                self.message(end_lsn, &Message::Commit(Commit { commit_lsn, end_lsn, commit_us }));
            }
        }
    }

    /// A piece of a transaction that will commit later: its changes before the WAL that is decoded next.
    fn early(&mut self, server: &Server, rng: &mut Rng) {
        let at = self.next + rng.usize(1..4);
        let Some(limit) = server.items.get(self.next).map(|item| item.start) else { return };
        let Some(item) = server.items.get(at).filter(|item| item.start >= self.start) else { return };
        let Kind::Transaction { xid, changes, .. } = &item.kind else { return };
        let out = self.pieces.get(&at).copied();
        let now = changes.iter().take_while(|change| change.lsn < limit).count();
        if now <= out.unwrap_or(0) {
            return;
        }
        self.pieces.insert(at, now);
        self.piece(*xid, out.is_none(), &changes[out.unwrap_or(0)..now], rng);
        if rng.u8(..3) == 0 {
            self.keepalive(rng.bool());
        }
    }

    fn piece(&mut self, xid: u32, first: bool, changes: &[Change], rng: &mut Rng) {
        self.bracket(Bracket::Start(StreamStart { xid, first }));
        self.within = Some(xid);
        changes.iter().for_each(|change| self.change(change, rng));
        if rng.u8(..12) == 0 {
            self.keepalive(rng.bool());
        }
        // Rows since a savepoint to which the transaction went back.
        let part = xid.wrapping_add(1_000);
        let undone = changes.last().filter(|change| change.op != Op::Message && rng.u8(..3) == 0);
        if let Some(change) = undone {
            self.within = Some(part);
            self.change(&Change { version: u32::MAX, ..change.clone() }, rng);
        }
        self.within = None;
        self.bracket(Bracket::Stop(StreamStop));
        if undone.is_some() {
            self.bracket(Bracket::Abort(StreamAbort { xid, part }));
            self.described_in.retain(|(told, _)| *told != xid && *told != part);
        }
    }

    /// The commit of a transaction of which so many changes are out.
    fn committed(&mut self, item: &Item, out: usize, rng: &mut Rng) {
        let Kind::Transaction { xid, commit_us, changes } = &item.kind else { return };
        self.piece(*xid, false, &changes[out..], rng);
        let (commit_lsn, end_lsn) = (item.start, item.end);
        let commit = StreamCommit { xid: *xid, commit_lsn, end_lsn, commit_us: *commit_us };
        self.bracket(Bracket::Commit(commit));
        for table in 0..TABLES.len() {
            if self.described_in.remove(&(*xid, table)) {
                self.described[table] = true;
            }
        }
    }

    fn bracket(&mut self, bracket: Bracket) {
        let mut data = Vec::new();
        bracket.encode(&mut data);
        self.data(self.sent, &data);
    }

    fn change(&mut self, change: &Change, rng: &mut Rng) {
        if change.op == Op::Message {
            return self.logical(change.lsn, true, change.version);
        }
        let table = table_of(change.row);
        let known = match self.within {
            Some(xid) => !self.described_in.insert((xid, table)),
            None => std::mem::replace(&mut self.described[table], true),
        };
        if !known || rng.u8(..30) == 0 {
            self.describe(table);
        }
        let (id, mut value) = (change.row.to_string(), change.version.to_string());
        if change.large {
            value.push_str(&".".repeat(EVENT_BYTES_MAX));
        }
        let (tag, letter, value) = match change.op {
            Op::Insert => (b'I', b'N', Cell::Text(value.as_bytes())),
            Op::Update => (b'U', b'N', Cell::Text(value.as_bytes())),
            Op::Delete | Op::Message => (b'D', b'K', Cell::Null),
        };
        let mut data = vec![tag];
        data.extend_from_slice(&(table as u32 + 1).to_be_bytes());
        data.push(letter);
        encode_tuple(&mut data, &[Cell::Text(id.as_bytes()), value]);
        self.data(change.lsn, &data);
    }

    fn logical(&mut self, lsn: Lsn, transactional: bool, version: u32) {
        let content = version.to_string();
        let message = Logical { transactional, lsn, prefix: "p", content: content.as_bytes() };
        self.message(lsn, &Message::Logical(message));
    }

    fn describe(&mut self, table: usize) {
        let column = |key, name, type_oid| Column { key, name, type_oid, type_modifier: -1 };
        let columns = [column(true, "id", 23), column(false, "v", 25)];
        let mut data = Vec::new();
        Relation::encode_new(
            &mut data,
            table as u32 + 1,
            "public",
            TABLES[table],
            Identity::Default,
            &columns,
        );
        self.data(Lsn::ZERO, &data);
    }
}
