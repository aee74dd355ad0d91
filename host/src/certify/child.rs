//! The process under test: the real executable with a manifest of certify's own.
//!
//! Invariants. It is gone with its owner. The database's address reaches it through its environment alone.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgcdc_core::checkpoint::{Checkpoint, Identity};
use pgcdc_core::lsn::Lsn;
use rustix::process::{Pid, Signal, kill_process};

use super::history::Ending;
use super::inbox::{self, Inbox};
use super::plan::{Fault, SYSCALL};
use super::receiver;
use super::tail;

const MANIFEST: &str = "pgcdc.yaml";
/// What the manifest takes the database's address from.
const DB: &str = "PGCDC_CERTIFY_DB";
/// How long an end that was asked for may take; generous, because a busy machine is no failure.
const END_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is shown of a log.
const LOG_BYTES: usize = 4_000;
/// Small, so that it is rotated often.
const FILE_SIZE: &str = "2MiB";
/// What a line of the log begins with when a place in the process has struck.
const STRUCK: &str = "fault:";
/// System calls that change something outside of the process, as far as pgcdc makes them.
const SYSCALLS: [&str; 7] = ["write", "writev", "sendto", "fdatasync", "fsync", "ftruncate", "rename"];

/// Where it works, and what it works on.
pub(crate) struct Desk {
    program: PathBuf,
    folder: PathBuf,
    db: String,
}

impl Desk {
    /// Writes the manifest.
    pub(crate) fn new(
        program: PathBuf,
        folder: &Path,
        db: &str,
        name: &str,
        webhook: &str,
    ) -> Result<Desk, String> {
        let manifest = format!(
            "version: 1
state_dir: ./state
detectors:
  certify: {{ use: wal, config: {{ db: \"${{{DB}}}\", publication: {name}, persistent_slot: true, slot_name: {name} }} }}
sinks:
  {}: {{ use: stdout }}
  {}: {{ use: file, config: {{ path: ./events.jsonl, max_size: {FILE_SIZE}, max_files: {} }} }}
  {}:
    use: webhook
    config: {{ url: \"{webhook}\", timeout: {}s }}
    policy: {{ backoff: {{ base: 10ms, cap: 100ms }} }}
",
            inbox::name(inbox::STDOUT),
            inbox::name(inbox::FILE),
            tail::KEPT,
            inbox::name(inbox::WEBHOOK),
            receiver::TIMEOUT.as_secs(),
        );
        let path = folder.join(MANIFEST);
        std::fs::write(&path, manifest).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Desk { program, folder: folder.to_owned(), db: db.to_owned() })
    }

    /// Where its sink `file` writes.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(Command::new(&self.program), arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        let kept = ["PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PGCDC_SABOTAGE"];
        let kept: Vec<(&str, OsString)> =
            kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
        command.env_clear().envs(kept).env(DB, &self.db).env("HOME", &self.folder);
        // A group of its own: Ctrl-C is for certify, which ends it as planned.
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        command
    }

    /// The system calls at which it can be ended here. The error says why there are none.
    pub(crate) fn syscalls(&self) -> Result<Vec<String>, String> {
        // More than any of its threads will write, and no more than strace can count.
        let mut probe = traced("write", 60_000);
        probe.arg(&self.program);
        let output = self.prepared(probe, &["--version"]).output().map_err(|e| format!("no strace: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("strace does not work here: {}", said.lines().next().unwrap_or_default()));
        }
        Ok(SYSCALLS.map(str::to_owned).to_vec())
    }

    /// The faults that this executable can be told to have: places, and what may happen at each. A shipped one has none.
    pub(crate) fn faults(&self) -> Vec<(String, Vec<String>)> {
        let Ok(output) = self.command(&["faults"]).output() else { return Vec::new() };
        if !output.status.success() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let offer = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.collect()))
        };
        text.lines().filter_map(offer).collect()
    }

    /// Starts a life.
    pub(crate) fn start(&self, inbox: &Arc<Inbox>, fault: Option<&Fault>) -> Result<Process, String> {
        let log = self.folder.join("pgcdc.log");
        let log_file = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let arguments = ["run", MANIFEST, "--skip-validation"];
        let mut command = match fault {
            None => self.command(&arguments),
            Some(Fault { point, action, after }) => match point.strip_prefix(SYSCALL) {
                Some(name) => {
                    let mut command = traced(name, after + 1);
                    command.arg(&self.program);
                    self.prepared(command, &arguments)
                }
                None => {
                    let mut command = self.command(&arguments);
                    command.env("PGCDC_FAULT", format!("{point} {after} {action}"));
                    command
                }
            },
        };
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        let reader = child.stdout.take().map(|pipe| inbox.read_pipe(pipe));
        Ok(Process { child, reader, log, started: Instant::now() })
    }

    /// What is stored, as `checkpoint show` tells; the slot's position is for the caller to add.
    pub(crate) fn stored(&self) -> Result<Ending, String> {
        let output = self
            .command(&["checkpoint", "show", MANIFEST, "--json"])
            .output()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("`checkpoint show` failed: {said}"));
        }
        let line = output.stdout.split(|byte| *byte == b'\n').find(|line| !line.is_empty());
        let Some(line) = line else { return Ok(Ending::default()) };
        let checkpoint = Checkpoint::decode(line).map_err(|e| e.to_string())?;
        let (Identity::Postgres(_), Some(strand)) = (&checkpoint.identity, checkpoint.strands.get("")) else {
            return Err("the stored checkpoint is of no WAL".into());
        };
        let resume = Lsn::from_bytes(&strand.resume).ok_or("the stored position cannot be read")?;
        let marks = strand.lanes.iter().map(|(lane, at)| (lane.clone(), at.mark)).collect();
        Ok(Ending { resume: Some(resume), marks, ..Ending::default() })
    }
}

/// strace, which kills what it runs on entering the n-th such call of one of its threads. It stands aside, so that what it runs
/// is our own child, and goes when that goes.
fn traced(syscall: &str, nth: u64) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]);
    command.args(["-e", &format!("trace={syscall}")]);
    command.args(["-e", &format!("inject={syscall}:signal=KILL:when={nth}")]);
    command
}

/// A process that runs, or has ended.
pub(crate) struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
    pub(crate) started: Instant,
}

impl Process {
    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end, and until all that it has printed is read. `None`: it did not end in time, and was killed.
    pub(crate) async fn wait(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + END_MAX;
        let status = loop {
            if let Some(status) = self.ended() {
                break Some(status);
            }
            if Instant::now() > end {
                self.kill();
                break None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = tokio::task::spawn_blocking(move || reader.join()).await;
        }
        status
    }

    /// Whether the fault that it was told of has struck.
    pub(crate) fn struck(&self) -> bool {
        let text = std::fs::read(&self.log).unwrap_or_default();
        text.split(|byte| *byte == b'\n').any(|line| line.starts_with(STRUCK.as_bytes()))
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(LOG_BYTES);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
