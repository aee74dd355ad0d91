//! A throwaway PostgreSQL: real server, own data folder, free port, never root.
//!
//! Invariant: when the last owner is gone, so are the server's processes and its data; a watchdog sees to it
//! when this process is killed.
//! Invariant: `kill` returns only when every process of the server is gone, so that `start_again` finds its
//! shared memory free.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::account::Account;
use super::free_port::free_port;
use super::journal::Journal;
use super::postgres::binaries;
use super::watchdog::Watchdog;

/// The superuser's password; there to be found by tests that look for leaked secrets.
pub const PASSWORD: &str = "correct horse battery";
const SUPERUSER: &str = "postgres";
const START_ATTEMPTS_MAX: u32 = 5;
const CLEANING: &str = r#""$1/pg_ctl" -D "$2/data" -m immediate -w -t 30 stop || kill -9 "$(head -n 1 "$2/data/postmaster.pid")"; rm -rf -- "$2""#;

/// How a server differs from the usual throwaway.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `fsync`, `synchronous_commit` stay on; off by default, because a throwaway need not survive the machine.
    pub fsync: bool,
    /// Any other setting, over the defaults of a test server.
    pub options: Vec<(String, String)>,
}

impl Settings {
    /// The usual throwaway with one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }
}

struct Server {
    process: Child,
    log: JoinHandle<()>,
}

/// One server.
pub struct Cluster {
    bin: PathBuf,
    folder: TempDir,
    settings: Settings,
    account: Account,
    port: Mutex<u16>,
    server: Mutex<Option<Server>>,
    log: Arc<Journal>,
    _watchdog: Watchdog,
}

impl Cluster {
    /// The server that the tests of one program share; it lives as long as anybody holds it.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Self::start(Settings::default());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// A server of one's own.
    #[must_use]
    pub fn start(settings: Settings) -> Arc<Self> {
        let bin = binaries().unwrap_or_else(|why| panic!("{why}"));
        Self::start_of(bin, settings)
    }

    /// The same, of the installation in this folder.
    #[must_use]
    pub fn start_of(bin: PathBuf, settings: Settings) -> Arc<Self> {
        Self::start_from(bin, settings, initialise)
    }

    /// A standby of a server, that follows it through the physical slot `standby`, which it makes there.
    #[must_use]
    pub fn standby_of(primary: &Self, settings: Settings) -> Arc<Self> {
        let url = primary.url("postgres");
        Self::start_from(primary.bin.clone(), settings, |bin, folder, account| {
            copy(bin, folder, account, &url)
        })
    }

    /// Ends recovery: from now on it takes writes.
    #[track_caller]
    pub fn promote(&self) {
        let mut command = bare(self.bin.join("pg_ctl"), self.folder.path());
        command.args(["promote", "-w", "-t", "60", "-D"]).arg(self.folder.path().join("data"));
        self.account.apply(&mut command);
        let output = command.output().unwrap_or_else(|error| panic!("cannot start pg_ctl: {error}"));
        assert!(output.status.success(), "not promoted:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn start_from(bin: PathBuf, settings: Settings, make: impl FnOnce(&Path, &Path, Account)) -> Arc<Self> {
        let account = Account::for_servers();
        let folder = tempfile::Builder::new().prefix("pgcdc-pg-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        account.give(folder.path());
        let arguments = [path_text(&bin), path_text(folder.path())];
        let watchdog = Watchdog::arm(CLEANING, &arguments, account);
        make(&bin, folder.path(), account);
        let cluster = Self {
            bin,
            folder,
            settings,
            account,
            port: Mutex::new(free_port()),
            server: Mutex::new(None),
            log: Journal::new("PostgreSQL's log"),
            _watchdog: watchdog,
        };
        for attempt in 1.. {
            match cluster.try_start() {
                Ok(()) => break,
                // Somebody took the port between the look and the use.
                Err(log) if attempt < START_ATTEMPTS_MAX && log.contains("Address already in use") => {
                    *cluster.port.lock().unwrap_or_else(PoisonError::into_inner) = free_port();
                }
                Err(log) => panic!("PostgreSQL did not start:\n{log}"),
            }
        }
        Arc::new(cluster)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its data is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The postmaster, 0 while it is down.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.lock().as_ref().map_or(0, |server| server.process.id())
    }

    /// The folder of `pg_recvlogical` and its like.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// What the server has logged; every line starts with the database's name and `|`.
    #[must_use]
    pub fn log(&self) -> &Journal {
        &self.log
    }

    /// The superuser's URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, PASSWORD, database)
    }

    /// Another role's URL of a database.
    #[must_use]
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        let password = password.replace(' ', "%20");
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port())
    }

    /// SIGKILL, and wait until no process of the server is left.
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    /// A fast shutdown: clients are cut off, walsenders are waited for.
    pub fn stop(&self) {
        self.end(Signal::SIGINT);
    }

    /// After `kill` or `stop`, on the same port and data.
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.lock().is_none(), "the server runs");
        self.try_start().unwrap_or_else(|log| panic!("PostgreSQL did not start again:\n{log}"));
    }

    fn try_start(&self) -> Result<(), String> {
        let mut command = bare(self.bin.join("postgres"), self.folder.path());
        command.arg("-D").arg(self.folder.path().join("data"));
        for (name, value) in self.options() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // The postmaster gets a group of its own: Ctrl-C is for us, and we end it in order.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        self.account.apply(&mut command);
        let from = self.log.len();
        let mut process = command.spawn().map_err(|error| format!("cannot start postgres: {error}"))?;
        let Some(errors) = process.stderr.take() else { panic!("stderr was piped") };
        let log = self.log.feed(errors);
        *self.lock() = Some(Server { process, log });
        let ready = self.log.wait_ready(from);
        if !ready {
            self.end(Signal::SIGKILL);
            return Err(self.log.lines().get(from..).unwrap_or_default().join("\n"));
        }
        Ok(())
    }

    fn options(&self) -> Vec<(String, String)> {
        let fsync = if self.settings.fsync { "on" } else { "off" };
        let port = self.port().to_string();
        let folder = path_text(self.folder.path());
        let usual = [
            ("port", port.as_str()),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", folder),
            ("wal_level", "logical"),
            ("fsync", fsync),
            ("full_page_writes", fsync),
            ("max_connections", "200"),
            ("max_wal_senders", "100"),
            ("max_replication_slots", "200"),
            ("max_prepared_transactions", "10"),
            ("shared_buffers", "64MB"),
            ("log_line_prefix", "%d|%a|"),
            ("log_replication_commands", "on"),
            ("lc_messages", "C"),
            ("timezone", "America/St_Johns"),
        ];
        let mut options: Vec<_> = usual.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        options.extend(self.settings.options.iter().cloned());
        options
    }

    fn end(&self, signal: Signal) {
        let Some(mut server) = self.lock().take() else { return };
        if let Ok(pid) = i32::try_from(server.process.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        let _ = server.process.wait();
        // Backends hold the other end of the log until they are gone.
        let _ = server.log.join();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Signal::SIGQUIT);
    }
}

/// A program with nothing of our environment that could change how PostgreSQL behaves.
fn bare(program: PathBuf, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("HOME", folder).current_dir(folder);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)));
    command
}

fn initialise(bin: &Path, folder: &Path, account: Account) {
    let password_file = folder.join("password");
    let written = std::fs::write(&password_file, PASSWORD);
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", password_file.display()));
    account.give(&password_file);
    let mut command = bare(bin.join("initdb"), folder);
    command.args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
    command.arg("-D").arg(folder.join("data")).arg("--pwfile").arg(&password_file);
    account.apply(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("cannot start initdb: {error}"));
    assert!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(bin: &Path, folder: &Path, account: Account, url: &str) {
    let mut command = bare(bin.join("pg_basebackup"), folder);
    command.args(["-R", "-X", "stream", "-c", "fast", "-C", "-S", "standby", "-d", url, "-D"]);
    command.arg(folder.join("data"));
    account.apply(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("cannot start pg_basebackup: {error}"));
    assert!(output.status.success(), "pg_basebackup failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("{} is not UTF-8", path.display()))
}
