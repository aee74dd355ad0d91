//! A table whose rows are changed without end, each change with a higher number, and the judge of what is delivered of it.
//!
//! Invariant: a version is given once, and a row's versions only grow; so a delivery that is older than one before it
//! shows, whatever it was made from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::database::Database;
use super::event::Event;
use super::exact::Exact;
use super::fold::{Anomaly, Fold};

/// Changes rows until it is told to stop.
pub struct Changer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Changer {
    /// Makes `table (id bigint primary key, version bigint, note text)` with rows 1 to `rows` in it.
    pub fn prepare(db: &Database, table: &str, rows: u32) {
        db.execute(&format!(
            "create table {table} (id bigint primary key, version bigint not null, note text);
             insert into {table} select i, i, repeat('n', (i % 100)::int) from generate_series(1, {rows}) i"
        ));
    }

    /// Updates, moves, deletes and inserts rows of it, all over the keys.
    #[must_use]
    pub fn start(db: &Database, table: &str, rows: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, mut client, table) = (Arc::clone(&stop), db.connect(), table.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut random, mut version, mut done) = (0x9E37_79B9_7F4A_7C15_u64, u64::from(rows), 0);
            while !told.load(Ordering::Relaxed) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let id = random % (u64::from(rows) + 1_000) + 1;
                version += 1;
                let sql = match random >> 60 {
                    0..=7 => format!("update {table} set version = {version} where id = {id}"),
                    8 | 9 => format!("delete from {table} where id = {id}"),
                    10 => format!(
                        "begin; update {table} set version = {version} where id between {id} and {id} + 20; rollback"
                    ),
                    11 => format!(
                        "begin; update {table} set version = {version} where id between {id} and {id} + 20; commit"
                    ),
                    _ => format!(
                        "insert into {table} values ({id}, {version}, 'new') on conflict (id) do update set version = {version}"
                    ),
                };
                client.batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                done += 1;
            }
            done
        });
        Self { stop, thread }
    }

    /// Stops it; how many statements it was.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| panic!("the changer has failed"))
    }
}

/// What is wrong with everything that one sink got of a table, over all restarts, in the order of its arrival.
#[must_use]
pub fn judge(table: &str, events: &[Event], source: &[Exact]) -> Vec<Anomaly> {
    let mut fold = Fold::of(&[(table, &["id"])]);
    let mut anomalies = Vec::new();
    let (mut newest, mut gone): (HashMap<i64, i64>, HashSet<i64>) = Default::default();
    for event in events.iter().filter(|event| event.table() == Some(table)) {
        match fold.apply(event) {
            Err(anomaly) => anomalies.push(anomaly),
            // A repetition under its id, which whoever gets it knows.
            Ok(false) => {}
            Ok(true) => {
                let number = |column| event.column(column).and_then(Exact::integer);
                let Some(id) = number("id") else { continue };
                if event.operation == "DELETE" {
                    gone.insert(id);
                    continue;
                }
                let Some(version) = number("version") else { continue };
                let last = newest.insert(id, version).unwrap_or_default();
                let ghost = gone.remove(&id) && version <= last;
                if version < last || ghost {
                    let what = format!("{} of row {id} at {version} after {last}", event.operation);
                    anomalies.push(Anomaly::Reordered(what));
                }
            }
        }
    }
    anomalies.extend(fold.differences(table, source));
    anomalies
}
