//! A database of a test's own, in a server that may be shared.
//!
//! Invariant: names are unique in the server, so that tests of one program run side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::postgres::{Client, NoTls};

use super::cluster::{Cluster, Settings};
use super::exact::Exact;
use super::poll;

/// One database.
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
    seen: AtomicUsize,
}

impl Database {
    /// In the server that the tests of this program share.
    #[must_use]
    pub fn create(name: &str) -> Self {
        Self::create_in(Cluster::shared(), name)
    }

    /// In a server of the test's own, which it may stop and kill.
    #[must_use]
    pub fn alone(name: &str) -> Self {
        Self::create_in(Cluster::start(Settings::default()), name)
    }

    /// In a given server.
    #[must_use]
    pub fn create_in(cluster: Arc<Cluster>, name: &str) -> Self {
        Self::create_with(cluster, name, "")
    }

    /// In the server that the tests of this program share, with another encoding than UTF8.
    #[must_use]
    pub fn encoded(name: &str, encoding: &str) -> Self {
        let options = format!("encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        Self::create_with(Cluster::shared(), name, &options)
    }

    fn create_with(cluster: Arc<Cluster>, name: &str, options: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{name}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        run(&mut connect(&cluster.url("postgres")), &format!("create database {name} {options}"));
        Self { cluster, name, seen: AtomicUsize::new(0) }
    }

    /// The server.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Its name, unique in the server: good for slots, too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// A new session of the superuser.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Client {
        connect(&self.url())
    }

    /// Runs statements; several at once are one transaction.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        run(&mut self.connect(), sql);
    }

    /// The first column of the first row as text.
    #[must_use]
    #[track_caller]
    pub fn text(&self, sql: &str) -> Option<String> {
        let row = self.connect().query_opt(sql, &[]);
        let row = row.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        row.and_then(|row| row.get(0))
    }

    /// Every row of a table as the server itself makes JSON of it, in the session that events promise.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, table: &str) -> Vec<Exact> {
        let mut client = self.connect();
        run(
            &mut client,
            "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
             set bytea_output = 'hex'; set extra_float_digits = 1",
        );
        let sql = format!("select row_to_json(t)::text from {table} t");
        let rows = client.query(&sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let parse = |json: String| Exact::parse(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        rows.into_iter().map(|row| parse(row.get(0))).collect()
    }

    /// Waits until a walsender has started to decode for this database, once for every call: from then on
    /// nothing that commits is missed.
    #[track_caller]
    pub fn wait_streaming(&self) {
        let prefix = format!("{}|", self.name);
        let from = self.seen.load(Ordering::Relaxed);
        let at = self.cluster.log().wait(from, "a walsender", |lines| {
            lines
                .iter()
                .position(|l| l.starts_with(&prefix) && l.contains("starting logical decoding for slot"))
        });
        self.seen.store(from + at + 1, Ordering::Relaxed);
    }

    /// Waits until every walsender here has handed all that is in the WAL now to its connection.
    #[track_caller]
    pub fn wait_sent(&self) {
        let Some(goal) = self.text("select pg_current_wal_flush_lsn()::text") else {
            panic!("no WAL position")
        };
        let sql = format!(
            "select 'yes' from pg_stat_replication join pg_replication_slots on active_pid = pid \
             where database = current_database() having min(sent_lsn) >= '{goal}'"
        );
        poll::until(&format!("all up to {goal} to be sent"), || self.text(&sql));
    }

    /// Waits until the slot's confirmed position has reached all that is in the WAL now.
    #[track_caller]
    pub fn wait_confirmed(&self, slot: &str) {
        let Some(goal) = self.text("select pg_current_wal_flush_lsn()::text") else {
            panic!("no WAL position")
        };
        let sql = format!(
            "select 'yes' from pg_replication_slots where slot_name = '{slot}' and confirmed_flush_lsn >= '{goal}'"
        );
        poll::until(&format!("slot {slot} to be confirmed up to {goal}"), || self.text(&sql));
    }
}

/// A session, or a failed test.
#[must_use]
#[track_caller]
pub fn connect(url: &str) -> Client {
    Client::connect(url, NoTls)
        .unwrap_or_else(|error| panic!("cannot connect to the test's PostgreSQL: {error:?}"))
}

#[track_caller]
fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}
