//! Transforms: a chain of components between the bus and the sinks, evaluated once per batch for all lanes that share it.
//!
//! Invariants. Every input is accounted for, or the guest is at fault. What the host knows of an event (id, order key,
//! transaction, source) comes out as it went in. A guest that traps is made anew and asked again; an event that makes it
//! trap alone fails alone.

mod account;
mod refused;
mod stage;

use std::sync::Arc;

use pgcdc_layout::Event;

use crate::batch::Batch;
use crate::component::v1::WireError;

pub(crate) use stage::Stage;

/// An event that no transform could make anything of.
#[derive(Clone)]
pub(crate) struct FailedEvent {
    /// The batch as the failing transform got it.
    pub(crate) batch: Arc<Batch>,
    pub(crate) index: u32,
    pub(crate) error: WireError,
    /// The transform's name.
    pub(crate) by: Arc<str>,
}

/// What a chain has made of a batch.
#[derive(Clone, Default)]
pub(crate) struct Derived {
    /// In order, none of them empty.
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) failed: Vec<FailedEvent>,
}

/// Transforms in order, with the routes of a lane between the common ones and its own.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    pub(crate) common: Vec<Arc<Stage>>,
    /// Channels that the lane wants; none is all.
    pub(crate) routes: Option<Arc<[String]>>,
    pub(crate) own: Vec<Arc<Stage>>,
}

impl Chain {
    /// What is to be delivered of this batch.
    pub(crate) async fn apply(&self, batch: Arc<Batch>) -> Derived {
        let mut derived = refused::split(batch);
        for stage in &self.common {
            stage.advance(&mut derived).await;
        }
        self.route(&mut derived);
        for stage in &self.own {
            stage.advance(&mut derived).await;
        }
        derived
    }

    fn route(&self, derived: &mut Derived) {
        let Some(routes) = &self.routes else { return };
        derived.batches = derived.batches.drain(..).filter_map(|batch| wanted(batch, routes)).collect();
    }
}

/// The part of a batch that is on these channels.
fn wanted(batch: Arc<Batch>, routes: &[String]) -> Option<Arc<Batch>> {
    let view = batch.view();
    let on_route = |event: &Event<'_>| routes.iter().any(|channel| channel == event.channel());
    let kept: Vec<u32> = view.events().filter(on_route).map(|event| event.index()).collect();
    match kept.len() {
        0 => None,
        all if all == batch.events() as usize => Some(batch),
        // Indexes that were just counted are in the batch.
        _ => batch.select(&kept).ok().map(Arc::new),
    }
}
