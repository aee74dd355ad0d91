//! The loop of one source: an instance, its batches in order to the bus, and another instance after a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use pgcdc_core::backoff::{self, Backoff, WAIT_MIN};
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::error::{Action, Kind};
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::owed::Owed;
use tokio::sync::watch;

use super::living::Facts;
use super::{Living, Origin, Part, SourceLink, pressure};
use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::batch::Batch;
use crate::bus::Fanout;
use crate::component::instance::{Blueprint, Failure, Instance};

/// While an outage is young, nothing is waited for longer: a server, and a slot that is another's.
const SERVER_AGAIN: Duration = Duration::from_secs(1);
const SLOT_AGAIN: Duration = Duration::from_millis(200);

/// A source and everything that its loop needs.
pub(crate) struct Runner {
    pub(crate) blueprint: Blueprint,
    pub(crate) config: String,
    pub(crate) link: Arc<SourceLink>,
    pub(crate) fanout: Fanout,
    pub(crate) acks: Arc<Acks>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) backoff: backoff::Settings,
    pub(crate) stop: watch::Receiver<bool>,
    /// The living instance, for the checkpointer to tell what is settled.
    pub(crate) living: watch::Sender<Option<Living>>,
}

/// Why the loop of one instance ended.
enum End {
    /// Told to stop, or the source has no more.
    Done,
    Failed(Failure),
}

impl Runner {
    /// Runs until told to stop. The error is permanent: what happened, and the way out.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let mut backoff = Backoff::new(self.backoff);
        let mut away_since = Instant::now();
        let mut instances = 0;
        // The highest key that the bus has got: after a reconnect the WAL is read again from further back.
        let mut reached = OrderKey::EMPTY;
        let mut reported = Reported::default();
        loop {
            let began = Instant::now();
            let failure = match self.live(instances, &mut reached).await {
                End::Done => return Ok(()),
                End::Failed(failure) => failure,
            };
            instances += 1;
            self.living.send_replace(None);
            self.metrics.source_up(&self.link.name, false);
            let longest = waits(&failure).filter(|_| self.link.waits_its_turn());
            if longest.is_none() {
                self.metrics.source_failed(&self.link.name);
            }
            let next_step = self.judge(&failure)?;
            let wait = backoff.failed(began.elapsed(), crate::random());
            if backoff.attempt() == 1 {
                away_since = Instant::now();
            }
            // The slot of a reader that has just died is free in a moment.
            let least = if longest.is_some() { SLOT_AGAIN } else { SERVER_AGAIN };
            let mut wait = backoff::within(wait, away_since.elapsed(), least);
            if let Some(longest) = longest {
                wait = wait.min(longest.max(WAIT_MIN));
                self.link.status.stands_by();
                if reported.is_due(&failure) {
                    tracing::info!(detector = &*self.link.name, reason = %failure, next_step, "source waits for its turn");
                }
            } else {
                tracing::warn!(detector = &*self.link.name, error = %failure, retry_in_ms = wait.as_millis() as u64, next_step, "source failed, trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// Permanent failures stop the source; the others are worth another try.
    fn judge(&self, failure: &Failure) -> Result<String, String> {
        let (message, policy, step, reason) = match failure {
            Failure::Refused(error) => {
                let policy = Kind::from_code(&error.code).policy();
                let told = |what: &str| {
                    error.context.iter().find(|(key, _)| key == what).map(|(_, told)| told.clone())
                };
                (error.message.clone(), policy, told("next-step"), told("reason"))
            }
            Failure::Dead(reason) => (reason.to_string(), Kind::Unavailable.policy(), None, None),
        };
        let step = step.unwrap_or_else(|| policy.next_step.to_string());
        let halts = policy.action != Action::Retry;
        self.link.status.failed_for(&message, &step, reason.as_deref(), halts);
        match reason {
            _ if !halts => Ok(step),
            Some(reason) => Err(format!("{reason}: {message}; {step}")),
            None => Err(format!("{message}; {step}")),
        }
    }

    async fn live(&mut self, number: u32, reached: &mut OrderKey) -> End {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => End::Done,
            end = self.read(number, reached) => end,
        }
    }

    async fn read(&mut self, number: u32, reached: &mut OrderKey) -> End {
        let (instance, facts) = match self.open(number).await {
            Ok((instance, facts)) => (Arc::new(instance), facts),
            Err(failure) => return End::Failed(failure),
        };
        self.living.send_replace(Some(Living::new(Arc::clone(&instance), self.acks.delivered())));
        self.link.status.up();
        self.metrics.source_up(&self.link.name, true);
        let mut expected: Option<(u64, u64)> = None;
        if self.link.take_moved() {
            self.acks.remember(&marks(&self.link));
            self.fanout.remember();
        }
        loop {
            pressure::hold(&self.link, &self.acks, &self.metrics).await;
            let batches = match instance.next().await {
                Ok(batches) => batches,
                Err(Failure::Refused(error)) if error.code == "end" => return End::Done,
                Err(failure) => return End::Failed(failure),
            };
            self.link.status.up();
            self.metrics.source_up(&self.link.name, true);
            if batches.is_empty() {
                tokio::time::sleep(facts.pause()).await;
            }
            for batch in batches {
                if let Err(reason) = self.hand_on(batch, &mut expected, reached).await {
                    return End::Failed(Failure::Dead(reason.into()));
                }
            }
        }
    }

    async fn open(&self, number: u32) -> Result<(Instance, Facts), Failure> {
        let instance = Instance::start(&self.blueprint).await?;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let strands = self.link.checkpoint().map(|checkpoint| checkpoint.strands).unwrap_or_default();
        let resume = strands
            .iter()
            .map(|(strand, at)| serde_json::json!({ "strand": strand, "token": encode(&at.resume) }));
        let context = serde_json::json!({
            "kind": "source",
            "name": &*self.link.name,
            "instance": number,
            "resume": resume.collect::<Vec<_>>(),
        });
        let facts = instance.open(self.config.clone(), context.to_string()).await?;
        let facts = Facts::parse(&facts).map_err(|e| Failure::Dead(e.into()))?;
        Ok((instance, facts))
    }

    /// One batch to the bus, without what the bus has had already. The error is the guest's fault.
    async fn hand_on(
        &mut self,
        batch: Arc<Batch>,
        expected: &mut Option<(u64, u64)>,
        reached: &mut OrderKey,
    ) -> Result<(), String> {
        let Some(origin) = batch.origin() else {
            self.see(&batch);
            return self
                .fanout
                .send(batch, OrderKey::EMPTY, OrderKey::EMPTY)
                .await
                .map_err(|e| e.to_string());
        };
        let (session, number, first, last) = (origin.session, origin.number, origin.first, origin.last);
        let due = expected.filter(|(of, _)| *of == session).map_or(0, |(_, due)| due);
        if number != due {
            return Err(format!("batch {number} of its session was handed on where batch {due} was due"));
        }
        *expected = Some((session, number + 1));
        let number = match &origin.part {
            Part::Wal(number) => *number,
            Part::Strand(_) => return self.hand_on_strand(batch).await,
        };
        // A temporary slot begins after all that was read before, and on a server that took over its positions may be lower.
        if number == 0 && self.link.wal().is_some_and(|wal| wal.temporary) {
            *reached = OrderKey::EMPTY;
        }
        let had = LaneMark::at(*reached);
        let fresh = match had.owed(&first, &last) {
            Owed::Nothing => None,
            Owed::Part => batch.without(&had).map_err(|e| e.to_string())?.map(Arc::new),
            Owed::All | Owed::AllFromHere => Some(batch),
        };
        *reached = last.max(*reached);
        if let Some(fresh) = fresh {
            self.see(&fresh);
            self.fanout.send(fresh, first, last).await.map_err(|e| e.to_string())?;
        }
        self.link.handed_on(session, number, self.acks.delivered(), *reached);
        Ok(())
    }

    /// Rows of a snapshot, or how far it is. What a crash left unread comes with other keys, so nothing of it was there before.
    async fn hand_on_strand(&mut self, batch: Arc<Batch>) -> Result<(), String> {
        let Some(Origin { part: Part::Strand(strand), first, last, refused, .. }) = batch.origin() else {
            return Ok(());
        };
        let rows = u64::from(batch.events()) + refused.len() as u64;
        if rows > 0 {
            self.metrics.snapshot.rows(rows);
            let sent = self.fanout.send_in(&strand.name, Arc::clone(&batch), *first, *last).await;
            sent.map_err(|e| e.to_string())?;
        }
        if !strand.token.is_empty() {
            self.link.strand_handed_on(self.acks.delivered(), &strand.name, &strand.token);
        }
        if let Some(took) = strand.took {
            self.metrics.snapshot.ended(took);
            let took_ms = took.as_millis() as u64;
            tracing::info!(detector = &*self.link.name, took_ms, "snapshot read");
        }
        Ok(())
    }

    fn see(&self, batch: &Batch) {
        if let Some(age_s) = batch.age_s() {
            self.metrics.source_lag(&self.link.name, age_s);
            self.link.status.received(age_s);
        }
    }
}

/// What a failure says of the next try; while the slot is another's, the longest wait before it.
fn waits(failure: &Failure) -> Option<Duration> {
    match failure {
        Failure::Refused(error) => error.retry_after_ms.map(Duration::from_millis),
        Failure::Dead(_) => None,
    }
}

/// The same reason to wait is told again after this long.
const SAME_AGAIN: Duration = Duration::from_secs(60);

/// The last reason to wait that was told, and when.
#[derive(Default)]
struct Reported(Option<(Instant, String)>);

impl Reported {
    fn is_due(&mut self, failure: &Failure) -> bool {
        let said = failure.to_string();
        if self.0.as_ref().is_some_and(|(at, last)| at.elapsed() < SAME_AGAIN && *last == said) {
            return false;
        }
        self.0 = Some((Instant::now(), said));
        true
    }
}

/// What each lane had done before, by name; of the strand that the WAL is.
pub(crate) fn marks(link: &SourceLink) -> BTreeMap<String, LaneMark> {
    link.checkpoint()
        .and_then(|mut checkpoint| checkpoint.strands.remove(""))
        .map(|strand| strand.lanes)
        .unwrap_or_default()
}
