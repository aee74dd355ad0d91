//! `make certify`: crash points on a throwaway PostgreSQL, with the executable that can be told to fail, cumulated over
//! as many calls as it takes.
//!
//! Usage: certify [--kills N] [--seed NUMBER]
//!
//! The sum is kept in `certify/points.json` in the target folder. Without the executable in `faults/` (`make faults`)
//! there are kills only.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::repository::{faulty_binary, pgcdc_binary, target_folder};

/// One database serves so many crash points; then comes a fresh one.
const RUN_MAX: u64 = 250;

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
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let program = faulty_binary().unwrap_or_else(|| {
        println!("no executable with faults (`make faults`): kills only");
        pgcdc_binary()
    });
    let points: PathBuf = target_folder().unwrap_or_else(std::env::temp_dir).join("certify/points.json");
    let mut left = options.kills;
    while left > 0 {
        let kills = left.min(RUN_MAX);
        let cluster = Cluster::start(Settings::default());
        let mut command = Command::new(&program);
        command.args(["certify", "--db", &cluster.url("postgres"), "--kills", &kills.to_string()]);
        command.arg("--points").arg(&points);
        command.args(options.seed.iter().flat_map(|seed| ["--seed", seed]));
        match command.status() {
            Ok(status) if status.success() => left -= kills,
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{}: {error}", program.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
