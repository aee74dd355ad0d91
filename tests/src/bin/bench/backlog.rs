//! A server with a backlog: rows of eight columns, 500 in a transaction, and a slot from before the first.
//!
//! Invariant: every run reads the same bytes from the start, through its own copy of that slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;

const ROWS_PER_TRANSACTION: u64 = 500;
const ORIGIN: &str = "origin";
pub(crate) const PUBLICATION: &str = "bench";

pub(crate) const TABLE: &str =
    "create table orders (id bigint primary key, customer int, name text, email text,
    amount numeric(12, 2), paid bool, created timestamptz, note text)";

pub(crate) struct Backlog {
    pub(crate) db: Database,
    pub(crate) rows: u64,
    /// Past the last of its transactions.
    pub(crate) end: String,
    runs: AtomicU32,
}

impl Backlog {
    /// A server without fsync: what it does is not what is measured.
    pub(crate) fn server() -> Arc<Cluster> {
        let settings = Settings::default().with("shared_buffers", "512MB").with("max_wal_size", "8GB");
        Cluster::start(settings.with("logical_decoding_work_mem", "64MB").with("autovacuum", "off"))
    }

    pub(crate) fn write(rows: u64) -> Self {
        let db = Database::create_in(Self::server(), "bench");
        db.execute(&format!("{TABLE}; create publication {PUBLICATION} for all tables"));
        db.execute(&format!("select pg_create_logical_replication_slot('{ORIGIN}', 'pgoutput')"));
        fill(&db, rows);
        let end = db.text("select pg_current_wal_flush_lsn()::text").unwrap_or_default();
        // One record more, so that whoever reads up to `end` learns that it got there.
        db.execute("checkpoint");
        Self { db, rows, end, runs: AtomicU32::new(0) }
    }

    /// A fresh slot at the start of the backlog.
    pub(crate) fn slot(&self) -> String {
        let slot = format!("run_{}", self.runs.fetch_add(1, Ordering::Relaxed));
        self.db.execute(&format!("select pg_copy_logical_replication_slot('{ORIGIN}', '{slot}')"));
        slot
    }

    pub(crate) fn drop_slot(&self, slot: &str) {
        // The walsender may need a moment to notice that its reader has gone.
        let sql = format!(
            "select 'dropped' from pg_replication_slots, pg_drop_replication_slot(slot_name)
             where slot_name = '{slot}' and not active"
        );
        pgcdc_tests::support::poll::until("a slot to be free", || self.db.text(&sql));
    }
}

/// Writes the rows into the empty table.
pub(crate) fn fill(db: &Database, rows: u64) {
    db.execute(&format!(
        "do $$ begin for block in 0 .. {last} loop
            insert into orders select n, n % 1000, 'customer ' || n, 'c' || n || '@example.com', (n % 10000) / 7.0,
                n % 3 = 0, timestamptz '2025-01-01 00:00:00+00' + n * interval '1 second', repeat('note ', 8)
            from generate_series(block * {per} + 1, least((block + 1) * {per}, {rows})) n;
            commit;
        end loop; end $$",
        last = rows.div_ceil(ROWS_PER_TRANSACTION) - 1,
        per = ROWS_PER_TRANSACTION,
    ));
}
