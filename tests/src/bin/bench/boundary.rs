//! The boundary between host and guest alone: `bench-boundary`, with a guest that does next to nothing.

use std::process::{Command, Stdio};

use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::guests::guest;
use pgcdc_tests::support::repository::program;
use serde::Deserialize;

use crate::options::Options;
use crate::report::Report;

/// One line of what the program prints.
#[derive(Deserialize)]
struct Sample {
    what: String,
    us: f64,
}

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let Some(wasm) = guest("bench", "bench boundary") else {
        report.note("boundary: not measured, there is no Wasm target".to_owned());
        return;
    };
    let desk = Desk::new();
    let mut command = Command::new(program("bench-boundary"));
    command.arg(wasm).arg(desk.path("cache")).arg(options.rounds.to_string());
    let output =
        command.stderr(Stdio::inherit()).output().unwrap_or_else(|error| panic!("bench-boundary: {error}"));
    assert!(output.status.success(), "bench-boundary failed");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let sample: Sample = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        eprintln!("{}: {:.3} µs", sample.what, sample.us);
        report.push(&sample.what, "us", sample.us);
    }
}
