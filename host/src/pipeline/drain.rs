//! The end: sources stop, lanes deliver what they have, all at once and within a limit, and the last checkpoint is stored.
//!
//! Invariants. Nothing that hangs (a sink, a store, a server that is away) keeps the process from ending. What was not
//! delivered is not confirmed, so it comes again. After a panic nothing more is stored: what the bookkeeping says may be wrong.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Board;

/// The last checkpoint and the goodbye to the server.
const LAST_CHECKPOINT_MAX: Duration = Duration::from_secs(5);

/// The tasks of a pipeline.
pub(super) type Tasks = JoinSet<Result<(), String>>;

/// Why a task's end is the pipeline's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// One line for the operator.
    Failed(String),
    /// A fault of pgcdc's own.
    Panicked,
}

impl Fault {
    pub(super) fn message(self) -> String {
        match self {
            Fault::Failed(error) => error,
            Fault::Panicked => "a task of pgcdc panicked, which is a fault of pgcdc: the log says where, please report it; \
                                nothing was stored after that, and the next start goes on from the last checkpoint"
                .into(),
        }
    }
}

/// What one task ended with.
pub(super) fn outcome(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), Fault> {
    match ended {
        Ok(ended) => ended.map_err(Fault::Failed),
        Err(error) if error.is_panic() => Err(Fault::Panicked),
        Err(_) => Err(Fault::Failed("a task was ended".into())),
    }
}

/// The first error of these tasks, or that all have ended well.
pub(super) async fn first_fault(tasks: &mut Tasks) -> Result<(), Fault> {
    while let Some(ended) = tasks.join_next().await {
        outcome(ended)?;
    }
    Ok(())
}

/// What is left to do with a pipeline.
pub(super) struct Drain {
    pub(super) sources: Tasks,
    pub(super) lanes: Tasks,
    pub(super) checkpointers: Tasks,
    pub(super) stop: watch::Sender<bool>,
    pub(super) drained: watch::Sender<bool>,
    pub(super) board: Board,
}

impl Drain {
    /// Delivers what can be delivered within `drain_max`, and stores how far that went.
    pub(super) async fn run(mut self, drain_max: Duration) -> Result<(), Fault> {
        self.stop.send_replace(true);
        let (sources, lanes) = (&mut self.sources, &mut self.lanes);
        let work_off = async {
            while let Some(ended) = sources.join_next().await {
                said(outcome(ended))?;
            }
            while let Some(ended) = lanes.join_next().await {
                said(outcome(ended))?;
            }
            Ok(())
        };
        match tokio::time::timeout(drain_max, work_off).await {
            Ok(ended) => ended?,
            Err(_) => {
                let after_ms = drain_max.as_millis() as u64;
                tracing::warn!(after_ms, "not everything was delivered before the stop; it comes again");
                self.sources.abort_all();
                self.lanes.abort_all();
                self.undelivered();
            }
        }
        self.drained.send_replace(true);
        let checkpointers = &mut self.checkpointers;
        let store = async {
            while let Some(ended) = checkpointers.join_next().await {
                said(outcome(ended))?;
            }
            Ok(())
        };
        match tokio::time::timeout(LAST_CHECKPOINT_MAX, store).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!(
                    "the last checkpoint was not stored in time: what came after the one before comes again"
                );
                Ok(())
            }
        }
    }

    fn undelivered(&self) {
        for (index, sink) in self.board.sinks.iter().enumerate() {
            let batches: u64 = self.board.acks.iter().map(|acks| acks.open(index)).sum();
            if batches > 0 {
                tracing::warn!(sink = &*sink.name, batches, "not delivered");
            }
        }
    }
}

/// An error at the end is told; only a panic is more than that.
fn said(ended: Result<(), Fault>) -> Result<(), Fault> {
    match ended {
        Err(Fault::Failed(error)) => {
            tracing::warn!(error, "ended with an error");
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_from_a_failure() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { Err("no way".to_string()) });
        assert_eq!(first_fault(&mut tasks).await, Err(Fault::Failed("no way".into())));
        tasks.spawn(async { panic!("row value") });
        let fault = first_fault(&mut tasks).await.unwrap_err();
        assert_eq!(fault, Fault::Panicked);
        assert!(!fault.message().contains("row value"));
        tasks.spawn(async { Ok(()) });
        assert_eq!(first_fault(&mut tasks).await, Ok(()));
    }
}
