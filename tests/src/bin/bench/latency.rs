//! From the answer to a COMMIT, as its writer sees it, to the event in a pipe, at 1,000 transactions a second.
//!
//! Every row carries a marker that is found in raw pgoutput and in JSON alike, by the same reader.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::usage::Cpu;

use crate::backlog::{Backlog, PUBLICATION};
use crate::contender::{manifest, recvlogical_command, start};
use crate::options::Options;
use crate::report::Report;

const INTERVAL: Duration = Duration::from_millis(1);
/// How long after the last commit an event may still come.
const PATIENCE: Duration = Duration::from_secs(20);
const MARK: &[u8] = b"mark-";
const DIGITS: usize = 8;
/// The first second is not counted: caches, and the writer's first plan.
pub(crate) const WARM_UP: usize = 1_000;

/// What came of one run.
pub(crate) struct Race {
    /// Of every transaction after the warm-up.
    pub(crate) latencies_ms: Vec<f64>,
    /// How many events had not come when waiting ended; they count as that late.
    pub(crate) missing: usize,
}

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let db = Database::create_in(Backlog::server(), "latency");
    db.execute(&format!(
        "create table marks (mark text primary key); create publication {PUBLICATION} for all tables"
    ));
    let transactions = usize::try_from(options.latency_seconds).unwrap_or(1) * 1_000 + WARM_UP;
    for round in 0..options.rounds {
        for ours in [false, true] {
            let slot = format!("latency_{round}_{ours}");
            db.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
            let before = Cpu::of_ended_children();
            let race = if ours {
                pgcdc(&db, &slot, transactions, &[("out", "{ use: stdout }")])
            } else {
                recvlogical(&db, &slot, transactions)
            };
            let cpu = Cpu::of_ended_children().since(before);
            let name = if ours { "stdout" } else { "pg_recvlogical" };
            assert_eq!(race.missing, 0, "{name} did not deliver everything");
            add(report, name, race.latencies_ms);
            let per_million = 1e6 / f64::from(u32::try_from(transactions).unwrap_or(u32::MAX));
            report.push(name, "latency_cpu_s_per_million", cpu.seconds() * per_million);
            forget(&db, &slot);
        }
    }
}

/// Removes the slot and the rows, so that no later run pays for them.
pub(crate) fn forget(db: &Database, slot: &str) {
    let free = format!("select 'free' from pg_replication_slots where slot_name = '{slot}' and not active");
    poll::until("a slot to be free", || db.text(&free));
    db.execute(&format!("select pg_drop_replication_slot('{slot}')"));
    db.execute("truncate marks");
}

pub(crate) fn add(report: &mut Report, name: &str, mut latencies_ms: Vec<f64>) {
    latencies_ms.sort_by(f64::total_cmp);
    let at =
        |share: usize| latencies_ms.get((latencies_ms.len() - 1) * share / 100).copied().unwrap_or(f64::NAN);
    eprintln!("{name}: p50 {:.3} ms, p99 {:.3} ms", at(50), at(99));
    report.push(name, "latency_p50_ms", at(50));
    report.push(name, "latency_p99_ms", at(99));
}

fn recvlogical(db: &Database, slot: &str, transactions: usize) -> Race {
    let mut process = recvlogical_command(db.cluster().bin(), &db.url(), slot)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start pg_recvlogical: {error}"));
    let Some(pipe) = process.stdout.take() else { panic!("stdout was piped") };
    let race = race(db, pipe, process.id(), transactions);
    let _ = process.kill();
    let _ = process.wait();
    race
}

/// The sink `out` is the standard output, whatever others there are.
pub(crate) fn pgcdc(db: &Database, slot: &str, transactions: usize, sinks: &[(&str, &str)]) -> Race {
    let desk = Desk::new();
    let mut pgcdc = start(&desk, &manifest(&db.url(), slot, "", sinks));
    let Some(pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    let race = race(db, pipe, pgcdc.pid(), transactions);
    pgcdc.kill();
    race
}

/// Writes at a steady pace and reads along. What has not come long after the last was written never will: then the
/// process at the other end of the pipe is killed.
fn race(db: &Database, pipe: impl Read + Send, pid: u32, transactions: usize) -> Race {
    db.wait_streaming();
    let (committed, arrived) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(pipe, transactions));
        let committed = write(db, transactions);
        let end = Instant::now() + PATIENCE;
        while !reader.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(pid) = i32::try_from(pid).ok().filter(|_| !reader.is_finished()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        (committed, reader.join().unwrap_or_else(|_| panic!("the reader failed")))
    });
    let now = Instant::now();
    let pairs = committed.iter().zip(&arrived).skip(WARM_UP);
    let latencies = pairs.map(|(committed, arrived)| milliseconds(*committed, arrived.unwrap_or(now)));
    Race {
        latencies_ms: latencies.collect(),
        missing: arrived.iter().filter(|arrived| arrived.is_none()).count(),
    }
}

/// Negative if the event was faster than the writer's own answer.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(time) => time.as_secs_f64() * 1e3,
        None => -(from - to).as_secs_f64() * 1e3,
    }
}

fn write(db: &Database, transactions: usize) -> Vec<Instant> {
    let mut client = db.connect();
    let insert = client.prepare("insert into marks values ($1)").unwrap_or_else(|error| panic!("{error:?}"));
    let mut committed = Vec::with_capacity(transactions);
    let mut due = Instant::now();
    for number in 0..transactions {
        due += INTERVAL;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        let mark = format!("mark-{number:0DIGITS$}");
        client.execute(&insert, &[&mark]).unwrap_or_else(|error| panic!("{error:?}"));
        committed.push(Instant::now());
    }
    committed
}

/// When each marker was seen for the first time.
fn read(mut pipe: impl Read, transactions: usize) -> Vec<Option<Instant>> {
    let mut arrived = vec![None; transactions];
    let mut missing = transactions;
    let (mut buffer, mut kept) = (vec![0; 256 * 1024], 0);
    while missing > 0 {
        let Ok(length @ 1..) = pipe.read(&mut buffer[kept..]) else { break };
        let now = Instant::now();
        let filled = &buffer[..kept + length];
        for at in memchr_marks(filled) {
            let digits = filled.get(at + MARK.len()..at + MARK.len() + DIGITS);
            let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
            if let Some(slot @ None) = number.and_then(|number| arrived.get_mut(number)) {
                *slot = Some(now);
                missing -= 1;
            }
        }
        // A marker may be cut by the end of what was read.
        let tail = filled.len().min(MARK.len() + DIGITS - 1);
        let from = filled.len() - tail;
        buffer.copy_within(from..from + tail, 0);
        kept = tail;
    }
    arrived
}

fn memchr_marks(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let last = bytes.len().saturating_sub(MARK.len() - 1);
    (0..last).filter(|at| bytes[*at] == MARK[0] && bytes[*at..].starts_with(MARK))
}
