//! The whole flow on one screen: memory and dead letters first, then sinks, lanes, bus and sources, built from the last
//! stage to the first, so that whatever is wrong shows before anything flows; then run, and drained in that order reversed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::ack::Acks;
use crate::admin::status::{LaneStatus, SourceStatus};
use crate::bus::{self, Fanout};
use crate::component::instance::Blueprint;
use crate::dlq::Dlq;
use crate::sink::{Lane, mailbox};
use crate::source::{self, Checkpointer, SourceLink};
use crate::store::Memory;
use crate::transform::Stage;
use drain::{Drain, Fault, Tasks, first_fault};
use reload::{Handle, Label, Reloader};

pub(crate) use build::Desks;
pub(crate) use build::WalSource;
pub use build::{Plan, Workshop};
pub use reload::{ReloadDesk, Reloaded, Reread};

mod build;
mod changes;
mod drain;
mod lock;
mod pressure;
mod reload;

/// What runs, for whoever shows it.
#[derive(Clone, Default)]
pub struct Board {
    pub(crate) sources: Vec<Shown<SourceStatus>>,
    pub(crate) sinks: Vec<Shown<LaneStatus>>,
    pub(crate) acks: Vec<Arc<Acks>>,
}

/// One connector on the board.
pub(crate) struct Shown<S> {
    pub(crate) name: Arc<str>,
    /// What its `use` says.
    pub(crate) uses: Label,
    pub(crate) status: Arc<S>,
}

impl<S> Clone for Shown<S> {
    fn clone(&self) -> Self {
        Shown { name: Arc::clone(&self.name), uses: self.uses.clone(), status: Arc::clone(&self.status) }
    }
}

/// How a pipeline came to its end without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Told,
    /// Every source has ended, and every sink has answered for everything.
    ByItself,
}

/// Everything that runs, ready to.
pub struct Pipeline {
    sources: Vec<source::Runner>,
    checkpointers: Vec<Checkpointer>,
    lanes: Vec<(crate::sink::Opened, bus::Queue)>,
    alarmed: mpsc::Receiver<String>,
    handles: Vec<Handle>,
    memory: Memory,
    common: Vec<Arc<Stage>>,
    reloader: Option<Reloader>,
    stop: watch::Sender<bool>,
    drained: watch::Sender<bool>,
    /// What is known of it while it runs.
    pub board: Board,
}

impl Pipeline {
    /// Opens every component of a checked manifest. Nothing flows yet. The error is one line for the operator.
    pub async fn open(workshop: &Workshop) -> Result<Pipeline, String> {
        let (stop, stopped) = watch::channel(false);
        let (drained, drain_seen) = watch::channel(false);
        let memory: Memory = workshop.memory().await?;
        let dlq: Dlq = workshop.dlq(&memory).await?;
        let common: Vec<Arc<Stage>> = workshop.common_transforms(&memory).await?;
        let mut board = Board::default();
        let (alarm, alarmed) = bus::alarm();

        let (mut lanes, mut entrances, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for sink in workshop.sinks() {
            let (mailbox, changes) = mailbox();
            let lane: Lane = workshop.lane(sink, &memory, &dlq, &common, changes).await?;
            let (name, bounds) = (Arc::clone(&lane.name), workshop.bounds(sink));
            let (entrance, queue, buffer) = bus::lane(name, bounds, &alarm, workshop.metrics());
            let _ = lane.status.buffer.set(buffer);
            let shown = Shown {
                name: Arc::clone(&lane.name),
                uses: Label::new(&sink.connector.uses.typed()),
                status: Arc::clone(&lane.status),
            };
            handles.push(Handle {
                name: Arc::clone(&lane.name),
                mailbox,
                chain: lane.chain.clone(),
                call_max: lane.blueprint.limits.call_max,
                uses: shown.uses.clone(),
            });
            let opened = lane.open().await.map_err(|e| format!("sinks.{}: {e}", shown.name))?;
            shown.status.opened();
            board.sinks.push(shown);
            lanes.push((opened, queue));
            entrances.push(entrance);
        }

        let (mut sources, mut checkpointers) = (Vec::new(), Vec::new());
        for detector in workshop.detectors() {
            let link: Arc<SourceLink> = workshop.link(detector, &memory).await?;
            let blueprint: Blueprint = workshop.source(detector, &link, &memory)?;
            let mut marks = source::marks(&link);
            let before = board
                .sinks
                .iter()
                .map(|sink| (Arc::clone(&sink.name), marks.remove(&*sink.name).unwrap_or(source::NOTHING)));
            let acks = Acks::new(before.collect());
            acks.guard(workshop.valves(&link));
            let (living, alive) = watch::channel(None);
            let modes = workshop.sinks().iter().map(|sink| workshop.mode(detector, sink));
            let fanout =
                Fanout::new(Arc::clone(&acks), entrances.iter().cloned().zip(modes), workshop.metrics());
            board.acks.push(Arc::clone(&acks));
            board.sources.push(Shown {
                name: Arc::clone(&link.name),
                uses: Label::new(&detector.uses.typed()),
                status: Arc::clone(&link.status),
            });
            checkpointers.push(Checkpointer {
                link: Arc::clone(&link),
                acks: Arc::clone(&acks),
                memory: memory.clone(),
                metrics: workshop.metrics(),
                living: alive,
                drained: drain_seen.clone(),
            });
            sources.push(workshop.runner(detector, blueprint, link, fanout, acks, stopped.clone(), living));
        }
        let reloader = None;
        Ok(Pipeline {
            sources,
            checkpointers,
            lanes,
            handles,
            memory,
            common,
            reloader,
            alarmed,
            stop,
            drained,
            board,
        })
    }

    /// Lets it be reloaded while it runs, from the workshop that it was opened with.
    pub fn reloaded_by(&mut self, workshop: Arc<Workshop>, reread: Reread) -> ReloadDesk {
        let handles = std::mem::take(&mut self.handles);
        let (reloader, desk) =
            Reloader::new(workshop, self.memory.clone(), self.common.clone(), handles, reread);
        self.reloader = Some(reloader);
        desk
    }

    /// Runs until `shutdown`, until every source has ended, or until one fails for good; then drains: sources, lanes,
    /// last checkpoints. What sources have brought before they ended is delivered however long that takes.
    pub async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        drain_max: Duration,
    ) -> Result<Ended, String> {
        let mut shutdown = pin!(shutdown);
        let mut whole = Ended::Told;
        let [mut sources, mut lanes, mut checkpointers, mut beside] = [(); 4].map(|()| Tasks::new());
        self.checkpointers.into_iter().for_each(|checkpointer| drop(checkpointers.spawn(checkpointer.run())));
        self.lanes.into_iter().for_each(|(lane, queue)| drop(lanes.spawn(lane.run(queue))));
        self.sources.into_iter().for_each(|source| drop(sources.spawn(source.run())));
        self.reloader.into_iter().for_each(|reloader| drop(beside.spawn(reloader.run())));

        let ended = tokio::select! {
            () = &mut shutdown => Ok(()),
            ended = first_fault(&mut sources) => {
                whole = Ended::ByItself;
                ended
            }
            Err(fault) = first_fault(&mut lanes) => Err(fault),
            Err(fault) = first_fault(&mut checkpointers) => Err(fault),
            Err(fault) = first_fault(&mut beside) => Err(fault),
            Some(error) = self.alarmed.recv() => Err(Fault::Failed(error)),
        };
        let ended = match ended {
            // Their queues end with the sources, and the lanes with their queues.
            Ok(()) if whole == Ended::ByItself => tokio::select! {
                () = &mut shutdown => {
                    whole = Ended::Told;
                    Ok(())
                }
                ended = first_fault(&mut lanes) => ended,
                Err(fault) = first_fault(&mut checkpointers) => Err(fault),
                Some(error) = self.alarmed.recv() => Err(Fault::Failed(error)),
            },
            ended => ended,
        };
        // A reload that is under way is not taken over. It is not waited for, either: it may be compiling.
        beside.abort_all();
        if ended == Err(Fault::Panicked) {
            return Err(Fault::Panicked.message());
        }
        let drain = Drain {
            sources,
            lanes,
            checkpointers,
            stop: self.stop,
            drained: self.drained,
            board: self.board,
        };
        let drained = drain.run(drain_max).await;
        ended.and(drained).map(|()| whole).map_err(Fault::message)
    }
}
