//! A lane gets another setup while it runs: between two batches, and with nothing lost.
//!
//! ```text
//! another chain or policy      ─► taken over at once, for the batches that come
//! another component or config  ─► rest: what is being written comes back, what is held is flushed
//!                                   ─► the new instance is opened ─► taken over; or the old one goes on
//! ```
//!
//! Invariants. While a lane rests nothing is being written and nothing is held, so that the new instance may open what the old
//! one has open. Work that is in the line stays there: it keeps the form that it has, and the new instance writes it before
//! anything newer. A rest that ends without a setup changes nothing.

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::backoff::Backoff;
use tokio::sync::{mpsc, oneshot};

use super::Runner;
use crate::admin::guard::Life;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::sink::{Facts, Policy, start};
use crate::transform::Chain;

/// Changes that may wait for one lane.
const WAITING_MAX: usize = 4;

/// What is asked of a lane.
pub(crate) enum Change {
    /// Another chain or policy.
    Setup(Box<Setup>),
    /// Stand still, because another instance is to be opened.
    Rest(Rest),
}

/// What a lane is to go on with.
pub(crate) struct Setup {
    pub(crate) chain: Chain,
    /// None keeps the policy, and what it has counted.
    pub(crate) policy: Option<Policy>,
    /// None keeps the instance.
    pub(crate) sink: Option<Box<Fresh>>,
    /// Answered when the lane has it.
    pub(crate) taken: oneshot::Sender<()>,
}

/// A rest: told when it has begun, ended by a setup, or by the other side's going away.
pub(crate) struct Rest {
    pub(crate) resting: oneshot::Sender<()>,
    pub(crate) then: oneshot::Receiver<Box<Setup>>,
}

/// A sink's new instance, open.
pub(crate) struct Fresh {
    blueprint: Blueprint,
    config: String,
    instance: Instance,
    facts: Facts,
}

impl Fresh {
    /// Starts and opens it.
    pub(crate) async fn open(blueprint: Blueprint, config: String, name: &str) -> Result<Fresh, Failure> {
        let (instance, facts) = start(&blueprint, &config, name, 0).await?;
        Ok(Fresh { blueprint, config, instance, facts })
    }

    /// It is not needed after all.
    pub(crate) async fn close(self) {
        let _ = self.instance.close().await;
    }
}

/// The operator's end of a lane's changes.
pub(crate) type Mailbox = mpsc::Sender<Change>;

/// The lane's end.
pub(crate) struct Changes {
    incoming: mpsc::Receiver<Change>,
    rest: Option<Rest>,
}

/// Both ends.
pub(crate) fn mailbox() -> (Mailbox, Changes) {
    let (mailbox, incoming) = mpsc::channel(WAITING_MAX);
    (mailbox, Changes { incoming, rest: None })
}

impl Changes {
    /// A rest is asked for: nothing new is to be started.
    pub(super) fn wants_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// The next change; while a rest is asked for, none. None, too, when nobody is there any more to ask.
    pub(super) async fn next(&mut self) -> Option<Change> {
        if self.wants_rest() {
            return std::future::pending().await;
        }
        self.incoming.recv().await
    }
}

impl Runner {
    pub(super) fn heed(&mut self, change: Change) {
        match change {
            Change::Setup(setup) => self.take_over(*setup),
            Change::Rest(rest) => self.lane.changes.rest = Some(rest),
        }
    }

    /// Nothing is being written. Lets go of what is held, and waits for what is next.
    pub(super) async fn rest(&mut self) {
        let Some(Rest { resting, then }) = self.lane.changes.rest.take() else { return };
        if !self.held.is_empty() {
            self.flush("reload").await;
            if !self.held.is_empty() {
                self.died("a flush for reload left batches held");
            }
        }
        let _ = resting.send(());
        if let Ok(setup) = then.await {
            self.take_over(*setup);
        }
    }

    fn take_over(&mut self, setup: Setup) {
        let Setup { chain, policy, sink, taken } = setup;
        self.lane.chain = chain;
        if let Some(policy) = policy {
            self.apply_policy(policy);
        }
        if let Some(fresh) = sink {
            self.renew(*fresh);
        }
        let _ = taken.send(());
    }

    fn renew(&mut self, fresh: Fresh) {
        let old = std::mem::replace(&mut self.instance, Arc::new(fresh.instance));
        let sink = Arc::clone(&self.lane.name);
        if self.alive && !self.stale {
            tokio::spawn(async move {
                if let Err(failure) = old.close().await {
                    tracing::warn!(sink = &*sink, error = %failure, "the sink that was replaced did not close cleanly");
                }
            });
        }
        (self.lane.blueprint, self.lane.config, self.facts) = (fresh.blueprint, fresh.config, fresh.facts);
        (self.alive, self.stale, self.pause_until, self.wait_at_least) = (true, false, None, Duration::ZERO);
        (self.healthy_since, self.sound_since, self.condemned) = (None, None, 0);
        let settings = self.lane.policy.backoff;
        (self.backoff, self.respawn) = (Backoff::of_requests(settings), Backoff::new(settings));
        self.line.renewed();
        self.lane.status.opened();
        self.lives(Life::Running);
    }
}
