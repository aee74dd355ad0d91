//! A run from its first row to its report: objects, lives, the finale, judgement, and everything removed again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::anomaly::{Anomaly, Name};
use super::checker;
use super::child::{self, Process};
use super::history::{Ending, Evidence, Fate, Transaction};
use super::inbox::{FILE, Inbox, STDOUT, WEBHOOK};
use super::objects::Objects;
use super::options::Options;
use super::plan::{Blow, Draw, How, Plan, When};
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
/// Changes that the sinks may be behind before the writers wait.
const BEHIND_MAX: u64 = 3_000;
/// The receiver of webhooks hangs for seconds, and nobody else is to wait for it.
const WEBHOOK_BEHIND_MAX: u64 = 30_000;

/// Runs it. Returns the report, and the folder if it was kept.
pub(crate) async fn run(options: Options) -> Result<(Report, Option<PathBuf>), String> {
    let params = Params::parse(&options.db).map_err(|e| format!("--db: {e}"))?;
    let sum = options.points.as_deref().map(Points::read).transpose()?;
    let program = match &options.pgcdc {
        Some(path) => std::fs::canonicalize(path).map_err(|e| format!("--pgcdc {}: {e}", path.display()))?,
        None => std::env::current_exe().map_err(|e| format!("where this program is, is not known: {e}"))?,
    };
    let folder = tempfile::Builder::new().prefix("pgcdc-certify-").tempdir();
    let folder = folder.map_err(|e| format!("no temporary folder: {e}"))?;
    let objects = Objects::create(&params, &options.name).await?;
    let proof = async {
        let mut proof = Proof::begin(&options, &params, &objects, program, &folder).await?;
        proof.lives(options.kills).await?;
        proof.finale().await
    };
    let found = tokio::select! {
        found = proof => found,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    let removed = objects.remove().await;
    let mut report = found?;
    removed?;
    if let (Some(path), Some(mut sum)) = (&options.points, sum) {
        sum.add(&report.points);
        sum.write(path)?;
        report.sum = Some(sum);
    }
    let keep = options.keep || !report.anomalies.is_empty();
    Ok((report, keep.then(|| folder.keep())))
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
    /// The last life was ended by a crash.
    crashed: bool,
    seed: u64,
    stops: u64,
    name: String,
    began: Instant,
}

/// Why waiting for a moment of a life ended.
enum Moment {
    Come,
    Ended,
    /// Nothing came in time.
    Stuck,
}

impl<'a> Proof<'a> {
    async fn begin(
        options: &Options,
        params: &'a Params,
        objects: &'a Objects,
        program: PathBuf,
        folder: &tempfile::TempDir,
    ) -> Result<Proof<'a>, String> {
        let seed = options.seed.unwrap_or_else(crate::random);
        let draw = Draw::new(seed);
        let inbox = Inbox::new();
        let receiver = Receiver::start(&inbox, &draw).await?;
        let child = child::Desk::new(program, folder.path(), &options.db, &options.name, &receiver.url())?;
        let mut faults = child.faults();
        faults.retain(|(place, _)| place.starts_with(&options.places));
        let desk = Desk::new();
        let evidence = Evidence { slot_start: objects.confirmed().await?, ..Evidence::default() };
        Ok(Proof {
            watch: Watch::start(params, &options.name, &inbox, child.file()),
            writers: writers::start(params, &options.name, options.writers, &draw, &desk),
            marker: Writer::new(params, &options.name, 0, &draw, &desk),
            plan: Plan::new(seed, faults),
            points: Points { runs: 1, ..Points::default() },
            params,
            objects,
            child,
            inbox,
            receiver,
            desk,
            evidence,
            anomalies: Vec::new(),
            crashed: false,
            seed,
            stops: 0,
            name: options.name.clone(),
            began: Instant::now(),
        })
    }

    /// One life after the other, until it has crashed so often. An anomaly that keeps it from going on ends this.
    async fn lives(&mut self, crashes: u32) -> Result<(), String> {
        while self.points.total() < u64::from(crashes) && self.anomalies.is_empty() {
            let blow = self.plan.next();
            self.life(&blow).await?;
        }
        Ok(())
    }

    async fn life(&mut self, blow: &Blow) -> Result<(), String> {
        let life = self.inbox.begin();
        let mut process = self.child.start(&self.inbox, blow.fault.as_ref())?;
        let moment = self.moment(&mut process, blow.when).await;
        let cause = blow.fault.as_ref().map(|fault| format!("{} {}", fault.point, fault.action));
        match moment {
            Moment::Come => self.strike(&mut process, blow).await,
            // A fault that was to end it, or that it gave up on; the next life shows whether all is well.
            Moment::Ended if cause.is_some() => drop(process.wait().await),
            Moment::Ended => {
                let status = process.wait().await;
                self.stuck(life, &format!("it ended by itself ({status:?})"), &process);
            }
            Moment::Stuck => {
                process.kill();
                process.wait().await;
                self.stuck(life, "nothing new came in time", &process);
            }
        }
        if self.crashed {
            let took = self.inbox.fresh_at().map(|fresh| fresh.saturating_duration_since(process.started));
            self.points.recovery_ms.extend(took.map(|took| took.as_millis() as u64));
        }
        self.crashed = !matches!((blow.how, &blow.fault), (How::Stop, None));
        if self.crashed {
            *self.points.crashes.entry(cause.unwrap_or_else(|| "kill".to_owned())).or_default() += 1;
        } else {
            self.stops += 1;
        }
        self.end_of_life(life, blow.fault.as_ref().is_some_and(|fault| fault.action != "exit")).await
    }

    fn stuck(&mut self, life: u32, what: &str, process: &Process) {
        let log = process.log();
        let log: Vec<&str> = log.lines().rev().take(6).collect();
        let log: Vec<&str> = log.into_iter().rev().collect();
        let what = format!("life {life}: {what}; its log ends: {}", log.join(" | "));
        self.anomalies.push(Anomaly::new(Name::Stuck, "pgcdc", what));
    }

    async fn strike(&mut self, process: &mut Process, blow: &Blow) {
        match blow.how {
            How::Kill => process.kill(),
            How::StopThenKill(after_ms) => {
                process.terminate();
                sleep(Duration::from_millis(after_ms)).await;
                process.kill();
            }
            How::Stop if blow.fault.is_some() => process.kill(),
            How::Stop => return self.stop(process).await,
        }
        process.wait().await;
    }

    /// A clean stop: exit 0.
    async fn stop(&mut self, process: &mut Process) {
        process.terminate();
        let status = process.wait().await;
        if !status.is_some_and(|status| status.success()) {
            let what = format!("SIGTERM ended it with {status:?}; its log ends: {}", process.log());
            self.anomalies.push(Anomaly::new(Name::BadStop, "pgcdc", what));
        }
    }

    /// Waits for the moment of the blow; writers are held back meanwhile if the sinks are far behind.
    async fn moment(&mut self, process: &mut Process, when: When) -> Moment {
        let deadline = process.started + DEADLINE;
        loop {
            self.gate();
            let (since, after_ms) = match when {
                When::AfterStart(ms) => (Some(process.started), ms),
                When::AfterFirst(ms) => (self.inbox.fresh_at(), ms),
            };
            if process.ended().is_some() {
                return Moment::Ended;
            }
            match since.map(|since| {
                (since + Duration::from_millis(after_ms)).saturating_duration_since(Instant::now())
            }) {
                Some(left) if left.is_zero() => return Moment::Come,
                Some(left) => sleep(left.min(LOOK_EVERY)).await,
                None if Instant::now() > deadline => return Moment::Stuck,
                None => drop(tokio::time::timeout(LOOK_EVERY, self.inbox.came.notified()).await),
            }
        }
    }

    fn gate(&self) {
        let committed = self.desk.committed.load(Ordering::Relaxed);
        let behind = |sink| committed.saturating_sub(self.inbox.distinct(sink) as u64);
        let open = [STDOUT, FILE].into_iter().all(|sink| behind(sink) < BEHIND_MAX)
            && behind(WEBHOOK) < WEBHOOK_BEHIND_MAX;
        self.desk.open.send_if_modified(|was| std::mem::replace(was, open) != open);
    }

    /// The process is gone: reads everything that it has left behind.
    async fn end_of_life(&mut self, life: u32, errors: bool) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        while self.receiver.connections() > 0 {
            if Instant::now() > deadline {
                return Err("certify's receiver still has connections of a process that is gone".into());
            }
            sleep(LOOK_EVERY).await;
        }
        self.inbox.read_file(&self.child.file())?;
        let ending = match self.child.stored() {
            Ok(ending) => ending,
            Err(error) => {
                self.anomalies.push(Anomaly::new(Name::Unreadable, "state", format!("life {life}: {error}")));
                Ending::default()
            }
        };
        let confirmed = self.objects.confirmed().await?;
        self.evidence.endings.push(Ending { confirmed, errors, ..ending });
        Ok(())
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
        points.recovery_ms.sort_unstable();
        points.repeated_inside = verdict.sinks.iter().map(|sink| sink.repeated_inside as u64).sum();
        points.repeated_outside = verdict.sinks.iter().map(|sink| sink.repeated_outside as u64).sum();
        for anomaly in &anomalies {
            *points.anomalies.entry(anomaly.name.as_str().to_owned()).or_default() += 1;
        }
        let done = self.evidence.history.iter().flatten();
        let committed = done.clone().filter(|transaction| transaction.fate == Fate::Committed);
        Ok(Report {
            seed: self.seed,
            took: self.began.elapsed(),
            transactions: done.count() as u64,
            committed: committed.clone().count() as u64,
            unknown: self.desk.unknown.load(Ordering::Relaxed),
            changes: committed.map(|transaction| transaction.changes.len() as u64).sum(),
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
