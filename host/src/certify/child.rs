//! The process under test: the real executable with a manifest of certify's own.
//!
//! Invariants. It is gone with its owner. The database's address reaches it through its environment alone.

use std::ffi::OsString;
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
use super::plan::Fault;
use super::receiver;

const MANIFEST: &str = "pgcdc.yaml";
/// What the manifest takes the database's address from.
const DB: &str = "PGCDC_CERTIFY_DB";
/// How long an end that was asked for may take; generous, because a busy machine is no failure.
const END_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is shown of a log.
const LOG_BYTES: usize = 4_000;

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
  {}: {{ use: file, config: {{ path: ./events.jsonl, max_size: 0 }} }}
  {}:
    use: webhook
    config: {{ url: \"{webhook}\", timeout: {}s }}
    policy: {{ backoff: {{ base: 10ms, cap: 100ms }} }}
",
            inbox::name(inbox::STDOUT),
            inbox::name(inbox::FILE),
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
        let mut command = Command::new(&self.program);
        let kept = ["PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PGCDC_SABOTAGE"];
        let kept: Vec<(&str, OsString)> =
            kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
        command.env_clear().envs(kept).env(DB, &self.db).env("HOME", &self.folder);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command
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
        let mut command = self.command(&["run", MANIFEST, "--skip-validation"]);
        if let Some(Fault { point, action, after }) = fault {
            command.env("PGCDC_FAULT", format!("{point} {after} {action}"));
        }
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
