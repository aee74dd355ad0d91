//! Who runs: each contender drains the whole backlog once, as its own process, and is timed.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::repository::{pgcdc_binary, program};
use pgcdc_tests::support::usage::{Cpu, memory_bytes};

use crate::backlog::{Backlog, PUBLICATION};
use crate::count::count;
use crate::webhook::Sinkhole;

/// A POST for each event is slow on both sides; this many are enough to tell.
const SINGLE_POSTS_MAX: u64 = 100_000;

/// What one run was like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// How many rows the clock and the CPU seconds are for.
    pub(crate) rows: u64,
    /// From the start of the process to the last row.
    pub(crate) time: Duration,
    pub(crate) cpu: Cpu,
    /// Only where it can be read while the process lives.
    pub(crate) peak_bytes: Option<u64>,
}

impl Measure {
    pub(crate) fn rows_per_second(&self) -> f64 {
        rows(self.rows) / self.time.as_secs_f64()
    }

    pub(crate) fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu.seconds() / rows(self.rows) * 1e6
    }
}

#[allow(clippy::cast_precision_loss, reason = "a backlog has fewer rows than a float has digits")]
fn rows(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, system) = (self.cpu.user.as_secs_f64(), self.cpu.system.as_secs_f64());
        let cpu = self.cpu_seconds_per_million();
        write!(
            f,
            "{:.0} rows/s, {cpu:.2} CPU-s a million ({user:.2} user, {system:.2} system)",
            self.rows_per_second()
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Recvlogical,
    Stdout,
    DropColumns,
    /// The same with both connectors linked into the process.
    Linked,
    File,
    WebhookBatch,
    WebhookSingle,
}

const DROP_COLUMNS: &str = "transforms:\n  - { use: drop_columns, config: { columns: [note] } }\n";

impl Contender {
    pub(crate) const ALL: [Self; 7] = [
        Self::Recvlogical,
        Self::Stdout,
        Self::DropColumns,
        Self::Linked,
        Self::File,
        Self::WebhookBatch,
        Self::WebhookSingle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recvlogical => "pg_recvlogical",
            Self::Stdout => "stdout",
            Self::DropColumns => "drop_columns",
            Self::Linked => "drop_columns-linked",
            Self::File => "file",
            Self::WebhookBatch => "webhook-batch",
            Self::WebhookSingle => "webhook-single",
        }
    }

    pub(crate) fn run(self, backlog: &Backlog) -> Measure {
        let slot = backlog.slot();
        let measure = match self {
            Self::Recvlogical => recvlogical(backlog, &slot),
            Self::Stdout => to_stdout(backlog, &slot, ""),
            Self::DropColumns => to_stdout(backlog, &slot, DROP_COLUMNS),
            Self::Linked => to_stdout_linked(backlog, &slot),
            Self::File => to_file(backlog, &slot),
            Self::WebhookBatch => to_webhook(backlog, &slot, true),
            Self::WebhookSingle => to_webhook(backlog, &slot, false),
        };
        backlog.drop_slot(&slot);
        measure
    }
}

/// The command that reads a slot of the database at `url` as raw pgoutput.
pub(crate) fn recvlogical_command(bin: &Path, url: &str, slot: &str) -> Command {
    let mut command = Command::new(bin.join("pg_recvlogical"));
    command.args(["-d", url, "-S", slot, "--start", "--no-loop", "-F", "0", "-f", "-"]);
    command.args(["-o", "proto_version=1", "-o", &format!("publication_names={PUBLICATION}")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn recvlogical(backlog: &Backlog, slot: &str) -> Measure {
    let mut command = recvlogical_command(backlog.db.cluster().bin(), &backlog.db.url(), slot);
    command.args(["--endpos", &backlog.end]);
    let before = Cpu::of_ended_children();
    let begun = Instant::now();
    let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start pg_recvlogical: {error}"));
    let Some(pipe) = process.stdout.take() else { panic!("stdout was piped") };
    let counted = count(pipe, u64::MAX);
    let status = process.wait();
    assert!(status.is_ok_and(|status| status.success()), "pg_recvlogical failed");
    let time = counted.last.map_or(Duration::ZERO, |last| last - begun);
    Measure { rows: backlog.rows, time, cpu: Cpu::of_ended_children().since(before), peak_bytes: None }
}

/// The manifest of one pipeline from a slot; `sink` is a YAML flow value.
pub(crate) fn manifest(url: &str, slot: &str, transforms: &str, sinks: &[(&str, &str)]) -> String {
    let source = format!("publication: {PUBLICATION}, persistent_slot: true, slot_name: {slot}");
    let sinks: String = sinks.iter().map(|(name, sink)| format!("  {name}: {sink}\n")).collect();
    format!(
        "version: 1\nstate_dir: ./state\ndetectors:\n  bench: {{ use: wal, config: {{ db: \"{url}\", {source} }} }}\n\
         {transforms}sinks:\n{sinks}"
    )
}

/// A pgcdc with its standard output in a pipe.
pub(crate) fn start(desk: &Desk, manifest: &str) -> Pgcdc {
    start_program(&pgcdc_binary(), desk, manifest)
}

fn start_program(program: &Path, desk: &Desk, manifest: &str) -> Pgcdc {
    desk.write("pgcdc.yaml", manifest);
    let mut command = Pgcdc::command_of(program, desk.folder(), &[]);
    command.args(["run", "pgcdc.yaml"]).stdout(Stdio::piped());
    Pgcdc::spawn(command)
}

/// Starts pgcdc, waits until `drained` says when the last of how many rows was through, and stops it.
fn timed(manifest: &str, drained: impl FnOnce(&mut Pgcdc, &Desk) -> (u64, Option<Instant>)) -> Measure {
    timed_program(&pgcdc_binary(), manifest, drained).0
}

/// The same, with what the program had to say.
fn timed_program(
    program: &Path,
    manifest: &str,
    drained: impl FnOnce(&mut Pgcdc, &Desk) -> (u64, Option<Instant>),
) -> (Measure, String) {
    let desk = Desk::new();
    let before = Cpu::of_ended_children();
    let begun = Instant::now();
    let mut pgcdc = start_program(program, &desk, manifest);
    let (rows, last) = drained(&mut pgcdc, &desk);
    let peak_bytes = memory_bytes(pgcdc.pid(), "VmHWM");
    // Nobody needs what it still has to say.
    if let Some(mut rest) = pgcdc.take_stdout() {
        std::thread::spawn(move || std::io::copy(&mut rest, &mut std::io::sink()));
    }
    let exit = pgcdc.stop();
    assert!(last.is_some(), "pgcdc delivered nothing:\n{}", exit.stderr);
    let time = last.map_or(Duration::ZERO, |last| last - begun);
    let measure = Measure { rows, time, cpu: Cpu::of_ended_children().since(before), peak_bytes };
    (measure, exit.stderr)
}

fn to_stdout(backlog: &Backlog, slot: &str, transforms: &str) -> Measure {
    let manifest = manifest(&backlog.db.url(), slot, transforms, &[("out", "{ use: stdout }")]);
    timed(&manifest, |pgcdc, _| read_out(pgcdc, backlog.rows))
}

fn to_stdout_linked(backlog: &Backlog, slot: &str) -> Measure {
    let manifest = manifest(&backlog.db.url(), slot, DROP_COLUMNS, &[("out", "{ use: stdout }")]);
    let (measure, said) =
        timed_program(&program("pgcdc-linked"), &manifest, |pgcdc, _| read_out(pgcdc, backlog.rows));
    let called = said.contains("linked calls: ") && !said.contains("linked calls: 0 ");
    assert!(called, "the linked connectors were not called:\n{said}");
    measure
}

fn read_out(pgcdc: &mut Pgcdc, rows: u64) -> (u64, Option<Instant>) {
    let Some(mut pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    let counted = count(&mut pipe, rows);
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    (counted.lines, counted.last)
}

fn to_file(backlog: &Backlog, slot: &str) -> Measure {
    let sink = "{ use: file, config: { path: ./events.jsonl, max_size: 0 } }";
    timed(&manifest(&backlog.db.url(), slot, "", &[("log", sink)]), |_, desk| {
        let path = desk.path("events.jsonl");
        let mut file = poll::until("the file", || std::fs::File::open(&path).ok());
        let (mut lines, mut last) = (0, None);
        while lines < backlog.rows {
            let counted = poll::until("more in the file", || {
                Some(count(&mut file, backlog.rows)).filter(|counted| counted.bytes > 0)
            });
            (lines, last) = (lines + counted.lines, counted.last);
        }
        (lines, last)
    })
}

fn to_webhook(backlog: &Backlog, slot: &str, batched: bool) -> Measure {
    let sinkhole = Sinkhole::open();
    let (batch, rows) =
        if batched { (", batch: ndjson", backlog.rows) } else { ("", backlog.rows.min(SINGLE_POSTS_MAX)) };
    let sink = format!("{{ use: webhook, config: {{ url: \"{}\"{batch} }} }}", sinkhole.url());
    let mut measure = timed(&manifest(&backlog.db.url(), slot, "", &[("hook", &sink)]), |_, _| {
        let last = sinkhole.wait(rows);
        (rows, last)
    });
    // It went on until it was stopped, and those posts cost it, too.
    let posted = sinkhole.events();
    measure.cpu = measure.cpu.scaled(rows, posted);
    measure
}
