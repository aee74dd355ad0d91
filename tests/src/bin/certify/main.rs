//! `make certify`: crash points on a throwaway PostgreSQL, with the executable that can be told to fail, cumulated over
//! as many calls as it takes.
//!
//! Usage: certify [--kills N] [--seed NUMBER]
//!
//! The sum is kept in `certify/points.json` in the target folder. Without the executable in `faults/` (`make faults`)
//! there are kills only; without strace, none at system calls. SIGINT or SIGTERM: what is there is judged and counts; once more: it does not.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::repository::{faulty_binary, pgcdc_binary, target_folder};
use tokio::signal::unix::{SignalKind, signal};

/// One server serves so many crash points, which are judged together; then comes a fresh one.
const RUN_MAX: u64 = 125;
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct Options {
    kills: u64,
    seed: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { kills: 500, seed: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument}: wanted: a value"))?;
        match argument.as_str() {
            "--kills" => {
                options.kills = value.parse().map_err(|_| format!("--kills {value}: wanted: a number"))?
            }
            "--seed" => options.seed = Some(value),
            _ => return Err(format!("{argument}: wanted: --kills N or --seed NUMBER")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| gather(&options)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn gather(options: &Options) -> Result<ExitCode, String> {
    let program = faulty_binary().unwrap_or_else(|| {
        println!("no executable with faults (`make faults`): kills only");
        pgcdc_binary()
    });
    let points: PathBuf = target_folder().unwrap_or_else(std::env::temp_dir).join("certify/points.json");
    let stops = stops()?;
    let mut left = options.kills;
    while left > 0 {
        let kills = left.min(RUN_MAX);
        let cluster = Cluster::start(Settings::default());
        let wish = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let wish = wish.path().join("kill");
        let mut command = Command::new(&program);
        command.args([
            "certify",
            "--db",
            &cluster.url("postgres"),
            "--kills",
            &kills.to_string(),
            "--syscalls",
        ]);
        command.arg("--points").arg(&points);
        command.arg("--server-kill").arg(format!("touch '{}'", wish.display()));
        command.args(options.seed.iter().flat_map(|seed| ["--seed", seed]));
        // A group of its own: what is to stop it comes from here.
        let certify = command.process_group(0).spawn();
        let certify = certify.map_err(|error| format!("{}: {error}", program.display()))?;
        let stopped = match run(certify, &cluster, &wish, &stops)? {
            Ended::Sound { stopped } => stopped,
            Ended::Failed => return Ok(ExitCode::FAILURE),
        };
        if stopped {
            break;
        }
        left -= kills;
    }
    Ok(ExitCode::SUCCESS)
}

enum Ended {
    Sound {
        /// Somebody wants no more.
        stopped: bool,
    },
    Failed,
}

/// Waits for a run; kills the server and starts it again as often as the run wishes.
fn run(mut certify: Child, cluster: &Cluster, wish: &Path, stops: &Receiver<()>) -> Result<Ended, String> {
    let mut stopped = false;
    loop {
        match stops.recv_timeout(LOOK_EVERY) {
            Ok(()) => {
                stopped = true;
                let pid = i32::try_from(certify.id()).map_err(|error| error.to_string())?;
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err("signals are not listened to any more".to_owned());
            }
        }
        if wish.exists() {
            std::fs::remove_file(wish).map_err(|error| format!("{}: {error}", wish.display()))?;
            cluster.kill();
            cluster.start_again();
        }
        if let Some(status) = certify.try_wait().map_err(|error| error.to_string())? {
            return Ok(if status.success() { Ended::Sound { stopped } } else { Ended::Failed });
        }
    }
}

/// One message for every SIGINT and SIGTERM, which from here on end nothing by themselves.
fn stops() -> Result<Receiver<()>, String> {
    let (tell, stops) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let inside = runtime.enter();
    let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be listened to: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    drop(inside);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if tell.send(()).is_err() {
                    return;
                }
            }
        });
    });
    Ok(stops)
}
