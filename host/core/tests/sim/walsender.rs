//! The server's end of a connection: real pgoutput bytes in CopyData frames, and keepalives at bad moments.

use fastrand::Rng;
use pgcdc_core::lsn::Lsn;
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
        self.next += 1;
        // What a slot has behind it is not decoded.
        if item.start >= self.start {
            self.item(item, rng);
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

    fn change(&mut self, change: &Change, rng: &mut Rng) {
        if change.op == Op::Message {
            return self.logical(change.lsn, true, change.version);
        }
        let table = table_of(change.row);
        if !self.described[table] || rng.u8(..30) == 0 {
            self.described[table] = true;
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
