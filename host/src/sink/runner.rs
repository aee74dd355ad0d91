//! The loop of one lane; the only `select!` of this room.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgcdc_core::backoff::Backoff;
use pgcdc_core::error::Kind;

use super::held::Held;
use super::line::{Line, Work};
use super::verdict::{Verdict, judge};
use super::{Facts, Lane, Opened};
use crate::batch::Batch;
use crate::bus::{Delivery, Queue};
use crate::component::instance::{Failure, Instance};
use crate::component::v1::WireError;
use crate::component::v1::calls::Outcome;
use crate::dlq::{Refusal, What};

/// A write that has come back.
struct Back {
    ticket: u64,
    sequence: u64,
    began: Instant,
    answer: Result<Outcome, Failure>,
}

type Writing = Pin<Box<dyn Future<Output = Back> + Send>>;

/// The same failure is logged again after this long.
const SAME_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Runner {
    lane: Lane,
    instance: Arc<Instance>,
    /// Instances so far.
    instances: u32,
    alive: bool,
    facts: Facts,
    line: Line,
    held: Held,
    writing: FuturesUnordered<Writing>,
    sequence: u64,
    backoff: Backoff,
    /// Since when deliveries succeed.
    healthy_since: Option<Instant>,
    wait_at_least: Duration,
    /// Why the last instance ended.
    last_death: String,
    /// The last failure that was logged, and when.
    reported: Option<(Instant, String)>,
}

impl Runner {
    pub(super) fn new(opened: Opened) -> Runner {
        let backoff = Backoff::new(opened.lane.policy.backoff);
        Runner {
            lane: opened.lane,
            instance: Arc::new(opened.instance),
            instances: 1,
            alive: true,
            facts: opened.facts,
            line: Line::default(),
            held: Held::default(),
            writing: FuturesUnordered::new(),
            sequence: 0,
            backoff,
            healthy_since: None,
            wait_at_least: Duration::ZERO,
            last_death: String::new(),
            reported: None,
        }
    }

    pub(super) async fn run(mut self, mut queue: Queue) -> Result<(), String> {
        let mut open = true;
        loop {
            if self.line.wants_pause() {
                self.recover().await?;
            }
            self.start_writes();
            let idle = self.line.is_empty();
            if !open && idle && self.held.is_empty() {
                break;
            }
            let room = self.line.len() <= self.facts.concurrency();
            let flush_at = self.flush_at(open || !idle);
            tokio::select! {
                biased;
                // 1. answers, because they free what everybody else waits for
                Some(back) = self.writing.next(), if !self.writing.is_empty() => self.came_back(back).await?,
                // 2. what a sink holds, when its time has come and nothing is being written
                () = until(flush_at), if flush_at.is_some() && self.writing.is_empty() => {
                    self.flush(if open { "age" } else { "drain" }).await?;
                }
                // 3. new work
                delivery = queue.recv(), if open && room => match delivery {
                    Some(delivery) => self.take(delivery).await?,
                    None => open = false,
                },
            }
        }
        if let Err(failure) = self.instance.close().await {
            tracing::warn!(sink = &*self.lane.name, error = %failure, "sink did not close cleanly");
        }
        Ok(())
    }

    /// When to flush: at the age or the bytes that the sink asked for; at once when nothing more comes.
    fn flush_at(&self, more: bool) -> Option<tokio::time::Instant> {
        let due = self.held.due(self.facts.flush_after())?;
        let full = self.facts.flush_bytes.is_some_and(|max| self.held.bytes() >= max);
        Some(if full || !more { tokio::time::Instant::now() } else { due })
    }

    fn start_writes(&mut self) {
        while let Some((ticket, batch, attempt)) = self.line.start(self.facts.concurrency()) {
            let (instance, sequence) = (Arc::clone(&self.instance), self.sequence);
            self.sequence += 1;
            self.writing.push(Box::pin(async move {
                let began = Instant::now();
                crate::fault::point!("sink::send::before");
                let answer = instance.write(batch, sequence, attempt).await;
                Back { ticket, sequence, began, answer }
            }));
        }
    }

    /// Transforms a batch and puts what is left of it in the line.
    async fn take(&mut self, delivery: Delivery) -> Result<(), String> {
        let Delivery { batch, receipt, room } = delivery;
        if let Some(origin) = batch.origin().filter(|origin| !origin.refused.is_empty()) {
            let refusals = origin.refused.iter().map(Refusal::named).collect();
            self.lane.dlq.put(&self.lane.name, refusals).await;
        }
        let events = batch.events();
        if events == 0 {
            receipt.settle();
            return Ok(());
        }
        let derived = self.lane.chain.apply(batch).await;
        let left: u32 = derived.batches.iter().map(|batch| batch.events()).sum();
        let failed = derived.failed.len() as u64;
        self.lane.metrics.transformed(&self.lane.name, u64::from(events.saturating_sub(left)), failed);
        self.lane.status.dead_lettered(failed);
        if !derived.failed.is_empty() {
            let refusals = derived.failed.iter().map(|failed| Refusal {
                what: What::Event { batch: Arc::clone(&failed.batch), index: failed.index },
                error: failed.error.clone(),
                transform: Some(Arc::clone(&failed.by)),
            });
            self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        }
        for batch in derived.batches {
            let work = Work {
                batch,
                receipt: receipt.split(),
                room: Arc::clone(&room),
                attempts: 0,
                deaths: 0,
                accompanied: false,
            };
            self.line.push(work);
        }
        receipt.settle();
        Ok(())
    }

    async fn came_back(&mut self, back: Back) -> Result<(), String> {
        crate::fault::point!("sink::send::after");
        self.lane.metrics.delivery_took(&self.lane.name, back.began.elapsed());
        let answer = match back.answer {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Dead(reason)) => {
                if self.alive {
                    self.died(&reason);
                }
                return Ok(());
            }
        };
        let Some((batch, attempts)) = self.work_of(back.ticket) else { return Ok(()) };
        let out_of_attempts = self.lane.policy.retries.is_some_and(|retries| attempts > retries);
        match judge(answer, batch.events(), out_of_attempts) {
            Err(garbled) => self.died(&garbled.to_string()),
            Ok(None) => {
                if let Some(work) = self.line.finish(back.ticket) {
                    self.held.insert(back.sequence, work);
                }
            }
            Ok(Some(verdict)) => {
                if let Some(error) = verdict.error.as_ref().filter(|error| error.code == "end") {
                    return Err(format!("sinks.{}: {}", self.lane.name, error.message));
                }
                let again = self.settle(&batch, verdict).await;
                match again {
                    None => self.done(back.ticket),
                    Some(left) => self.line.retry(back.ticket, Some(left)),
                }
            }
        }
        Ok(())
    }

    fn work_of(&self, ticket: u64) -> Option<(Arc<Batch>, u32)> {
        self.line.running(ticket).map(|work| (Arc::clone(&work.batch), work.attempts))
    }

    fn done(&mut self, ticket: u64) {
        self.line.done(ticket);
        while let Some(work) = self.line.pop_done() {
            self.finish(work);
        }
        self.healthy_since.get_or_insert_with(Instant::now);
        self.backoff.succeeded();
    }

    fn finish(&self, work: Work) {
        self.lane.status.delivered(&work.batch);
        crate::fault::point!("ack::settle::before");
        work.receipt.settle();
        crate::fault::point!("ack::settle::after");
        drop(work.room);
    }

    /// Dead-letters what is to be, and returns what is to be tried again.
    async fn settle(&mut self, batch: &Arc<Batch>, verdict: Verdict) -> Option<Arc<Batch>> {
        let durable = batch.events() as usize - verdict.letters.len() - verdict.again.len();
        self.lane.metrics.delivered(&self.lane.name, durable as u64);
        self.lane.status.dead_lettered(verdict.letters.len() as u64);
        if !verdict.letters.is_empty() {
            let letters = verdict.letters.into_iter();
            let refusals = letters.map(|(index, error)| Refusal::delivery(batch, index, error));
            self.lane.dlq.put(&self.lane.name, refusals.collect()).await;
        }
        if verdict.again.is_empty() {
            return None;
        }
        if let Some(error) = &verdict.error {
            self.report(error);
        }
        let asked = verdict.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        let cap = self.lane.policy.backoff.cap;
        self.wait_at_least = if verdict.stuck { cap } else { asked.min(cap * 10) };
        self.lane.metrics.retried(&self.lane.name);
        if verdict.again.len() == batch.events() as usize {
            return Some(Arc::clone(batch));
        }
        // Indexes that were judged are in the batch; if it cannot be cut, all of it is tried again.
        Some(batch.select(&verdict.again).map_or_else(|_| Arc::clone(batch), Arc::new))
    }

    fn report(&mut self, error: &WireError) {
        let next_step = Kind::from_code(&error.code).policy().next_step;
        self.healthy_since = None;
        self.lane.status.failed(&error.message, next_step);
        let same = |(at, said): &(Instant, String)| at.elapsed() < SAME_AGAIN && *said == error.message;
        if self.reported.as_ref().is_some_and(same) {
            return;
        }
        self.reported = Some((Instant::now(), error.message.clone()));
        tracing::warn!(
            sink = &*self.lane.name,
            code = error.code,
            error = error.message,
            next_step,
            "delivery failed, will be tried again"
        );
    }

    fn died(&mut self, reason: &str) {
        self.alive = false;
        self.last_death = reason.to_string();
        self.line.died();
        self.writing.clear();
        for mut work in self.held.take_all().into_iter().rev() {
            work.attempts = 0;
            self.line.push_front(work);
        }
        self.healthy_since = None;
        self.lane.status.failed(reason, "see the log for what the component did; its batches come again");
        tracing::warn!(sink = &*self.lane.name, reason, "sink ended and will be made anew");
    }

    /// After a failure, with nothing under way: the pause that is due, a new instance, and the culprit's halves.
    async fn recover(&mut self) -> Result<(), String> {
        let healthy_for = self.healthy_since.map_or(Duration::ZERO, |since| since.elapsed());
        let wait = self.backoff.failed(healthy_for, crate::random()).max(self.wait_at_least);
        self.wait_at_least = Duration::ZERO;
        tokio::time::sleep(wait).await;
        if !self.alive {
            self.divide_culprit().await;
            match self.lane.start(self.instances).await {
                Ok((instance, facts)) => {
                    (self.instance, self.facts, self.alive) = (Arc::new(instance), facts, true);
                    self.instances += 1;
                    self.lane.metrics.restarted(&self.lane.name);
                }
                Err(failure) => {
                    tracing::warn!(sink = &*self.lane.name, error = %failure, "sink does not start");
                    return Ok(());
                }
            }
        }
        self.line.paused();
        Ok(())
    }

    /// A batch that ends every instance is halved; a single event is dead-lettered.
    async fn divide_culprit(&mut self) {
        let Some(work) = self.line.culprit() else { return };
        let events = work.batch.events();
        let halves =
            [0..events / 2, events / 2..events].map(|range| work.batch.select(&range.collect::<Vec<u32>>()));
        if let (true, [Ok(first), Ok(second)]) = (events > 1, halves) {
            let half = |batch, receipt| Work {
                batch: Arc::new(batch),
                receipt,
                room: Arc::clone(&work.room),
                attempts: 0,
                deaths: 1,
                accompanied: false,
            };
            let parts = [half(first, work.receipt.split()), half(second, work.receipt.clone())];
            self.line.put_back(parts);
            return;
        }
        let error = WireError {
            code: "rejected".into(),
            message: format!(
                "this event ended the sink's instance twice, the last time by: {}",
                self.last_death
            ),
            context: Vec::new(),
            retry_after_ms: None,
        };
        let refusal = Refusal::delivery(&work.batch, 0, error);
        self.lane.dlq.put(&self.lane.name, vec![refusal]).await;
        work.receipt.settle();
    }

    async fn flush(&mut self, reason: &'static str) -> Result<(), String> {
        let settlements = match self.instance.flush(reason).await {
            Ok(settlements) => settlements,
            Err(Failure::Dead(reason)) => {
                self.died(&reason);
                return Ok(());
            }
            Err(Failure::Refused(error)) => {
                self.report(&error);
                tokio::time::sleep(self.backoff.failed(Duration::ZERO, crate::random())).await;
                return Ok(());
            }
        };
        for settlement in settlements {
            let Some(work) = self.held.remove(settlement.sequence) else {
                self.died("a settlement names a batch that is not held");
                return Ok(());
            };
            let out_of_attempts = self.lane.policy.retries.is_some_and(|retries| work.attempts > retries);
            let batch = Arc::clone(&work.batch);
            match judge(settlement.outcome, batch.events(), out_of_attempts) {
                Ok(Some(verdict)) => match self.settle(&batch, verdict).await {
                    None => self.finish(work),
                    Some(left) => self.line.push(Work { batch: left, ..work }),
                },
                Ok(None) | Err(_) => {
                    self.line.push(work);
                    self.died("a settlement is not as it should be");
                    return Ok(());
                }
            }
        }
        self.held.flushed();
        if reason == "drain" && !self.held.is_empty() {
            self.died("a flush for drain left batches held");
        }
        Ok(())
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
