//! Cleans up after a process that was killed: a shell that waits for our end of a pipe to close.
//!
//! Invariant: the shell outlives this process by as long as its cleaning takes, whatever ended this process,
//! and stands in a process group of its own so that Ctrl-C in a terminal does not take it along.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::account::Account;

/// Armed until dropped or disarmed by whoever has cleaned up already.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Runs `script` (POSIX shell; `arguments` are `$1`…) once this process is gone.
    #[must_use]
    pub fn arm(script: &str, arguments: &[&str], account: Account) -> Self {
        let mut command = Command::new("/bin/sh");
        // `read` ends when every copy of the writing end is closed: when we are dead.
        command.arg("-c").arg(format!("read -r _; {script}")).arg("watchdog").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        command.process_group(0);
        account.apply(&mut command);
        let shell = command.spawn().unwrap_or_else(|error| panic!("cannot start /bin/sh: {error}"));
        Self { shell }
    }
}

impl Drop for Watchdog {
    /// Disarms: the owner has cleaned up by itself.
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
