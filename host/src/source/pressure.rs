//! Backpressure of one source: the zone that its slot's lag has put it in, the reader's wait before each portion, and
//! the valve of each lane.
//!
//! A portion is what `next` hands over at once: at most what the WAL's queue holds (`read_ahead_bytes`). While the reader
//! waits that queue fills and the socket is left alone; the status writer goes on by its own clock (I5), lanes drain,
//! and what they settle is stored and confirmed, which is what makes the slot's lag smaller.

use std::sync::Arc;

use pgcdc_core::pressure::{Flight, Hold, Priority, Settings, Zone};
use tokio::sync::watch;
use tokio::time::Instant;

use super::SourceLink;
use crate::ack::{Acks, Receipt};
use crate::admin::metrics::Metrics;

/// See the file's head.
pub(crate) struct Pressure {
    pub(super) settings: Settings,
    pub(super) poll_every: std::time::Duration,
    reading: watch::Sender<Reading>,
}

/// The last look at the lag.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    zone: Zone,
    lag_bytes: u64,
}

impl Pressure {
    /// Green until the lag is known.
    pub(crate) fn new(settings: Settings, poll_every: std::time::Duration) -> Pressure {
        Pressure { settings, poll_every, reading: watch::Sender::new(Reading::default()) }
    }

    /// Another look at the lag; the zone before and after.
    pub(super) fn measured(&self, lag_bytes: u64) -> (Zone, Zone) {
        let from = self.reading.borrow().zone;
        let zone = self.settings.next(from, lag_bytes);
        self.reading.send_replace(Reading { zone, lag_bytes });
        (from, zone)
    }

    /// A lane's valve.
    pub(crate) fn valve(&self, priority: Option<Priority>) -> Valve {
        Valve(priority.map(|priority| (self.reading.subscribe(), priority)))
    }
}

/// Whether a lane gets a source's batches. The default is always open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Valve(Option<(watch::Receiver<Reading>, Priority)>);

impl Valve {
    /// Under this pressure the lane gets nothing.
    pub(crate) fn is_shut(&self) -> bool {
        self.0.as_ref().is_some_and(|(reading, priority)| reading.borrow().zone.sheds(Some(*priority)))
    }
}

/// Gives up events of a lane: they count as answered for, in their turn, and are told of.
pub(crate) fn shed(metrics: &Metrics, sink: &str, events: u32, receipt: Receipt) {
    if metrics.load_shed(sink, u64::from(events)) {
        tracing::warn!(sink, "the slot lags: events are shed for this sink until the lag is small again");
    }
    receipt.settle();
}

/// Waits before the next portion is read, for as long as the zone and what is in flight ask for.
pub(super) async fn hold(link: &SourceLink, acks: &Acks, metrics: &Metrics) {
    let Some(pressure) = &link.pressure else { return };
    let mut reading = pressure.reading.subscribe();
    let Reading { zone, lag_bytes } = *reading.borrow_and_update();
    if zone == Zone::Green {
        return;
    }
    let began = Instant::now();
    let mut hold = Hold::begin(pressure.settings, zone, lag_bytes, began.elapsed(), flight(acks));
    let mut waited = false;
    loop {
        // Made before the look, so that nothing that moves in between is missed.
        let moved = link.moved.notified();
        let zone = reading.borrow_and_update().zone;
        let Some(left) = hold.left(zone, began.elapsed(), flight(acks)) else { break };
        waited = true;
        link.status.paused(zone == Zone::Red);
        tokio::select! {
            () = moved => {}
            _ = reading.changed() => {}
            () = tokio::time::sleep(left) => {}
        }
    }
    link.status.paused(false);
    if waited {
        metrics.throttled(&link.name, began.elapsed());
    }
}

fn flight(acks: &Acks) -> Flight {
    Flight { settled: acks.standing().frontier, handed: acks.delivered() }
}

/// The valves of these lanes for one source.
pub(crate) fn valves(link: &SourceLink, priorities: impl Iterator<Item = Option<Priority>>) -> Vec<Valve> {
    priorities
        .map(|priority| {
            link.pressure.as_ref().map_or_else(Valve::default, |pressure| pressure.valve(priority))
        })
        .collect()
}

/// A source's pressure, shared.
pub(crate) type Shared = Option<Arc<Pressure>>;
