//! What pgcdc is started in: under strace, which makes its system calls slow or fail, or with few file descriptors.

use std::process::Command;

/// In what a pgcdc is started.
#[derive(Clone, Debug)]
pub(super) enum Around {
    /// As it is.
    Nothing,
    /// strace with this for `inject`: `fdatasync:error=EIO`.
    Injected(String),
    /// No more than so many file descriptors.
    Files(usize),
}

impl Around {
    /// The program and its arguments that stand in front of pgcdc and its own. It stands aside: what runs is our own child.
    pub(super) fn prefix(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Injected(inject) => {
                let call = inject.split(':').next().unwrap_or_default();
                let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
                let words = [
                    "strace",
                    "-D",
                    "-f",
                    "-qq",
                    "--seccomp-bpf",
                    "-o",
                    "/dev/null",
                    "-e",
                    &trace,
                    "-e",
                    &inject,
                ];
                words.map(str::to_owned).to_vec()
            }
            Self::Files(count) => {
                let script = format!("ulimit -n {count} && exec \"$@\"");
                ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
            }
        }
    }

    /// Whether this machine can do it; if not, why.
    pub(super) fn possible(&self) -> Result<(), String> {
        let [program, arguments @ ..] = &self.prefix()[..] else { return Ok(()) };
        let output = Command::new(program).args(arguments).arg("true").output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("no {program}: {error}")),
        }
    }
}
