//! The binary under test as a child process.
//!
//! Invariant: gone with its owner, and with this process if that is killed.
//! Invariant: it sees nothing of our environment but PATH, and keeps its state in its desk.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::Account;
use super::database::Database;
use super::event::Event;
use super::journal::Journal;
use super::repository::pgcdc_binary;
use super::watchdog::Watchdog;

/// A pgcdc that runs, or has run.
pub struct Pgcdc {
    process: Child,
    stdout: Arc<Journal>,
    stderr: Arc<Journal>,
    watchdog: Option<Watchdog>,
}

/// How a pgcdc ended.
#[derive(Debug)]
pub struct Exit {
    /// What `wait` said.
    pub status: ExitStatus,
    /// The whole lines on standard output.
    pub stdout: Vec<String>,
    /// Everything on standard error.
    pub stderr: String,
}

impl Exit {
    /// The exit code, `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// It must have refused: exit 1, no panic, and every one of `words` in its message.
    #[track_caller]
    pub fn assert_refused(&self, words: &[&str]) {
        assert_eq!(self.code(), Some(1), "it should have refused with exit 1; stderr:\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked at"), "it panicked:\n{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "its message does not say `{word}`:\n{}", self.stderr);
        }
    }
}

impl Pgcdc {
    /// Starts it in `folder`.
    #[must_use]
    pub fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Self::command(folder, environment);
        command.args(arguments);
        Self::start_command(command)
    }

    /// Starts a prepared command and reads along.
    #[must_use]
    pub fn start_command(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut pgcdc = Self::spawn(command);
        if let Some(stream) = pgcdc.process.stdout.take() {
            pgcdc.stdout.feed(stream);
        }
        pgcdc
    }

    /// The command with its environment, for callers that read its output themselves.
    #[must_use]
    pub fn command(folder: &Path, environment: &[(&str, &str)]) -> Command {
        Self::command_of(&pgcdc_binary(), folder, environment)
    }

    /// The same for another program that takes the same arguments.
    #[must_use]
    pub fn command_of(program: &Path, folder: &Path, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state"));
        command.env("XDG_CACHE_HOME", folder.join("cache")).envs(environment.iter().copied());
        // A group of its own: Ctrl-C in a terminal is for us, and we stop it in order.
        command.current_dir(folder).stdin(Stdio::null()).process_group(0);
        command
    }

    /// Starts a prepared command; its standard output is the caller's if it was piped.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start pgcdc: {error}"));
        let pid = process.id().to_string();
        let watchdog = Watchdog::arm(r#"kill -9 "$1""#, &[&pid], Account::own());
        let (stdout, stderr) = (Journal::new("pgcdc's stdout"), Journal::new("pgcdc's stderr"));
        if let Some(stream) = process.stderr.take() {
            stderr.feed(stream);
        }
        Self { process, stdout, stderr, watchdog: Some(watchdog) }
    }

    /// The pipe of its standard output, once, after `spawn`.
    #[must_use]
    pub fn take_stdout(&mut self) -> Option<impl Read + Send + use<>> {
        self.process.stdout.take()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Standard output as it comes.
    #[must_use]
    pub fn stdout(&self) -> &Journal {
        &self.stdout
    }

    /// Standard error as it comes: the log.
    #[must_use]
    pub fn stderr(&self) -> &Journal {
        &self.stderr
    }

    /// Waits for this many envelopes on standard output and returns them.
    #[must_use]
    #[track_caller]
    pub fn events(&self, count: usize) -> Vec<Event> {
        let what = format!("{count} events");
        let lines = self.stdout.wait(0, &what, |lines| lines.get(..count).map(<[_]>::to_vec));
        Event::parse_all(&lines)
    }

    /// Waits for an envelope on standard output that `wanted` accepts.
    #[track_caller]
    pub fn event(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        self.stdout
            .wait(0, what, |lines| lines.iter().map(|line| Event::parse(line)).find(|event| wanted(event)))
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Exit {
        self.signal(Signal::SIGKILL);
        self.reap()
    }

    /// SIGTERM: an orderly stop.
    pub fn stop(mut self) -> Exit {
        self.signal(Signal::SIGTERM);
        self.reap()
    }

    /// An orderly stop that must succeed.
    #[track_caller]
    pub fn stop_clean(self) -> Exit {
        let exit = self.stop();
        assert_eq!(exit.code(), Some(0), "an orderly stop must end with 0; stderr:\n{}", exit.stderr);
        exit
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(mut self) -> Exit {
        self.reap()
    }

    /// Lets it stand still while `change` is made, until the server has sent all of it: it finds that in one piece, and so
    /// makes one batch of it. For as much as a socket takes: some hundred rows.
    pub fn at_once(&self, db: &Database, change: impl FnOnce()) {
        self.signal(Signal::SIGSTOP);
        change();
        db.wait_sent();
        self.signal(Signal::SIGCONT);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    #[track_caller]
    fn reap(&mut self) -> Exit {
        self.stdout.wait_end();
        self.stderr.wait_end();
        let status = self.process.wait().unwrap_or_else(|error| panic!("cannot wait for pgcdc: {error}"));
        self.watchdog = None;
        Exit { status, stdout: self.stdout.lines(), stderr: self.stderr.text() }
    }
}

impl Drop for Pgcdc {
    fn drop(&mut self) {
        if self.watchdog.is_some() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
