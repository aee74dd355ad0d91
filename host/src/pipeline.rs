//! The whole flow on one screen: memory and dead letters first, then sinks, lanes, bus and sources, built from the last
//! stage to the first, so that whatever is wrong shows before anything flows; then run, and drained in that order reversed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ack::Acks;
use crate::admin::status::{LaneStatus, SourceStatus};
use crate::bus::{self, Fanout};
use crate::component::instance::Blueprint;
use crate::dlq::Dlq;
use crate::sink::Lane;
use crate::source::{self, Checkpointer, SourceLink};
use crate::store::Memory;
use crate::transform::Stage;

pub(crate) use build::Desks;
pub use build::Workshop;

mod build;

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
    pub(crate) uses: Arc<str>,
    pub(crate) status: Arc<S>,
}

impl<S> Clone for Shown<S> {
    fn clone(&self) -> Self {
        Shown { name: Arc::clone(&self.name), uses: Arc::clone(&self.uses), status: Arc::clone(&self.status) }
    }
}

/// Everything that runs, ready to.
pub struct Pipeline {
    sources: Vec<source::Runner>,
    checkpointers: Vec<Checkpointer>,
    lanes: Vec<(crate::sink::Opened, bus::Queue)>,
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

        let (mut lanes, mut entrances) = (Vec::new(), Vec::new());
        for sink in workshop.sinks() {
            let lane: Lane = workshop.lane(sink, &memory, &dlq, &common).await?;
            let (entrance, queue) =
                bus::queue(Arc::clone(&lane.name), workshop.batches_max(), workshop.lane_bytes_max());
            let shown = Shown {
                name: Arc::clone(&lane.name),
                uses: sink.connector.uses.typed().into(),
                status: Arc::clone(&lane.status),
            };
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
            let (living, alive) = watch::channel(None);
            let modes = workshop.sinks().iter().map(|sink| workshop.mode(detector, sink));
            let fanout =
                Fanout::new(Arc::clone(&acks), entrances.iter().cloned().zip(modes), workshop.metrics());
            board.acks.push(Arc::clone(&acks));
            board.sources.push(Shown {
                name: Arc::clone(&link.name),
                uses: detector.uses.typed().into(),
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
        Ok(Pipeline { sources, checkpointers, lanes, stop, drained, board })
    }

    /// Runs until `shutdown`, until every source has ended, or until one fails for good; then drains: sources, lanes,
    /// last checkpoints.
    pub async fn run(self, shutdown: impl Future<Output = ()>, drain_max: Duration) -> Result<(), String> {
        let mut sources: JoinSet<Result<(), String>> = JoinSet::new();
        let mut lanes: JoinSet<Result<(), String>> = JoinSet::new();
        let mut checkpointers: JoinSet<Result<(), String>> = JoinSet::new();
        self.checkpointers.into_iter().for_each(|checkpointer| drop(checkpointers.spawn(checkpointer.run())));
        self.lanes.into_iter().for_each(|(lane, queue)| drop(lanes.spawn(lane.run(queue))));
        self.sources.into_iter().for_each(|source| drop(sources.spawn(source.run())));

        let ended = tokio::select! {
            () = shutdown => Ok(()),
            ended = first_error(&mut sources) => ended,
            Err(error) = first_error(&mut lanes) => Err(error),
            Err(error) = first_error(&mut checkpointers) => Err(error),
        };
        self.stop.send_replace(true);
        let drain = async {
            while sources.join_next().await.is_some() {}
            drop(sources);
            while lanes.join_next().await.is_some() {}
        };
        if tokio::time::timeout(drain_max, drain).await.is_err() {
            tracing::warn!(
                after_ms = drain_max.as_millis() as u64,
                "not everything was delivered before the stop; it comes again"
            );
            lanes.abort_all();
        }
        self.drained.send_replace(true);
        let stored = first_error(&mut checkpointers).await;
        while checkpointers.join_next().await.is_some() {}
        ended.and(stored)
    }
}

/// The first error of these tasks, or that all have ended well.
async fn first_error(tasks: &mut JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| format!("a task ended unexpectedly: {e}"))??;
    }
    Ok(())
}
