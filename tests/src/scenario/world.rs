//! Everything that a scenario acts on: one PostgreSQL of its own, one pgcdc, three sinks, writers, perhaps a proxy.

use std::path::Path;
use std::sync::Arc;

use ::postgres::Client;
use nix::unistd::Uid;

use super::around::Around;
use crate::support::audit::{Order, audit};
use crate::support::cluster::{Cluster, PASSWORD, Settings};
use crate::support::database::Database;
use crate::support::desk::Desk;
use crate::support::event::Event;
use crate::support::fold::assert_none;
use crate::support::manifest::Manifest;
use crate::support::pgcdc::{Exit, Pgcdc};
use crate::support::poll;
use crate::support::proxy::Proxy;
use crate::support::receiver::{Fault, Receiver};
use crate::support::repository::pgcdc_binary;
use crate::support::watchdog::Watchdog;
use crate::support::writers::{TABLES, Transaction, Writers};

const WRITERS: u32 = 2;
const TRANSACTIONS: u32 = 150;
/// The role that pgcdc logs in as.
const ROLE: &str = "scenario_reader";
/// A server that is silent so long is asked; the least that can be set.
const RECEIVE_TIMEOUT_MS: u32 = 1_000;

/// See the file's head.
pub(super) struct World {
    name: String,
    settings: Settings,
    db: Option<Database>,
    pub(super) desk: Desk,
    pub(super) receiver: Receiver,
    pub(super) proxy: Option<Proxy>,
    pub(super) pgcdc: Option<Pgcdc>,
    password: String,
    /// Of those that have ended.
    stdout: Vec<String>,
    writers: Option<Writers>,
    committed: usize,
    /// Rounds of writers that are done.
    done: Vec<Vec<Transaction>>,
    mount: Option<Mount>,
    /// A session with a transaction that has written something.
    pub(super) transaction: Option<Client>,
    /// What the next pgcdc is started in.
    pub(super) around: Around,
    /// The slot, by its first name.
    slot: Option<String>,
    pub(super) judged: bool,
}

/// A small disk under the state, gone with its owner.
struct Mount {
    path: String,
    _watchdog: Watchdog,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.path).status();
    }
}

impl World {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: format!("s_{name}"),
            settings: Settings::default(),
            db: None,
            desk: Desk::new(),
            receiver: Receiver::start(),
            proxy: None,
            pgcdc: None,
            password: PASSWORD.to_owned(),
            stdout: Vec::new(),
            writers: None,
            committed: 0,
            done: Vec::new(),
            mount: None,
            transaction: None,
            around: Around::Nothing,
            slot: None,
            judged: false,
        }
    }

    /// A setting of the server, before it is first needed.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        assert!(self.db.is_none(), "the server runs already");
        self.settings = std::mem::take(&mut self.settings).with(name, value);
    }

    /// The database, with the writers' tables in it.
    pub(super) fn db(&mut self) -> &Database {
        let (settings, name) = (&self.settings, &self.name);
        self.db.get_or_insert_with(|| {
            let db = Database::create_in(Cluster::start(settings.clone()), name);
            db.execute(TABLES);
            db.execute("create table filler (n serial primary key)");
            db.execute(&format!("create role {ROLE} superuser login password '{PASSWORD}'"));
            db
        })
    }

    pub(super) fn cluster(&mut self) -> Arc<Cluster> {
        Arc::clone(self.db().cluster())
    }

    pub(super) fn slot(&mut self) -> String {
        let name = self.db().name().to_owned();
        self.slot.get_or_insert(name).clone()
    }

    /// A fresh server in the place of the one that was there, with a database, a publication and a slot of the same names.
    pub(super) fn another_server(&mut self) {
        let slot = self.slot();
        self.db = None;
        self.db().execute("create publication \"all\" for all tables");
        self.db().execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    }

    pub(super) fn rotate_password(&mut self) {
        self.password = format!("{}2", self.password);
        let sql = format!("alter role {ROLE} password '{}'", self.password);
        self.db().execute(&sql);
    }

    /// The old password again, for a pgcdc that has not heard of the new one.
    pub(super) fn tell_password(&mut self) -> String {
        self.password.clone()
    }

    fn manifest(&mut self, password: &str) -> Manifest {
        let slot = self.slot();
        let port = self.proxy.as_ref().map(Proxy::port);
        let db = self.db();
        let url = db.cluster().url_as(ROLE, password, db.name());
        let url = match port {
            Some(port) => {
                url.replace(&format!(":{}/", db.cluster().port()), &format!(":{port}/")) + "?sslmode=disable"
            }
            None => url,
        };
        let config = format!(
            "all_tables: true, persistent_slot: true, slot_name: {slot}, receive_timeout_ms: {RECEIVE_TIMEOUT_MS}"
        );
        let hook = format!(
            "{{ use: webhook, config: {{ url: \"{}\", timeout: 2s }}, policy: {{ backoff: {{ base: 10ms, cap: 100ms }} }} }}",
            self.receiver.url()
        );
        Manifest::wal_of(&url, &config)
            .stdout()
            .sink("log", "{ use: file, config: { path: ./events.jsonl } }")
            .sink("hook", &hook)
    }

    /// Starts pgcdc without waiting for anything.
    pub(super) fn start(&mut self) {
        assert!(self.pgcdc.is_none(), "pgcdc runs already");
        let password = self.tell_password();
        let manifest = self.manifest(&password);
        self.desk.write("pgcdc.yaml", manifest.text());
        let prefix = self.around.prefix();
        let mut command = match prefix.first() {
            None => Pgcdc::command(self.desk.folder(), &[]),
            Some(program) => {
                let mut command = Pgcdc::command_of(Path::new(program), self.desk.folder(), &[]);
                command.args(&prefix[1..]).arg(pgcdc_binary());
                command
            }
        };
        command.args(["run", "pgcdc.yaml"]);
        self.pgcdc = Some(Pgcdc::start_command(command));
    }

    /// Starts pgcdc, and waits until it reads.
    pub(super) fn run(&mut self) {
        self.start();
        self.db().wait_streaming();
    }

    pub(super) fn pgcdc(&mut self) -> Pgcdc {
        self.pgcdc.take().unwrap_or_else(|| panic!("pgcdc does not run"))
    }

    /// Keeps what an ended one has said.
    pub(super) fn keep(&mut self, exit: Exit) -> Exit {
        self.stdout.extend(exit.stdout.iter().cloned());
        exit
    }

    /// Waits for so many transactions more.
    pub(super) fn write(&mut self, transactions: usize) {
        let url = self.db().url();
        let writers = self.writers.get_or_insert_with(|| Writers::start(&url, WRITERS, TRANSACTIONS));
        self.committed += transactions;
        writers.wait_committed(self.committed);
    }

    /// Lets the writers do the rest of what they have to do.
    pub(super) fn finish_writing(&mut self) {
        if let Some(writers) = self.writers.take() {
            assert!(self.done.is_empty(), "writers write once");
            self.done = writers.finish();
        }
    }

    /// Everything arrives, and is judged.
    pub(super) fn verify(&mut self) {
        self.finish_writing();
        let slot = self.slot();
        self.db().wait_confirmed(&slot);
        let exit = self.pgcdc().stop_clean();
        self.keep(exit);
        let source = self.db().rows("ledger");
        let file = self.desk.read("events.jsonl");
        let posted: Vec<Event> = self.receiver.accepted().iter().map(|delivery| delivery.event()).collect();
        let sinks = [
            ("stdout", Event::parse_all(&self.stdout), Order::Total),
            ("file", Event::parse_all(&file.lines().collect::<Vec<_>>()), Order::Total),
            ("webhook", posted, Order::PerRow),
        ];
        for (sink, events, order) in sinks {
            let report = audit(&events, &self.done, &source, order);
            println!(
                "{}: {sink}: {} deliveries, {} of them repeated",
                self.name,
                events.len(),
                report.repeated
            );
            assert!(!events.is_empty(), "{sink} has nothing");
            assert_none(sink, &report.anomalies);
        }
        self.judged = true;
    }

    /// Whether this process may mount.
    pub(super) fn mount_small_disk(&mut self) -> Result<(), String> {
        if !Uid::effective().is_root() {
            return Err("only root may mount a small disk".to_owned());
        }
        let state = self.desk.path("state");
        std::fs::create_dir_all(&state).unwrap_or_else(|error| panic!("{}: {error}", state.display()));
        let path = state.to_string_lossy().into_owned();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", &path])
            .output();
        match mounted {
            Ok(output) if output.status.success() => {
                let watchdog =
                    Watchdog::arm(r#"umount "$1""#, &[&path], crate::support::account::Account::own());
                self.mount = Some(Mount { path, _watchdog: watchdog });
                Ok(())
            }
            Ok(output) => Err(format!("no tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("no mount: {error}")),
        }
    }

    /// Fills the small disk to its last byte.
    pub(super) fn fill_disk(&self) {
        let path = self.desk.path("state/filler");
        // What does not fit is refused; a page at a time leaves no room for another.
        for size in [64 * 1024, 4096, 1] {
            while append(&path, &vec![0_u8; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub(super) fn free_disk(&self) {
        let path = self.desk.path("state/filler");
        std::fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Which requests of webhooks meet this, from now on.
    pub(super) fn webhook(&self, faults: usize, fault: &Fault) {
        self.receiver.script(std::iter::repeat_n(fault.clone(), faults));
    }

    /// Begins a transaction that has written something, and leaves it open.
    pub(super) fn open_transaction(&mut self) {
        let mut client = self.db().connect();
        let begun = client.batch_execute("begin; insert into filler default values");
        begun.unwrap_or_else(|error| panic!("no transaction: {error:?}"));
        self.transaction = Some(client);
    }

    /// Waits until the slot has moved on, however little.
    pub(super) fn wait_confirmed_more(&mut self) {
        let slot = self.slot();
        let sql =
            format!("select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{slot}'");
        let db = self.db();
        let before = db.text(&sql);
        poll::until("the slot to move on", || (db.text(&sql) != before).then_some(()));
    }
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}
