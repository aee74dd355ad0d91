//! The document of `pgcdc status`, made of what the board knows; and what of it metrics and health show.
//!
//! A sink's position is the commit up to which it has everything of a source: its lane's mark, or what every lane has,
//! whichever is further. Where there are several sources, a sink has a line for each.

use pgcdc_core::lsn::Lsn;
use pgcdc_core::pressure::Zone;

use super::metrics::Metrics;
use crate::cli::status::{SinkStatus, SourceStatus, State};
use crate::pipeline::Board;

/// Sources as the document has them.
pub(super) fn sources(board: &Board) -> Vec<SourceStatus> {
    let one = |shown: &crate::pipeline::Shown<super::status::SourceStatus>| {
        let one = &shown.status;
        let trouble = one.trouble();
        let state = match (one.is_up(), one.is_standby(), one.is_paused()) {
            (true, _, true) => State::Paused,
            (false, true, _) => State::Standby,
            (false, _, _) if one.is_halted() => State::Halted,
            (up, _, _) => doing(up, trouble.is_some()),
        };
        let told = trouble.as_ref().filter(|_| !one.is_up());
        SourceStatus {
            name: shown.name.to_string(),
            uses: shown.uses.get().to_string(),
            state,
            position: Some(one.position().to_string()).filter(|_| one.position().is_some()),
            lag_bytes: Some(one.lag_bytes()),
            lag_seconds: Some(one.lag_s()),
            retained_bytes: one.slot().and_then(|slot| slot.retained_bytes),
            wal_status: one.slot().map(|slot| slot.wal_status).filter(|status| !status.is_empty()),
            reason: told.and_then(|trouble| trouble.reason.clone()),
            pressure: one.pressure().map(|zone| zone.as_str().to_owned()),
            last_error: told.map(|trouble| trouble.error.clone()),
            next_step: told.map(|trouble| trouble.next_step.clone()),
        }
    };
    board.sources.iter().map(one).collect()
}

/// Sinks as the document has them.
pub(super) fn sinks(board: &Board) -> Vec<SinkStatus> {
    let several = board.sources.len() > 1;
    let mut all = Vec::new();
    for (index, shown) in board.sinks.iter().enumerate() {
        let one = &shown.status;
        let trouble = one.trouble();
        let told = trouble.as_ref().filter(|_| !one.is_up());
        if board.acks.iter().all(|acks| acks.open(index) == 0) {
            one.is_current();
        }
        for (at, source) in board.sources.iter().enumerate() {
            let Some(acks) = board.acks.get(at) else { continue };
            let in_flight = acks.open(index);
            let position = position(board, at, &shown.name);
            // Without anything on its way it is as far as its source.
            let behind_s = if in_flight == 0 { None } else { one.behind_s() };
            all.push(SinkStatus {
                name: shown.name.to_string(),
                uses: shown.uses.get().to_string(),
                source: several.then(|| source.name.to_string()),
                state: doing(one.is_up(), trouble.is_some()),
                position: Some(position.to_string()).filter(|_| position.is_some()),
                lag_bytes: source.status.bytes_behind(position).filter(|_| position.is_some()),
                lag_seconds: Some(behind_s.unwrap_or_else(|| source.status.lag_s())),
                in_flight,
                dead_lettered: one.dead_letters(),
                overflow_bytes: one.buffer.get().map_or(0, |buffer| buffer.disk_bytes()),
                overflow_stuck: one.buffer.get().and_then(|buffer| buffer.stuck()),
                guard: one.guard.json(),
                last_error: told.map(|trouble| trouble.error.clone()),
                next_step: told.map(|trouble| trouble.next_step.clone()),
            });
        }
    }
    all
}

fn doing(up: bool, troubled: bool) -> State {
    match (up, troubled) {
        (true, _) => State::Running,
        (false, true) => State::Retrying,
        (false, false) => State::Starting,
    }
}

/// How far a sink is in a source's WAL; 0 where that means nothing.
fn position(board: &Board, source: usize, sink: &str) -> Lsn {
    let (Some(shown), Some(acks)) = (board.sources.get(source), board.acks.get(source)) else {
        return Lsn::ZERO;
    };
    let storable = shown.status.storable();
    if !storable.is_some() {
        return Lsn::ZERO;
    }
    let mark =
        acks.standing().lanes.get(sink).and_then(|mark| Lsn::from_bytes(mark.mark.as_bytes().get(..8)?));
    storable.max(mark.unwrap_or(Lsn::ZERO))
}

/// The most pressed source's zone; `None` without backpressure.
pub(super) fn pressure(board: &Board) -> Option<Zone> {
    board.sources.iter().filter_map(|source| source.status.pressure()).max()
}

/// Positions and zones for metrics. A sink's position is that of the source that it is furthest behind in.
pub(super) fn measure(board: &Board, metrics: &Metrics) {
    for shown in &board.sources {
        let one = &shown.status;
        metrics.slots.show(&shown.name, one);
        if let Some(zone) = one.pressure() {
            metrics.zone(&shown.name, zone.number());
        }
        if let Some(bytes) = one.bytes_behind(one.position()).filter(|_| one.position().is_some()) {
            metrics.checkpoint_lag(&shown.name, bytes);
        }
    }
    for sink in &board.sinks {
        let positions = (0..board.sources.len()).map(|source| position(board, source, &sink.name));
        if let Some(least) = positions.filter(|position| position.is_some()).min() {
            metrics.ack_position(&sink.name, least.0);
        }
    }
}

/// Has the lags measured anew where they are old.
pub(super) async fn refresh(board: &Board) {
    for source in &board.sources {
        source.status.refresh().await;
    }
}
