//! One instance: a task that owns a Store, a bounded mailbox, a deadline for every call, and an end.
//!
//! Calls overlap inside the Store as far as the guest lets them. The first trap ends the task; every call that was
//! in flight, and every later one, then answers [`Failure::Dead`] with the reason. There is no retry on the same
//! instance: a poisoned Store is dropped.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use wasmtime::component::{Accessor, Component};
use wasmtime::{Store, UpdateDeadline};

use super::engine::Runtime;
use super::grants::Grants;
use super::limits::{Limiter, Limits, LogRate, SharedMeter};
use super::linked::Linked;
use super::services::Services;
use super::state::State;
use super::v1::WireError;
use super::v1::calls::Exports;
use crate::source::SourceLink;

/// Calls that may wait for the instance, and that may run in it at once.
const MAILBOX: usize = 64;

/// Why a call has no good answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The guest answered with an error.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(WireError),
    /// The instance is gone: it trapped, ran out of a limit or of time.
    #[error("{0}")]
    Dead(Arc<str>),
}

/// Everything that an instance is made from.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) component: Component,
    pub(crate) name: Arc<str>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) services: Arc<Services>,
    pub(crate) limits: Limits,
    pub(crate) source: Option<Arc<SourceLink>>,
}

pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>>;
type Job = Box<dyn for<'a> FnOnce(&'a Accessor<State>, &'a Exports) -> Answering<'a> + Send>;

/// A live instance. Dropping it ends the task and the Store.
pub(crate) struct Instance {
    mailbox: mpsc::Sender<Job>,
    /// The reason of the end, once there is one; closed without one when the task was told to end.
    death: watch::Receiver<Option<Arc<str>>>,
    task: tokio::task::JoinHandle<()>,
    pub(super) limits: Limits,
    name: Arc<str>,
    /// For benchmarks.
    pub(in crate::component) linked: Option<Linked>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Instance {
    /// Instantiates; fails if the component does not fit the linker or its start traps.
    pub(crate) async fn start(blueprint: &Blueprint) -> Result<Instance, Failure> {
        let dead = |error: wasmtime::Error| Failure::Dead(format!("{error:#}").into());
        let meter = SharedMeter::default();
        let mut store = blueprint.store(&meter);
        let pre = blueprint.runtime.linker.instantiate_pre(&blueprint.component).map_err(dead)?;
        let instance = pre.instantiate_async(&mut store).await.map_err(dead)?;
        let exports = Exports::load(&mut store, &pre, &instance).map_err(dead)?;

        let (mailbox, jobs) = mpsc::channel(MAILBOX);
        let (dying, death) = watch::channel(None);
        let output_bytes_max = blueprint.limits.output_bytes_max;
        let life =
            Life { store, exports, jobs, meter, runtime: Arc::clone(&blueprint.runtime), output_bytes_max };
        let task = tokio::spawn(life.run(dying, Arc::clone(&blueprint.name)));
        Ok(Instance {
            mailbox,
            death,
            task,
            limits: blueprint.limits.clone(),
            name: Arc::clone(&blueprint.name),
            linked: Linked::find(blueprint),
        })
    }

    /// Sends one call and waits for its answer, at most as long as the instance's limit.
    pub(crate) async fn call<R, F>(&self, job: F) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a Accessor<State>,
                &'a Exports,
            ) -> Pin<
                Box<dyn Future<Output = wasmtime::Result<Result<R, WireError>>> + Send + 'a>,
            > + Send
            + 'static,
    {
        self.call_within(Some(self.limits.call_max), job).await
    }

    /// Like [`Instance::call`], with a limit of its own; none is for what may wait for ever, such as a source's `next`.
    pub(crate) async fn call_within<R, F>(
        &self,
        limit: Option<std::time::Duration>,
        job: F,
    ) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a Accessor<State>,
                &'a Exports,
            ) -> Pin<
                Box<dyn Future<Output = wasmtime::Result<Result<R, WireError>>> + Send + 'a>,
            > + Send
            + 'static,
    {
        if crate::fault::fails!("guest::call::before") {
            return Err(Failure::Dead("a fault that was asked for".into()));
        }
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |accessor, exports| {
            Box::pin(async move {
                let result = job(accessor, exports).await?;
                let _ = answer.send(result);
                Ok(())
            })
        });
        let exchange = async {
            if self.mailbox.send(job).await.is_err() {
                return Err(self.dead().await);
            }
            match answered.await {
                Ok(_) if crate::fault::fails!("guest::call::after") => {
                    Err(Failure::Dead("a fault that was asked for".into()))
                }
                Ok(result) => result.map_err(Failure::Refused),
                Err(_) => Err(self.dead().await),
            }
        };
        let Some(limit) = limit else { return exchange.await };
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => {
                let reason: Arc<str> = format!("no answer within {} ms", limit.as_millis()).into();
                self.task.abort();
                tracing::debug!(connector = &*self.name, reason = &*reason, "instance ended");
                Err(Failure::Dead(reason))
            }
        }
    }

    async fn dead(&self) -> Failure {
        let mut death = self.death.clone();
        let reason = death.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        Failure::Dead(reason.unwrap_or_else(|| "the instance was ended".into()))
    }
}

impl Blueprint {
    fn store(&self, meter: &SharedMeter) -> Store<State> {
        let state = State::new(
            Arc::clone(&self.name),
            Arc::clone(&self.grants),
            Arc::clone(&self.services),
            Limiter::new(&self.limits),
            LogRate::new(&self.limits, self.services.metrics.guard.log_suppressed(&self.name)),
            self.source.clone(),
        );
        let mut store = Store::new(&self.runtime.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(self.limits.output_bytes_max);
        let (meter, cpu_max) = (Arc::clone(meter), self.limits.cpu_max);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |mut context| {
            if meter.tick(cpu_max) {
                return Ok(UpdateDeadline::Yield(1));
            }
            let limit = format!("cpu: more than {} ms without an answer", cpu_max.as_millis());
            context.data_mut().limiter.deny(limit);
            Err(wasmtime::Error::msg("cpu limit exceeded"))
        });
        store
    }
}

/// What the task owns.
struct Life {
    store: Store<State>,
    exports: Exports,
    jobs: mpsc::Receiver<Job>,
    meter: SharedMeter,
    runtime: Arc<Runtime>,
    output_bytes_max: usize,
}

impl Life {
    async fn run(mut self, dying: watch::Sender<Option<Arc<str>>>, name: Arc<str>) {
        let ended = {
            let (exports, mut jobs) = (&self.exports, self.jobs);
            let mut living =
                pin!(self.store.run_concurrent(async |accessor| serve(accessor, exports, &mut jobs).await));
            poll_fn(|context| {
                self.meter.resumed();
                self.runtime.ticker.while_polled(|| living.as_mut().poll(context))
            })
            .await
        };
        let Err(error) = ended.and_then(|served| served) else { return };
        let reason = reason(&error, self.store.data(), self.output_bytes_max);
        tracing::debug!(connector = &*name, reason = &*reason, "instance ended");
        let _ = dying.send(Some(reason));
    }
}

/// Starts calls as they come, and ends at the first that traps, or when the mailbox is closed and all are answered.
async fn serve(
    accessor: &Accessor<State>,
    exports: &Exports,
    jobs: &mut mpsc::Receiver<Job>,
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(done) = running.next(), if !running.is_empty() => done?,
            job = jobs.recv(), if running.len() < MAILBOX => match job {
                Some(job) => running.push(job(accessor, exports)),
                None => break,
            },
        }
    }
    while let Some(done) = running.next().await {
        done?;
    }
    Ok(())
}

/// Frames of the guest that are told.
const FRAMES_MAX: usize = 3;

/// How wasmtime says that a call handed over too much. The type is its own.
const TOO_MUCH: &str = "fuel allocated for hostcalls";

/// One line for the operator: the limit that was hit, the panic's message, or the trap with the guest's innermost frames.
fn reason(error: &wasmtime::Error, state: &State, output_bytes_max: usize) -> Arc<str> {
    if let Some(limit) = state.limiter.denied() {
        return format!("limit exceeded: {limit}").into();
    }
    let told = format!("{error:#}");
    if told.contains(TOO_MUCH) {
        return format!("limit exceeded: output: more than {output_bytes_max} bytes in one call").into();
    }
    if let Some(panic) = state.last_words.panic() {
        return panic.into();
    }
    let of_guest = |frame: &&str| {
        !["!std::", "!core::", "!alloc::", "!__rust", "!_rust"].iter().any(|of| frame.contains(of))
    };
    let frames = told.lines().filter_map(|line| line.split_once(" - ")).map(|(_, frame)| frame.trim());
    let frames: Vec<&str> = frames.filter(of_guest).take(FRAMES_MAX).collect();
    let cause = error.root_cause().to_string().replace('\n', "; ");
    if frames.is_empty() { cause.into() } else { format!("{cause}, in {}", frames.join(" < ")).into() }
}
