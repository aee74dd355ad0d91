//! One source's way to all lanes.
//!
//! Invariants. Every lane gets every batch that it is owed, in order, or loses it as the operator wants. Lanes with room get theirs
//! before any other is waited for. A lane is waited for as long as those that have theirs are busy with it; once one of them runs
//! dry, what the others have no room for goes to their overflow, if they have one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{select_all, try_join_all};
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::owed::Owed as Part;
use pgcdc_core::tracker::Refused;

use super::lane::{Owed, Sender};
use super::{Closed, Mode};
use crate::ack::{Acks, Receipt};
use crate::admin::metrics::Metrics;
use crate::batch::Batch;
use crate::source::pressure::{self, Valve};

/// How often a source asks whether the slowest lane has answered for so much that it may go on.
const FULL_AGAIN: Duration = Duration::from_millis(50);

/// See the file's head.
pub(crate) struct Fanout {
    acks: Arc<Acks>,
    lanes: Vec<Entrance>,
    metrics: Arc<Metrics>,
    /// Too many batches are unanswered, and that was said.
    full: bool,
}

struct Entrance {
    lane: Sender,
    mode: Mode,
    /// What the lane had done before the process started; none once the source is past it.
    before: Option<LaneMark>,
    /// It has the batch that is being sent.
    has_it: bool,
    /// Whether it gets anything now.
    valve: Valve,
}

/// A batch that a lane has no room for: the lane's index, and what it is owed.
type Waiting = (usize, Owed);

impl Fanout {
    /// For these lanes, in the order that `acks` has them.
    pub(crate) fn new(
        acks: Arc<Acks>,
        lanes: impl Iterator<Item = (Sender, Mode)>,
        metrics: Arc<Metrics>,
    ) -> Fanout {
        let before = |index: usize| Some(acks.before(index)).filter(|mark| *mark != crate::source::NOTHING);
        #[cfg(feature = "faults")]
        let before = |index| before(index).map(crate::fault::whole_transaction);
        let entrance = |(index, (lane, mode))| {
            let (before, valve) = (before(index), acks.valve(index));
            Entrance { lane, mode, before, has_it: false, valve }
        };
        let lanes: Vec<Entrance> = lanes.enumerate().map(entrance).collect();
        metrics.lanes(lanes.len() as u64);
        Fanout { acks, lanes, metrics, full: false }
    }

    /// What the lanes had done before is not what it was when this was made.
    pub(crate) fn remember(&mut self) {
        for (index, entrance) in self.lanes.iter_mut().enumerate() {
            entrance.before = Some(self.acks.before(index)).filter(|mark| *mark != crate::source::NOTHING);
        }
    }

    /// Hands a batch to every lane; waits as the file's head says.
    pub(crate) async fn send(
        &mut self,
        batch: Arc<Batch>,
        first: OrderKey,
        last: OrderKey,
    ) -> Result<(), Closed> {
        crate::fault::point!("bus::push::before");
        let receipts = self.register(last, batch.len_bytes() as u64).await?;
        self.metrics.received(u64::from(batch.events()));
        let mut waiting: Vec<Waiting> = Vec::new();
        // A lane that is owed nothing had it before the process started: it is ahead, and waits for what is new.
        let mut ahead = false;
        for (index, (entrance, receipt)) in self.lanes.iter_mut().zip(receipts).enumerate() {
            #[cfg(feature = "faults")]
            let receipt = crate::fault::settled_early(receipt);
            let Some(batch) = entrance.owed(&batch, first, last) else {
                entrance.has_it = false;
                ahead = true;
                receipt.settle();
                continue;
            };
            if entrance.valve.is_shut() {
                entrance.has_it = false;
                pressure::shed(&self.metrics, entrance.lane.name(), batch.events(), receipt);
                continue;
            }
            let owed = Owed { batch, receipt };
            entrance.has_it = match entrance.mode {
                Mode::Fast => entrance.lane.offer(owed)?,
                Mode::Reliable => match entrance.lane.put(owed)? {
                    None => true,
                    Some(left) => {
                        waiting.push((index, left));
                        false
                    }
                },
            };
        }
        if !waiting.is_empty() {
            self.wait(waiting, ahead).await?;
        }
        crate::fault::point!("bus::push::after");
        Ok(())
    }

    /// A receipt for each lane. Waits while a lane has more batches unanswered than can be kept account of.
    async fn register(&mut self, last: OrderKey, bytes: u64) -> Result<Vec<Receipt>, Closed> {
        loop {
            match self.acks.deliver(last, bytes) {
                Ok(receipts) => {
                    self.full = false;
                    return Ok(receipts);
                }
                Err(Refused::Full { open_max }) => {
                    if !self.full {
                        tracing::warn!(
                            batches = open_max,
                            "a sink is too many batches behind: the source waits for it"
                        );
                    }
                    self.full = true;
                    tokio::time::sleep(FULL_AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(%error, "batch refused by its own bookkeeping");
                    return Err(Closed);
                }
            }
        }
    }

    async fn wait(&mut self, mut waiting: Vec<Waiting>, ahead: bool) -> Result<(), Closed> {
        let somebody_has_it = ahead || self.lanes.iter().any(|entrance| entrance.has_it);
        if let ([(index, owed)], false) = (waiting.as_slice(), somebody_has_it)
            && !self.lanes[*index].lane.fails()
        {
            // The only lane, under load: the way that is taken most.
            let lane = &self.lanes[*index].lane;
            lane.held_back();
            let place = lane.place(owed.batch.len_bytes()).await?;
            if let Some((_, owed)) = waiting.pop() {
                place.put(owed);
            }
            return Ok(());
        }
        let (failing, mut waiting): (Vec<Waiting>, Vec<Waiting>) =
            waiting.into_iter().partition(|(index, _)| self.lanes[*index].lane.fails());
        for (index, owed) in failing {
            self.lanes[index].lane.put_aside(owed).await?;
            self.lanes[index].has_it = true;
        }
        if !ahead && !waiting.is_empty() && !self.lanes.iter().any(|entrance| entrance.has_it) {
            // Nobody has room: the first to have some sets the pace.
            waiting.iter().for_each(|(index, _)| self.lanes[*index].lane.held_back());
            let places = waiting
                .iter()
                .map(|(index, owed)| Box::pin(self.lanes[*index].lane.place(owed.batch.len_bytes())));
            let (place, first, _) = select_all(places).await;
            let (index, owed) = waiting.swap_remove(first);
            place?.put(owed);
            self.lanes[index].has_it = true;
        }
        let has_it = self.lanes.iter().filter(|entrance| entrance.has_it).map(|entrance| &entrance.lane);
        let has_it: Vec<&Sender> = if ahead { Vec::new() } else { has_it.collect() };
        let rest = waiting.into_iter().map(|(index, owed)| settle(&self.lanes[index].lane, owed, &has_it));
        try_join_all(rest).await.map(drop)
    }
}

/// Gets a batch into a lane that had no room for it. `others` have it and are busy; none of them: they all wait for what comes next.
async fn settle(lane: &Sender, owed: Owed, others: &[&Sender]) -> Result<(), Closed> {
    if lane.goes_aside() {
        return lane.put_aside(owed).await;
    }
    let place = lane.place(owed.batch.len_bytes());
    if !lane.overflows() {
        lane.held_back();
        place.await?.put(owed);
        return Ok(());
    }
    let one_is_dry = async {
        if !others.is_empty() {
            select_all(others.iter().map(|other| Box::pin(other.dry()))).await;
        }
    };
    tokio::select! {
        biased;
        place = place => place?.put(owed),
        () = one_is_dry => lane.put_aside(owed).await?,
    }
    Ok(())
}

impl Entrance {
    /// The part of a batch that this lane has not had before.
    fn owed(&mut self, batch: &Arc<Batch>, first: OrderKey, last: OrderKey) -> Option<Arc<Batch>> {
        let Some(before) = &self.before else { return Some(Arc::clone(batch)) };
        match before.owed(&first, &last) {
            Part::AllFromHere => self.before = None,
            Part::All => {}
            Part::Nothing => return None,
            // If the batch cannot be cut, all of it is delivered: twice is allowed, never is not.
            Part::Part => {
                return batch
                    .without(before)
                    .map_or_else(|_| Some(Arc::clone(batch)), |part| part.map(Arc::new));
            }
        }
        Some(Arc::clone(batch))
    }
}
