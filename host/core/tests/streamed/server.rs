//! A walsender with several transactions in progress, as PostgreSQL's `reorderbuffer.c` and `pgoutput.c` are: which changes
//! go into a piece, who is told of a rollback, and when a table is described.

use std::collections::{BTreeMap, BTreeSet};

use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::stream::{Bracket, StreamAbort, StreamCommit, StreamStart, StreamStop, Within};
use pgcdc_core::pgoutput::{Begin, Cell, Column, Commit, Identity, Logical, Message, Relation, encode_tuple};
use proptest::prelude::*;

use crate::support::{COMMIT_US, Frame};

const TABLES: usize = 3;
const CLIENTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Whole,
    Pieces,
}

/// What a client does, or the server for it. Without an open transaction, the first change opens one.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Rows of one record.
    Insert {
        table: usize,
        rows: u8,
        large: bool,
    },
    Savepoint,
    /// To one of the open savepoints.
    Rollback(prop::sample::Index),
    Release,
    Alter(usize),
    /// A table changes for everybody at once, though others are using it.
    AlterUnlocked(usize),
    Message {
        transactional: bool,
    },
    Commit,
    Abort,
    /// The server sends what it has of this transaction.
    Piece,
}

impl Act {
    pub(crate) fn without_lock(self) -> Act {
        if let Act::Alter(table) = self { Act::AlterUnlocked(table) } else { self }
    }
}

pub(crate) fn histories() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 0..80)
}

fn act() -> impl Strategy<Value = Act> {
    let table = 0..TABLES;
    let insert = (table.clone(), 1_u8..4, prop::bool::weighted(0.05));
    prop_oneof![
        10 => insert.prop_map(|(table, rows, large)| Act::Insert { table, rows, large }),
        4 => Just(Act::Savepoint),
        3 => any::<prop::sample::Index>().prop_map(Act::Rollback),
        2 => Just(Act::Release),
        2 => table.prop_map(Act::Alter),
        2 => any::<bool>().prop_map(|transactional| Act::Message { transactional }),
        2 => Just(Act::Commit),
        1 => Just(Act::Abort),
        6 => Just(Act::Piece),
    ]
}

#[derive(Clone, Debug)]
enum Kind {
    Row { table: usize, columns: usize, large: bool },
    Message,
    Invalidate(usize),
}

#[derive(Clone, Debug)]
struct Change {
    lsn: u64,
    xid: u32,
    kind: Kind,
}

#[derive(Debug, Default)]
struct Tx {
    /// The top-level transaction and the open savepoints; a number is given with the first change.
    stack: Vec<Option<u32>>,
    parents: BTreeMap<u32, u32>,
    aborted: BTreeSet<u32>,
    unsent: Vec<Change>,
    /// Those of which something was sent in a piece.
    sent: BTreeSet<u32>,
    streamed: bool,
    /// (table, columns, by whom): what it has altered.
    altered: Vec<(usize, usize, u32)>,
}

impl Tx {
    fn top(&self) -> Option<u32> {
        self.stack.first().copied().flatten()
    }

    fn comes_from(&self, xid: u32, ancestor: u32) -> bool {
        let mut at = Some(xid);
        while let Some(xid) = at {
            if xid == ancestor {
                return true;
            }
            at = self.parents.get(&xid).copied();
        }
        false
    }
}

struct Server {
    mode: Mode,
    frames: Vec<Frame>,
    lsn: u64,
    next_xid: u32,
    open: [Option<Tx>; CLIENTS],
    columns: [usize; TABLES],
    locks: [Option<usize>; TABLES],
    users: [BTreeSet<usize>; TABLES],
    described: [bool; TABLES],
    described_in: [BTreeSet<u32>; TABLES],
    unlocked: bool,
}

/// What a server sends for this history. Clients take turns in an order that the acts decide.
pub(crate) fn send(acts: &[Act], mode: Mode) -> Vec<Frame> {
    let mut server = Server {
        mode,
        frames: Vec::new(),
        lsn: 0x1000,
        // Numbers wrap around on the way.
        next_xid: u32::MAX - 12,
        open: Default::default(),
        columns: [2; TABLES],
        locks: [None; TABLES],
        users: Default::default(),
        described: [false; TABLES],
        described_in: Default::default(),
        unlocked: acts.iter().any(|act| matches!(act, Act::AlterUnlocked(_))),
    };
    for (n, act) in acts.iter().enumerate() {
        let client = (n * 7 + n / 5) % CLIENTS;
        server.lsn += 0x20;
        server.act(client, act);
    }
    for client in 0..CLIENTS {
        server.lsn += 0x20;
        server.commit(client);
    }
    server.frames
}

impl Server {
    fn act(&mut self, client: usize, act: &Act) {
        match act {
            Act::Insert { table, rows, large } => self.insert(client, *table, *rows, *large),
            Act::Savepoint => {
                if let Some(tx) = &mut self.open[client] {
                    tx.stack.push(None);
                }
            }
            Act::Rollback(which) => self.rollback(client, which),
            Act::Release => {
                if let Some(tx) = self.open[client].as_mut().filter(|tx| tx.stack.len() > 1) {
                    tx.stack.pop();
                }
            }
            Act::Alter(table) => self.alter(client, *table),
            Act::AlterUnlocked(table) => {
                self.columns[*table] = 2 + (self.columns[*table] - 1) % 3;
                self.invalidate(*table);
            }
            Act::Message { transactional: true } => self.change(client, Kind::Message),
            Act::Message { transactional: false } => self.message(self.lsn, None, false),
            Act::Commit => self.commit(client),
            Act::Abort => self.abort(client),
            Act::Piece => self.piece(client),
        }
    }

    fn insert(&mut self, client: usize, table: usize, rows: u8, large: bool) {
        if self.locks[table].is_some_and(|by| by != client) {
            return;
        }
        self.users[table].insert(client);
        let own = self.open[client].as_ref().and_then(|tx| tx.altered.iter().rfind(|(t, _, _)| *t == table));
        let columns = own.map_or(self.columns[table], |(_, columns, _)| *columns);
        for _ in 0..rows {
            self.change(client, Kind::Row { table, columns, large });
        }
    }

    fn alter(&mut self, client: usize, table: usize) {
        let others = self.users[table].iter().any(|user| *user != client);
        if others || self.locks[table].is_some_and(|by| by != client) {
            return;
        }
        self.locks[table] = Some(client);
        self.users[table].insert(client);
        self.change(client, Kind::Invalidate(table));
        let Some(tx) = &mut self.open[client] else { return };
        let now =
            tx.altered.iter().rfind(|(t, _, _)| *t == table).map_or(self.columns[table], |(_, c, _)| *c);
        let by = tx.stack.last().copied().flatten().unwrap();
        tx.altered.push((table, 2 + (now - 1) % 3, by));
    }

    fn change(&mut self, client: usize, kind: Kind) {
        let tx = self.open[client].get_or_insert_with(|| Tx { stack: vec![None], ..Tx::default() });
        let mut parent = None;
        for xid in &mut tx.stack {
            let xid = *xid.get_or_insert_with(|| {
                let next = self.next_xid;
                self.next_xid = if next == u32::MAX { 3 } else { next + 1 };
                next
            });
            if let Some(parent) = parent {
                tx.parents.insert(xid, parent);
            }
            parent = Some(xid);
        }
        if let Some(xid) = parent {
            tx.unsent.push(Change { lsn: self.lsn, xid, kind });
        }
    }

    fn rollback(&mut self, client: usize, which: &prop::sample::Index) {
        let Some(tx) = self.open[client].as_mut().filter(|tx| tx.stack.len() > 1) else { return };
        let to = 1 + which.index(tx.stack.len() - 1);
        // From the innermost out, each with all that was released into it; the savepoint stays.
        let mut told = Vec::new();
        for own in tx.stack.split_off(to).into_iter().rev().flatten() {
            let gone: Vec<u32> = tx.parents.keys().copied().filter(|xid| tx.comes_from(*xid, own)).collect();
            let gone: Vec<u32> = gone.into_iter().filter(|xid| tx.aborted.insert(*xid)).collect();
            tx.unsent.retain(|change| !gone.contains(&change.xid));
            tx.altered.retain(|(_, _, by)| !gone.contains(by));
            told.extend(gone.iter().copied().filter(|xid| *xid != own && tx.sent.contains(xid)));
            told.extend(Some(own).filter(|xid| tx.sent.contains(xid)));
        }
        tx.stack.push(None);
        let Some(top) = tx.top() else { return };
        for part in told {
            self.bracket(Bracket::Abort(StreamAbort { xid: top, part }));
            self.described_in.iter_mut().for_each(|txs| _ = txs.remove(&top));
        }
    }

    fn piece(&mut self, client: usize) {
        let Some(tx) = self.open[client].as_mut().filter(|_| self.mode == Mode::Pieces) else { return };
        let (Some(xid), unsent) = (tx.top(), std::mem::take(&mut tx.unsent)) else { return };
        let first = !std::mem::replace(&mut tx.streamed, true);
        tx.sent.extend(unsent.iter().map(|change| change.xid));
        let altered: Vec<usize> = tx.altered.iter().map(|(table, _, _)| *table).collect();
        self.bracket(Bracket::Start(StreamStart { xid, first }));
        self.changes(&unsent, Some(xid));
        self.bracket(Bracket::Stop(StreamStop));
        altered.into_iter().for_each(|table| self.invalidate(table));
    }

    fn commit(&mut self, client: usize) {
        if self.open[client].as_ref().is_some_and(|tx| tx.streamed) {
            self.piece(client);
        }
        let Some(tx) = self.open[client].take() else { return };
        let (commit_lsn, end_lsn) = (Lsn(self.lsn), Lsn(self.lsn + 0x18));
        if let Some(xid) = tx.top() {
            if tx.streamed {
                let commit_us = COMMIT_US;
                self.bracket(Bracket::Commit(StreamCommit { xid, commit_lsn, end_lsn, commit_us }));
                for table in 0..TABLES {
                    if self.described_in[table].remove(&xid) {
                        self.described[table] = true;
                    }
                }
            } else {
                self.whole(Message::Begin(Begin { commit_lsn, commit_us: COMMIT_US, xid }));
                self.changes(&tx.unsent, None);
                self.whole(Message::Commit(Commit { commit_lsn, end_lsn, commit_us: COMMIT_US }));
            }
        }
        for (table, columns, _) in &tx.altered {
            self.columns[*table] = *columns;
            self.invalidate(*table);
        }
        self.ended(client);
    }

    fn abort(&mut self, client: usize) {
        let Some(tx) = self.open[client].take() else { return };
        if let Some(xid) = tx.top().filter(|_| tx.streamed) {
            for part in tx.sent.iter().filter(|part| **part != xid && !tx.aborted.contains(part)) {
                self.bracket(Bracket::Abort(StreamAbort { xid, part: *part }));
            }
            self.bracket(Bracket::Abort(StreamAbort { xid, part: xid }));
            self.described_in.iter_mut().for_each(|txs| _ = txs.remove(&xid));
        }
        tx.altered.iter().for_each(|(table, _, _)| self.invalidate(*table));
        self.ended(client);
    }

    fn ended(&mut self, client: usize) {
        for table in 0..TABLES {
            self.users[table].remove(&client);
            if self.locks[table] == Some(client) {
                self.locks[table] = None;
            }
        }
    }

    fn invalidate(&mut self, table: usize) {
        self.described[table] = false;
        self.described_in[table].clear();
    }

    fn changes(&mut self, changes: &[Change], top: Option<u32>) {
        for Change { lsn, xid, kind } in changes {
            let within = top.map(|_| *xid);
            match kind {
                Kind::Invalidate(table) => self.invalidate(*table),
                Kind::Message => self.message(*lsn, within, true),
                Kind::Row { table, columns, large } => {
                    let columns = if self.unlocked { self.columns[*table] } else { *columns };
                    let known = match top {
                        Some(top) => !self.described_in[*table].insert(top),
                        None => std::mem::replace(&mut self.described[*table], true),
                    };
                    if !known {
                        self.describe(*lsn, within, *table, columns);
                    }
                    self.row(*lsn, within, *table, columns, *large);
                }
            }
        }
    }

    fn describe(&mut self, lsn: u64, within: Option<u32>, table: usize, columns: usize) {
        let names = ["id", "a", "b", "c", "d"];
        let columns: Vec<Column<'_>> = names[..columns]
            .iter()
            .map(|name| Column { key: *name == "id", name, type_oid: 25, type_modifier: -1 })
            .collect();
        let (mut data, name) = (Vec::new(), format!("t{table}"));
        Relation::encode_new(&mut data, table as u32 + 1, "public", &name, Identity::Default, &columns);
        self.put(lsn, within, &data);
    }

    fn row(&mut self, lsn: u64, within: Option<u32>, table: usize, columns: usize, large: bool) {
        let filler = vec![b'x'; if large { 3_000 } else { 5 }];
        let mut cells = vec![Cell::Text(b"7"), Cell::Text(&filler)];
        cells.resize(columns, Cell::Null);
        let mut data = vec![b'I'];
        data.extend_from_slice(&(table as u32 + 1).to_be_bytes());
        data.push(b'N');
        encode_tuple(&mut data, &cells);
        self.put(lsn, within, &data);
    }

    fn message(&mut self, lsn: u64, within: Option<u32>, transactional: bool) {
        let mut data = Vec::new();
        let message = Logical { transactional, lsn: Lsn(lsn), prefix: "p", content: b"c" };
        Message::Logical(message).encode(&mut data);
        self.put(lsn, within, &data);
    }

    fn whole(&mut self, message: Message<'_>) {
        let mut data = Vec::new();
        message.encode(&mut data);
        self.put(self.lsn, None, &data);
    }

    fn put(&mut self, lsn: u64, within: Option<u32>, data: &[u8]) {
        let mut out = Vec::new();
        match within {
            Some(xid) => Within::encode_bytes(&mut out, xid, data),
            None => out.extend_from_slice(data),
        }
        self.frames.push((Lsn(lsn), out));
    }

    fn bracket(&mut self, bracket: Bracket) {
        let mut data = Vec::new();
        bracket.encode(&mut data);
        self.frames.push((Lsn(self.lsn), data));
    }
}
