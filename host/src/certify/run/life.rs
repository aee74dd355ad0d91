//! One life of the process under test: it starts, something happens to it, and what it has left behind is read.
//!
//! Invariants. A life counts as a crash under the name of what has really ended it: a fault that did not strike in time is a
//! kill. A process that was to be killed and ended otherwise is an anomaly.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pgcdc_core::lsn::Lsn;
use rustix::process::Signal;
use tokio::time::sleep;

use super::super::anomaly::{Anomaly, Name};
use super::super::child::Process;
use super::super::history::Ending;
use super::super::inbox::{FILE, STDOUT, WEBHOOK};
use super::super::plan::{Blow, Bound, Fault, How, When};
use super::{DEADLINE, LOOK_EVERY, Proof};

/// Changes that the sinks may be behind before the writers wait.
const BEHIND_MAX: u64 = 3_000;
/// The receiver of webhooks hangs for seconds, and nobody else is to wait for it.
const WEBHOOK_BEHIND_MAX: u64 = 30_000;
/// While the writers wait, a row comes so often all the same: whoever is back has something new to deliver.
const MARK_EVERY: Duration = Duration::from_millis(50);

/// Why waiting for a moment of a life ended.
enum Moment {
    Come,
    Ended(ExitStatus),
    /// Nothing came in time.
    Stuck(&'static str),
}

impl Proof<'_> {
    /// One life after the other, until it has crashed so often. An anomaly that keeps it from going on ends this.
    pub(super) async fn lives(&mut self, crashes: u32) -> Result<(), String> {
        while self.points.total() < u64::from(crashes)
            && self.anomalies.is_empty()
            && !self.enough.load(Ordering::Acquire)
        {
            let blow = self.plan.next();
            self.life(&blow).await?;
        }
        Ok(())
    }

    async fn life(&mut self, blow: &Blow) -> Result<(), String> {
        let life = self.inbox.begin();
        let mut process = self.child.start(&self.inbox, blow.fault.as_ref())?;
        let mut moment = Moment::Come;
        if let Some(after_ms) = blow.server {
            moment = self.moment(&mut process, When::AfterFirst(after_ms)).await?;
            if matches!(moment, Moment::Come) {
                moment = self.crash_server(&mut process).await?;
            }
        }
        if matches!(moment, Moment::Come) {
            moment = self.moment(&mut process, blow.when).await?;
        }
        let ended_by = match moment {
            Moment::Come => self.strike(&mut process, blow).await,
            Moment::Ended(status) => self.ended(life, &mut process, blow.fault.as_ref(), status).await,
            Moment::Stuck(what) => {
                process.kill();
                process.wait().await;
                self.stuck(life, what, &process);
                Some("kill".to_owned())
            }
        };
        self.recovered(&process, blow.fault.as_ref());
        match &ended_by {
            Some(what) => self.points.crashed(what),
            None => self.stops += 1,
        }
        self.crashed = ended_by;
        let errors = blow.fault.as_ref().is_some_and(|fault| !fault.is_end());
        self.end_of_life(life, errors).await
    }

    /// It ended before anybody ended it.
    async fn ended(
        &mut self,
        life: u32,
        process: &mut Process,
        fault: Option<&Fault>,
        status: ExitStatus,
    ) -> Option<String> {
        process.wait().await;
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        match fault {
            Some(fault) if fault.is_end() && killed => {}
            // An error that it gave up on; the next life shows whether all is well.
            Some(fault) if fault.action == "error" && process.struck() => {}
            _ => self.stuck(life, &format!("it ended by itself ({status})"), process),
        }
        fault.map(Fault::to_string)
    }

    /// How long it took after a crash until something new came.
    fn recovered(&mut self, process: &Process, fault: Option<&Fault>) {
        let (Some(crash), Some(fresh)) = (&self.crashed, self.inbox.fresh_at()) else { return };
        let took = fresh.saturating_duration_since(process.started);
        let own = fault.filter(|fault| !fault.is_end() && process.struck());
        let own = own.map(|fault| format!(", with {fault} in its way")).unwrap_or_default();
        let took_ms = took.as_millis() as u64;
        self.points.recovered(took_ms, format!("{crash}{own}"));
    }

    pub(super) fn stuck(&mut self, life: u32, what: &str, process: &Process) {
        let log = process.log();
        let log: Vec<&str> = log.lines().rev().take(6).collect();
        let log: Vec<&str> = log.into_iter().rev().collect();
        let what = format!("life {life}: {what}; its log ends: {}", log.join(" | "));
        self.anomalies.push(Anomaly::new(Name::Stuck, "pgcdc", what));
    }

    /// What has ended it; none if it was a clean stop.
    async fn strike(&mut self, process: &mut Process, blow: &Blow) -> Option<String> {
        let mut name = match blow.when {
            When::AfterStart(_) => "kill while it starts",
            _ => "kill",
        };
        match blow.how {
            How::StopThenKill(after_ms) => {
                process.terminate();
                sleep(Duration::from_millis(after_ms)).await;
                process.kill();
                name = "kill while it stops";
            }
            How::Stop if blow.fault.is_none() => {
                self.stop(process).await;
                return None;
            }
            How::Kill | How::Stop => process.kill(),
        }
        process.wait().await;
        let struck = blow.fault.as_ref().filter(|_| process.struck());
        Some(struck.map_or_else(|| name.to_owned(), |fault| format!("{fault}, then kill")))
    }

    /// A clean stop: exit 0.
    pub(super) async fn stop(&mut self, process: &mut Process) {
        process.terminate();
        let status = process.wait().await;
        if !status.is_some_and(|status| status.success()) {
            let what = format!("SIGTERM ended it with {status:?}; its log ends: {}", process.log());
            self.anomalies.push(Anomaly::new(Name::BadStop, "pgcdc", what));
        }
    }

    /// Waits for the moment of the blow; writers are held back meanwhile if the sinks are far behind.
    async fn moment(&mut self, process: &mut Process, when: When) -> Result<Moment, String> {
        let deadline = process.started + DEADLINE;
        let mut marked = process.started;
        let mut bound = None;
        loop {
            if !self.gate() && self.inbox.fresh_at().is_none() && marked.elapsed() >= MARK_EVERY {
                self.marker.mark().await;
                marked = Instant::now();
            }
            if let Some(status) = process.ended() {
                return Ok(Moment::Ended(status));
            }
            if let (When::ToldTooMuch(of), None, true) = (when, bound, process.struck()) {
                bound = Some(match of {
                    Bound::Stored => self.stored(),
                    Bound::Written => self.objects.wal_end().await?,
                });
            }
            let (since, after_ms) = match when {
                When::AfterStart(ms) => (Some(process.started), ms),
                When::AfterFirst(ms) => (self.inbox.fresh_at(), ms),
                When::ByItself => (None, 0),
                When::ToldTooMuch(_) => match bound {
                    Some(bound) if self.objects.confirmed().await? > bound => (Some(process.started), 0),
                    _ => (None, 0),
                },
            };
            let left = since.map(|since| {
                (since + Duration::from_millis(after_ms)).saturating_duration_since(Instant::now())
            });
            match left {
                Some(left) if left.is_zero() => return Ok(Moment::Come),
                Some(left) => sleep(left.min(LOOK_EVERY)).await,
                None if Instant::now() > deadline => {
                    let new = matches!(when, When::AfterFirst(_));
                    let what =
                        if new { "nothing new came in time" } else { "its fault did not strike in time" };
                    return Ok(Moment::Stuck(what));
                }
                None => drop(tokio::time::timeout(LOOK_EVERY, self.inbox.came.notified()).await),
            }
        }
    }

    /// What was stored when the last life had ended.
    fn stored(&self) -> Lsn {
        self.evidence.endings.last().and_then(|ending| ending.resume).unwrap_or(self.evidence.slot_start)
    }

    /// The server is killed, and comes back; pgcdc finds it again by itself. From its first answer on that is measured.
    async fn crash_server(&mut self, process: &mut Process) -> Result<Moment, String> {
        let Some(command) = &self.server_kill else { return Ok(Moment::Come) };
        let told = std::process::Command::new("sh").args(["-c", command]).status();
        if !told.as_ref().is_ok_and(ExitStatus::success) {
            return Err(format!("`{command}` has failed: {told:?}"));
        }
        let goal = self.objects.back().await?;
        let answers = Instant::now();
        self.inbox.await_beyond(goal);
        loop {
            if !self.gate() {
                self.marker.mark().await;
            }
            if let Some(status) = process.ended() {
                return Ok(Moment::Ended(status));
            }
            if let Some(came) = self.inbox.beyond_at() {
                let what = "PostgreSQL killed";
                self.points.crashed(what);
                self.points
                    .recovered(came.saturating_duration_since(answers).as_millis() as u64, what.to_owned());
                return Ok(Moment::Come);
            }
            if answers.elapsed() > DEADLINE {
                return Ok(Moment::Stuck("nothing new came after PostgreSQL was back"));
            }
            drop(tokio::time::timeout(LOOK_EVERY, self.inbox.came.notified()).await);
        }
    }

    /// Whether the writers may write.
    fn gate(&self) -> bool {
        let committed = self.desk.committed.load(Ordering::Relaxed);
        let behind = |sink| committed.saturating_sub(self.inbox.distinct(sink) as u64);
        let open = [STDOUT, FILE].into_iter().all(|sink| behind(sink) < BEHIND_MAX)
            && behind(WEBHOOK) < WEBHOOK_BEHIND_MAX;
        self.desk.open.send_if_modified(|was| std::mem::replace(was, open) != open);
        open
    }

    /// The process is gone: reads everything that it has left behind.
    pub(super) async fn end_of_life(&mut self, life: u32, errors: bool) -> Result<(), String> {
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
}
