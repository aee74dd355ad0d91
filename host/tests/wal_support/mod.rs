//! A throwaway PostgreSQL for the tests of the WAL room, and small helpers around it.
//!
//! Nothing is left behind, even if the test process is killed: a watchdog shell waits for the end of
//! its input, then stops the server and removes its folder.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use pgcdc::postgres::Params;
use pgcdc::wal::{self, Options};
use pgcdc_core::assembler::Finished;
use pgcdc_layout::View;

/// A running server; superuser `postgres`, trusted on its Unix socket.
pub(crate) struct Server {
    /// TCP port on 127.0.0.1.
    pub(crate) port: u16,
    /// Where everything of it lies.
    pub(crate) folder: PathBuf,
    bin: PathBuf,
    databases: AtomicU32,
    _watchdog: Child,
}

/// Roles by how they may log in over TCP. The password of each is `secret`.
const HBA: &str = "\
local all all trust
host all,replication plain_open 127.0.0.1/32 trust
host all,replication postgres 127.0.0.1/32 trust
host all,replication scram_user 127.0.0.1/32 scram-sha-256
host all,replication md5_user 127.0.0.1/32 md5
host all,replication clear_user 127.0.0.1/32 password
hostssl all,replication tls_user 127.0.0.1/32 scram-sha-256
hostnossl all,replication bare_user 127.0.0.1/32 scram-sha-256
";

const ROLES: &str = "\
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_user LOGIN REPLICATION PASSWORD 'secret';
CREATE ROLE clear_user LOGIN REPLICATION PASSWORD 'secret';
CREATE ROLE tls_user LOGIN REPLICATION PASSWORD 'secret';
CREATE ROLE bare_user LOGIN REPLICATION PASSWORD 'secret';
SET password_encryption = 'md5';
CREATE ROLE md5_user LOGIN REPLICATION PASSWORD 'secret';
CREATE ROLE plain_open LOGIN;
";

impl Server {
    /// Starts one with these lines in its configuration; `prepare` may add files (certificates) first.
    pub(crate) fn start(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let bin = bin_folder();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("pgcdc-wal-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let data = folder.join("data");
        std::fs::write(folder.join("hba"), HBA).unwrap();
        prepare(&folder);
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(&folder));
        }
        run(as_server(&bin.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data));
        let configuration = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{0}'\nhba_file = '{0}/hba'\n\
             wal_level = logical\nmax_wal_senders = 30\nmax_replication_slots = 30\nfsync = off\nlogging_collector = off\n{settings}\n",
            folder.display()
        );
        let file = data.join("postgresql.auto.conf");
        std::fs::write(&file, configuration).unwrap();
        let server_folder = folder.display();
        let stop = format!(
            "cat >/dev/null; {}{}/pg_ctl -D {} -m immediate stop >/dev/null 2>&1; rm -rf {server_folder}",
            if is_root() { "runuser -u postgres -- " } else { "" },
            bin.display(),
            data.display()
        );
        let mut watchdog = Command::new("setsid");
        let watchdog = watchdog
            .args(["sh", "-c", &stop])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let watchdog = watchdog.spawn().unwrap();
        let server = Self { port, folder, bin, databases: AtomicU32::new(0), _watchdog: watchdog };
        server.up();
        server.sql("postgres", ROLES);
        server
    }

    /// Starts the server process (again).
    pub(crate) fn up(&self) {
        let log = self.folder.join("log");
        let data = self.folder.join("data");
        run(as_server(&self.bin.join("pg_ctl"))
            .args(["-w", "-t", "60", "-l"])
            .arg(log)
            .arg("-D")
            .arg(data)
            .arg("start"));
    }

    /// Stops the server process: `fast` or `immediate`.
    pub(crate) fn down(&self, mode: &str) {
        let data = self.folder.join("data");
        run(as_server(&self.bin.join("pg_ctl")).args(["-w", "-m", mode, "-D"]).arg(data).arg("stop"));
    }

    /// Runs statements as superuser; unaligned rows come back.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                database,
                "-c",
                sql,
                "-p",
            ])
            .arg(self.port.to_string())
            .arg("-h")
            .arg(&self.folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A database of the caller's own.
    pub(crate) fn database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Parameters for a role; all have the same password.
    pub(crate) fn params(&self, user: &str, database: &str, more: &str) -> Params {
        let text =
            format!("postgres://{user}:secret@127.0.0.1:{}/{database}?connect_timeout=20&{more}", self.port);
        Params::parse(&text).unwrap()
    }

    /// A program of the server's installation, to be run as the server's user.
    pub(crate) fn program(&self, name: &str) -> Command {
        as_server(&self.bin.join(name))
    }
}

/// Options from JSON.
pub(crate) fn options(json: &str) -> Options {
    serde_json::from_str(json).unwrap()
}

/// A session that must open.
pub(crate) async fn open(params: &Params, json: &str) -> wal::Session {
    wal::open(params, options(json), None).await.unwrap()
}

/// Batches until `events` events have come.
pub(crate) async fn gather(session: &wal::Session, events: u32) -> Vec<Finished> {
    let mut all = Vec::new();
    let mut count = 0;
    while count < events {
        for batch in session.next().await.unwrap() {
            count += batch.events;
            all.push(batch);
        }
    }
    assert_eq!(count, events);
    all
}

/// The JSON lines of batches.
pub(crate) fn lines(batches: &[Finished]) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    for batch in batches {
        let view = View::parse(&batch.bytes).unwrap();
        let text = pgcdc_layout::json::lines(&view, 1 << 30).unwrap().bytes;
        for line in String::from_utf8(text).unwrap().lines() {
            out.push(serde_json::from_str(line).unwrap());
        }
    }
    out
}

/// Waits for a server-side condition, without guessing how long it takes.
pub(crate) fn wait_for(server: &Server, database: &str, condition: &str) {
    let sql = format!(
        "DO $$ BEGIN FOR n IN 1..3000 LOOP EXIT WHEN ({condition}); PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); \
         IF n = 3000 THEN RAISE 'never: {}'; END IF; END LOOP; END $$",
        condition.replace('\'', "''")
    );
    server.sql(database, &sql);
}

fn bin_folder() -> PathBuf {
    if let Ok(folder) = std::env::var("PGCDC_PG_BIN") {
        return folder.into();
    }
    let installed =
        std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL's programs; set PGCDC_PG_BIN");
    let mut found: Vec<_> = installed.flatten().map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().expect("PostgreSQL's programs; set PGCDC_PG_BIN")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

/// PostgreSQL refuses to run as root.
fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/tmp");
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
