//! A run from its first row to its report: objects, lives, the finale, judgement, and everything removed again.
//!
//! Told to stop (SIGINT, SIGTERM), it judges what there is: points that were gathered count. Told so twice, it only removes what it made.

mod life;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::anomaly::{Anomaly, Name};
use super::checker;
use super::child;
use super::history::{Evidence, Fate, Transaction};
use super::inbox::{FILE, Inbox, STDOUT, WEBHOOK};
use super::objects::Objects;
use super::options::Options;
use super::plan::{Draw, Fault, Offer, Plan};
use super::points::Points;
use super::receiver::Receiver;
use super::report::Report;
use super::watch::Watch;
use super::writers::{self, Desk, Writer};
use crate::postgres::Params;

/// How long anything may take to happen; generous, because a busy machine is no failure.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Without a delivery for so long, and with everything confirmed, there will be no more.
const QUIET: Duration = Duration::from_secs(2);

/// Runs it. Returns the report, and the folder if it was kept.
pub(crate) async fn run(options: Options) -> Result<(Report, Option<PathBuf>), String> {
    let params = Params::parse(&options.db).map_err(|e| format!("--db: {e}"))?;
    options.points.as_deref().map(Points::read).transpose()?;
    let program = match &options.pgcdc {
        Some(path) => std::fs::canonicalize(path).map_err(|e| format!("--pgcdc {}: {e}", path.display()))?,
        None => std::env::current_exe().map_err(|e| format!("where this program is, is not known: {e}"))?,
    };
    let folder = tempfile::Builder::new().prefix("pgcdc-certify-").tempdir();
    let folder = folder.map_err(|e| format!("no temporary folder: {e}"))?;
    let objects = Objects::create(&params, &options.name).await?;
    let enough = Arc::new(AtomicBool::new(false));
    let proof = async {
        let mut proof = Proof::begin(&options, &params, &objects, program, &folder, &enough).await?;
        proof.lives(options.kills).await?;
        proof.finale().await
    };
    let found = tokio::select! {
        found = proof => found,
        told = told_twice(&enough) => told.and(Err("interrupted: nothing of this run counts".to_owned())),
    };
    let removed = objects.remove().await;
    let mut report = found?;
    removed?;
    if let Some(path) = &options.points {
        report.sum = Some(Points::add_to(path, &report.points)?);
    }
    let keep = options.keep || !report.anomalies.is_empty();
    Ok((report, keep.then(|| folder.keep())))
}

/// After the first signal no life begins any more; returns at the second.
async fn told_twice(enough: &AtomicBool) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|e| format!("signals cannot be listened to: {e}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    loop {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        if enough.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        eprintln!("no more crashes; judging what there is (once more, and nothing of it counts)");
    }
}

/// Everything that a run works with.
struct Proof<'a> {
    params: &'a Params,
    objects: &'a Objects,
    child: child::Desk,
    inbox: Arc<Inbox>,
    receiver: Receiver,
    desk: Arc<Desk>,
    writers: JoinSet<Vec<Transaction>>,
    /// Writer 0, for rows that the run itself asks for.
    marker: Writer,
    watch: Watch,
    plan: Plan,
    evidence: Evidence,
    anomalies: Vec<Anomaly>,
    points: Points,
    /// What ended the last life, if that was a crash.
    crashed: Option<String>,
    /// No life begins any more.
    enough: Arc<AtomicBool>,
    server_kill: Option<String>,
    seed: u64,
    stops: u64,
    name: String,
    began: Instant,
}

impl<'a> Proof<'a> {
    async fn begin(
        options: &Options,
        params: &'a Params,
        objects: &'a Objects,
        program: PathBuf,
        folder: &tempfile::TempDir,
        enough: &Arc<AtomicBool>,
    ) -> Result<Proof<'a>, String> {
        let seed = options.seed.unwrap_or_else(crate::random);
        let draw = Draw::new(seed);
        let inbox = Inbox::new();
        let receiver = Receiver::start(&inbox, &draw).await?;
        let child = child::Desk::new(program, folder.path(), &options.db, &options.name, &receiver.url())?;
        let mut points = Points { runs: 1, ..Points::default() };
        let mut offer = Offer { server: options.server_kill.is_some(), ..Offer::default() };
        if let Some(fault) = &options.fault {
            let read = Fault::read(fault).ok_or(format!("--fault {fault}: wanted: PLACE PASSAGES ACTION"))?;
            offer.ordered = Some(read);
        }
        offer.places = child.faults();
        offer.places.retain(|(place, _)| place.starts_with(&options.places));
        if options.syscalls {
            match child.syscalls() {
                Ok(syscalls) => offer.syscalls = syscalls,
                Err(why) => drop(points.skipped.insert(format!("system calls: {why}"), 1)),
            }
        }
        let desk = Desk::new();
        let evidence = Evidence { slot_start: objects.confirmed().await?, ..Evidence::default() };
        Ok(Proof {
            watch: Watch::start(params, &options.name, &inbox, child.file()),
            writers: writers::start(params, &options.name, options.writers, &draw, &desk),
            marker: Writer::new(params, &options.name, 0, &draw, &desk),
            plan: Plan::new(seed, offer),
            points,
            params,
            objects,
            child,
            inbox,
            receiver,
            desk,
            evidence,
            anomalies: Vec::new(),
            crashed: None,
            enough: Arc::clone(enough),
            server_kill: options.server_kill.clone(),
            seed,
            stops: 0,
            name: options.name.clone(),
            began: Instant::now(),
        })
    }

    /// Everything arrives, stops are clean, a clean restart repeats nothing, a moved slot is a halt; then judgement.
    async fn finale(mut self) -> Result<Report, String> {
        self.desk.open.send_replace(true);
        self.desk.stop.send_replace(true);
        let mut history = tokio::time::timeout(DEADLINE, std::mem::take(&mut self.writers).join_all())
            .await
            .map_err(|_| "the writers do not end: is the database there?".to_owned())?;
        self.receiver.behave();
        for _ in 0..2 {
            self.marker.mark().await;
            self.bring_all().await?;
            if !self.anomalies.is_empty() {
                break;
            }
        }
        self.watch.stop();
        self.evidence.samples = self.watch.samples();
        self.evidence.rows = self.objects.rows().await?;
        let (sinks, bad) = self.inbox.close();
        self.evidence.sinks = sinks;
        if self.anomalies.is_empty() {
            self.over_a_gap().await?;
        }
        history.push(self.marker.done());
        self.evidence.history = history;
        let verdict = checker::check(&self.evidence);
        let mut anomalies = self.anomalies;
        anomalies.extend(bad);
        anomalies.extend(verdict.anomalies);
        let mut points = self.points;
        points.repeated_inside = verdict.sinks.iter().map(|sink| sink.repeated_inside as u64).sum();
        points.repeated_outside = verdict.sinks.iter().map(|sink| sink.repeated_outside as u64).sum();
        for anomaly in &anomalies {
            *points.anomalies.entry(anomaly.name.as_str().to_owned()).or_default() += 1;
        }
        let done = self.evidence.history.iter().flatten();
        let committed = done.clone().filter(|transaction| transaction.fate == Fate::Committed);
        points.changes = committed.clone().map(|transaction| transaction.changes.len() as u64).sum();
        Ok(Report {
            seed: self.seed,
            took: self.began.elapsed(),
            transactions: done.count() as u64,
            committed: committed.clone().count() as u64,
            unknown: self.desk.unknown.load(Ordering::Relaxed),
            stops: self.stops,
            sinks: verdict.sinks,
            anomalies,
            points,
            sum: None,
        })
    }

    /// A life that brings all that there is, and is stopped.
    async fn bring_all(&mut self) -> Result<(), String> {
        let life = self.inbox.begin();
        let mut process = self.child.start(&self.inbox, None)?;
        let expected = self.desk.committed.load(Ordering::Relaxed) as usize;
        let goal = self.objects.wal_end().await?;
        let sinks = [STDOUT, FILE, WEBHOOK];
        let mut last = (0, Instant::now());
        loop {
            self.inbox.read_file(&self.child.file())?;
            let taken = sinks.map(|sink| self.inbox.distinct(sink));
            if taken.iter().all(|taken| *taken >= expected) {
                break;
            }
            let deliveries: usize = sinks.iter().map(|sink| self.inbox.len(*sink)).sum();
            if deliveries > last.0 {
                last = (deliveries, Instant::now());
            }
            if process.ended().is_some() {
                process.wait().await;
                self.stuck(life, "it ended by itself in the finale", &process);
                break;
            }
            // It says that all of it is done: what is missing never comes, and the checker names it.
            if last.1.elapsed() > QUIET && self.objects.confirmed().await? >= goal {
                break;
            }
            if last.1.elapsed() > DEADLINE {
                self.stuck(life, "not everything came in time", &process);
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        if process.ended().is_none() {
            self.stop(&mut process).await;
            self.stops += 1;
        }
        self.end_of_life(life, false).await
    }

    /// Somebody moves the slot while pgcdc is down: what lies between is lost, so it must halt, and deliver nothing.
    async fn over_a_gap(&mut self) -> Result<(), String> {
        let draw = Draw::new(self.seed);
        let mut writer = Writer::new(self.params, &self.name, -1, &draw, &self.desk);
        writer.mark().await;
        self.objects.advance().await?;
        writer.mark().await;
        let inbox = Inbox::new();
        inbox.begin();
        let mut process = self.child.start(&inbox, None)?;
        let deadline = Instant::now() + DEADLINE;
        while process.ended().is_none() && inbox.len(STDOUT) == 0 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let halted = process.ended().is_some_and(|status| !status.success());
        process.kill();
        process.wait().await;
        if !halted || inbox.len(STDOUT) > 0 {
            let what = "the slot was moved on while it was down, and it did not halt".to_owned();
            self.anomalies.push(Anomaly::new(Name::WentOn, "pgcdc", what));
        }
        Ok(())
    }
}
