//! Another plan for a pipeline that runs: read, checked and opened as a whole beside the old one, then swapped lane by lane.
//!
//! ```text
//! read ─► check ─► difference ─► transforms opened, sinks checked ─► resting lanes: new sinks opened ─► swapped
//!   └────────┴───────────┴─────────────────┴──────────── anything wrong: the old plan goes on ───┘
//! ```
//!
//! Invariants. All of a plan is taken over, or nothing of it. Lanes swap between two batches, each at its own; a stage that did
//! not change goes on, one that did is another stage with a number of its own, so that lanes on both sides of the swap never share
//! what it makes. One reload at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, oneshot};

use super::build::{Plan, Workshop, routes};
use super::changes::{self, Difference, LaneChange, Pair};
use crate::component::instance::Blueprint;
use crate::manifest::ready::{Ready, ReadySink};
use crate::sink::{Change, Fresh, Mailbox, Policy, Rest, Setup};
use crate::store::Memory;
use crate::transform::{Chain, Stage};

/// Reloads that may wait for one that is under way.
const WAITING_MAX: usize = 8;
/// How long the answer waits for lanes that are busy; they swap all the same.
const TAKEN_MAX: Duration = Duration::from_secs(5);
/// On top of what one call of the sink may take, for it to come to rest.
const REST_MAX: Duration = Duration::from_secs(5);

/// Reads the plan again, from wherever it came from.
pub type Reread = Box<dyn Fn() -> Result<Plan, String> + Send + Sync>;

/// What a reload has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// One line a section, e.g. `transforms: +mask -filter`.
    pub changed: Vec<String>,
    /// What has no effect yet, and when it will.
    pub later: Vec<String>,
}

type Answer = Result<Reloaded, String>;

/// Where a reload is asked for.
#[derive(Clone)]
pub struct ReloadDesk(mpsc::Sender<oneshot::Sender<Answer>>);

impl ReloadDesk {
    /// Reloads, after those that were asked for before. The error says what is wrong; then nothing has changed.
    pub async fn reload(&self) -> Result<Reloaded, String> {
        let ended = || "pgcdc is stopping".to_string();
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// A text that a reload may replace, for whoever shows it.
#[derive(Clone)]
pub(crate) struct Label(Arc<Mutex<Arc<str>>>);

impl Label {
    pub(super) fn new(text: &str) -> Label {
        Label(Arc::new(Mutex::new(text.into())))
    }

    pub(crate) fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, text: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

/// What a reload knows of a lane.
pub(super) struct Handle {
    pub(super) name: Arc<str>,
    pub(super) mailbox: Mailbox,
    pub(super) chain: Chain,
    /// What one call of its sink may take.
    pub(super) call_max: Duration,
    pub(super) uses: Label,
}

/// See the file's head.
pub(super) struct Reloader {
    pub(super) workshop: Arc<Workshop>,
    pub(super) memory: Memory,
    pub(super) common: Vec<Arc<Stage>>,
    pub(super) lanes: Vec<Handle>,
    pub(super) reread: Reread,
    requests: mpsc::Receiver<oneshot::Sender<Answer>>,
}

/// What a lane is going to get.
struct Part {
    lane: usize,
    chain: Chain,
    policy: Option<Policy>,
    /// What one call of its sink may take then.
    call_max: Duration,
    uses: String,
}

/// The same, with what is still to be opened.
struct Draft {
    part: Part,
    /// What another instance is made from, and its config.
    sink: Option<(Blueprint, String)>,
    permit: OwnedPermit<Change>,
}

/// How a lane is told.
enum Way {
    /// It goes on meanwhile.
    Running(OwnedPermit<Change>),
    /// It rests, and its sink's new instance is open.
    Resting(Box<Fresh>, oneshot::Sender<Box<Setup>>),
}

impl Reloader {
    pub(super) fn new(
        workshop: Arc<Workshop>,
        memory: Memory,
        common: Vec<Arc<Stage>>,
        lanes: Vec<Handle>,
        reread: Reread,
    ) -> (Reloader, ReloadDesk) {
        let (desk, requests) = mpsc::channel(WAITING_MAX);
        (Reloader { workshop, memory, common, lanes, reread, requests }, ReloadDesk(desk))
    }

    /// Serves requests until nobody can make one.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let metrics = self.workshop.metrics();
        while let Some(answer) = self.requests.recv().await {
            let done = self.reload().await;
            metrics.reloaded(done.is_ok());
            match &done {
                Ok(done) => {
                    let (changed, later) = (done.changed.join("; "), done.later.join("; "));
                    tracing::info!(changed, later, "reloaded");
                }
                Err(error) => {
                    let error = error.lines().map(str::trim).collect::<Vec<_>>().join(" | ");
                    tracing::error!(error, "reload refused: everything goes on as it was");
                }
            }
            let _ = answer.send(done);
        }
        Ok(())
    }

    async fn reload(&mut self) -> Answer {
        let plan = tokio::task::block_in_place(|| (self.reread)())?;
        let next = self.workshop.again(plan)?;
        let pair = Pair { old: self.workshop.known(), new: next.known() };
        let difference = changes::between(pair.old, pair.new)
            .map_err(|fixed| format!("{}: needs a restart; nothing was changed", fixed.join("; ")))?;
        let (drafts, common) = self.draft(&next, pair, &difference).await?;
        let late = self.swap(drafts).await?;
        self.common = common;
        self.workshop = Arc::new(next);
        let Difference { said, later, .. } = difference;
        let later = later.into_iter().map(|what| format!("{what} has changed: at the next start"));
        let late = late.into_iter().map(|name| format!("sinks.{name}: when what it is doing has ended"));
        Ok(Reloaded { changed: said, later: later.chain(late).collect() })
    }

    /// Opens every new transform and lets every new sink look at its config.
    async fn draft(
        &self,
        next: &Workshop,
        pair: Pair<'_>,
        difference: &Difference,
    ) -> Result<(Vec<Draft>, Vec<Arc<Stage>>), String> {
        let (old, new) = (&self.workshop.plan.checked, &next.plan.checked);
        let find = |ready: &Ready, readies: &[Ready], stages: &[Arc<Stage>]| {
            let mut known = readies.iter().zip(stages);
            known.find(|(before, _)| pair.same(before, ready)).map(|(_, stage)| Arc::clone(stage))
        };
        let common = |ready: &Ready| find(ready, &old.transforms, &self.common);
        let own = |lane: usize, ready: &Ready| {
            let (sink, handle) = (self.sink_of(lane)?, self.lanes.get(lane)?);
            find(ready, &sink.transforms, &handle.chain.own)
        };
        let mut lanes = Vec::new();
        for (lane, handle) in self.lanes.iter().enumerate() {
            let sink = new.sinks.iter().find(|sink| *sink.connector.name == *handle.name);
            if let (Some(sink), Some(change)) = (sink, difference.lanes.get(&*handle.name)) {
                lanes.push((lane, sink, *change));
            }
        }

        let mut look = Vec::new();
        look.extend(new.transforms.iter().filter(|ready| common(ready).is_none()));
        for (lane, sink, change) in &lanes {
            look.extend(sink.transforms.iter().filter(|ready| own(*lane, ready).is_none()));
            look.extend(change.sink.then_some(&sink.connector));
        }
        next.all_content(look).await?;

        let stages = next.stages(&new.transforms, &self.memory, common).await?;
        let mut drafts = Vec::with_capacity(lanes.len());
        for (lane, sink, change) in lanes {
            let own = next.stages(&sink.transforms, &self.memory, |ready| own(lane, ready)).await?;
            let chain = Chain { common: stages.clone(), routes: routes(sink), own };
            drafts.push(self.draft_of(lane, next, sink, change, chain)?);
        }
        Ok((drafts, stages))
    }

    fn sink_of(&self, lane: usize) -> Option<&ReadySink> {
        let name = &self.lanes.get(lane)?.name;
        self.workshop.plan.checked.sinks.iter().find(|sink| *sink.connector.name == **name)
    }

    fn draft_of(
        &self,
        lane: usize,
        next: &Workshop,
        sink: &ReadySink,
        change: LaneChange,
        chain: Chain,
    ) -> Result<Draft, String> {
        let handle = self.lanes.get(lane).ok_or("a lane is gone")?;
        let permit = handle.mailbox.clone().try_reserve_owned();
        let permit = permit.map_err(|_| format!("sinks.{}: takes no changes now; try again", handle.name))?;
        let blueprint = if change.sink { Some(next.sink(sink, &self.memory)?) } else { None };
        let part = Part {
            lane,
            chain,
            policy: if change.policy { Some(next.policy(sink)) } else { None },
            call_max: blueprint.as_ref().map_or(handle.call_max, |blueprint| blueprint.limits.call_max),
            uses: sink.connector.uses.typed(),
        };
        let sink = blueprint.map(|blueprint| (blueprint, sink.connector.config.to_string()));
        Ok(Draft { part, sink, permit })
    }

    /// Opens what is new where its lane rests, and swaps everywhere, or nowhere. The names of lanes that have not yet.
    async fn swap(&mut self, drafts: Vec<Draft>) -> Result<Vec<Arc<str>>, String> {
        let lanes = &self.lanes;
        let opened = drafts.into_iter().map(|Draft { part, sink, permit }| async move {
            let way = match (sink, lanes.get(part.lane)) {
                (Some((blueprint, config)), Some(handle)) => {
                    rest_and_open(handle, blueprint, config, permit).await?
                }
                _ => Way::Running(permit),
            };
            Ok((part, way))
        });
        let opened: Vec<Result<(Part, Way), String>> = join_all(opened).await;
        if opened.iter().any(Result::is_err) {
            return Err(give_up(opened).await);
        }
        let mut waiting = Vec::new();
        for (part, way) in opened.into_iter().flatten() {
            let Some(handle) = self.lanes.get_mut(part.lane) else { continue };
            (handle.chain, handle.call_max) = (part.chain.clone(), part.call_max);
            handle.uses.set(&part.uses);
            let (taken, swapped) = oneshot::channel();
            let (chain, policy) = (part.chain, part.policy);
            let setup = |sink| Box::new(Setup { chain, policy, sink, taken });
            match way {
                Way::Resting(fresh, then) => drop(then.send(setup(Some(fresh)))),
                Way::Running(permit) => drop(permit.send(Change::Setup(setup(None)))),
            }
            waiting.push((Arc::clone(&handle.name), swapped));
        }
        let late = join_all(waiting.into_iter().map(|(name, swapped)| async move {
            tokio::time::timeout(TAKEN_MAX, swapped).await.is_err().then_some(name)
        }));
        Ok(late.await.into_iter().flatten().collect())
    }
}

/// Closes what was opened, and with it lets resting lanes go on as before. What was wrong, one line each.
async fn give_up(opened: Vec<Result<(Part, Way), String>>) -> String {
    let mut wrong = Vec::new();
    for one in opened {
        match one {
            Ok((_, Way::Resting(fresh, then))) => {
                fresh.close().await;
                drop(then);
            }
            Ok((_, Way::Running(_))) => {}
            Err(error) => wrong.push(error),
        }
    }
    wrong.join("\n")
}

/// Lets a lane come to rest, and opens its sink's new instance meanwhile. If that fails the lane goes on as before.
async fn rest_and_open(
    handle: &Handle,
    blueprint: Blueprint,
    config: String,
    permit: OwnedPermit<Change>,
) -> Result<Way, String> {
    let name = &handle.name;
    let (resting, rests) = oneshot::channel();
    let (then, setup) = oneshot::channel();
    drop(permit.send(Change::Rest(Rest { resting, then: setup })));
    // A write and a flush.
    let wait_max = handle.call_max * 2 + REST_MAX;
    match tokio::time::timeout(wait_max, rests).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(format!("sinks.{name}: has ended; needs a restart")),
        Err(_) => {
            let ms = wait_max.as_millis();
            return Err(format!("sinks.{name}: what it is doing has not ended within {ms} ms; try again"));
        }
    }
    let fresh = Fresh::open(blueprint, config, name).await.map_err(|e| format!("sinks.{name}: {e}"))?;
    Ok(Way::Resting(Box::new(fresh), then))
}
