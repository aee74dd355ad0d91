//! How far a slot is behind, asked for as long as its session lives: every ten seconds, or as often as backpressure needs
//! it, and sooner while somebody looks at the status.

use std::sync::{Arc, Weak};
use std::time::Duration;

use pgcdc_core::pressure::Zone;
use tokio::time::Instant;

use super::SourceLink;
use crate::wal::{Lag, Session};

const EVERY: Duration = Duration::from_secs(10);
/// However many people look.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// A slot that goes on lagging is told of again after this long.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Starts asking. What it finds goes to the source's status, its zone, and the log.
pub(crate) fn watch(link: Arc<SourceLink>, session: Weak<Session>) {
    tokio::spawn(async move {
        let every = link.pressure.as_ref().map_or(EVERY, |pressure| pressure.poll_every);
        let mut alarm = Alarm::default();
        while let Some(session) = session.upgrade() {
            match session.lag().await {
                Ok(lag) => found(&link, &session, &lag, &mut alarm),
                Err(error) if error.is_transient() => {
                    tracing::debug!(detector = &*link.name, %error, "slot lag is not known");
                }
                Err(error) => {
                    let step = error.next_step().unwrap_or_default();
                    tracing::error!(detector = &*link.name, %error, next_step = step, "slot or publication changed");
                    link.status.failed(&error.to_string(), &step);
                }
            }
            drop(session);
            let asked = Instant::now();
            tokio::select! {
                () = tokio::time::sleep_until(asked + every) => {}
                () = link.status.asked() => tokio::time::sleep_until(asked + ASKED_EVERY.min(every)).await,
            }
        }
    });
}

#[derive(Default)]
struct Alarm {
    /// When the log was told last that the slot lags.
    warned: Option<Instant>,
    wal_status: String,
}

fn found(link: &SourceLink, session: &Session, lag: &Lag, alarm: &mut Alarm) {
    let lag_bytes = lag.lag_bytes;
    link.status.lag(lag_bytes, lag.end(), session.progress().status().received);
    if let Some(pressure) = &link.pressure {
        let (from, to) = pressure.measured(lag_bytes);
        link.status.zone(to);
        if from != to {
            tracing::warn!(
                detector = &*link.name,
                from = from.as_str(),
                to = to.as_str(),
                lag_bytes,
                "backpressure zone changed"
            );
        }
    }
    let above = lag_bytes >= session.facts().slot_lag_warn_bytes;
    if above || link.status.pressure().is_some_and(|zone| zone != Zone::Green) {
        // WAL without events is stored in large steps; now every byte counts.
        link.changed.notify_one();
    }
    match alarm.warned {
        Some(at) if above && at.elapsed() < WARN_EVERY => {}
        _ if above => {
            alarm.warned = Some(Instant::now());
            let next_step =
                "see which sink is behind with `pgcdc status`: the server keeps its WAL until all have it";
            tracing::warn!(detector = &*link.name, lag_bytes, next_step, "slot lags");
        }
        Some(_) => {
            alarm.warned = None;
            tracing::info!(detector = &*link.name, lag_bytes, "slot no longer lags");
        }
        None => {}
    }
    if lag.wal_status != alarm.wal_status {
        if matches!(lag.wal_status.as_str(), "extended" | "unreserved" | "lost") {
            let next_step = "raise max_slot_wal_keep_size on the server, or help the sink that is behind";
            tracing::warn!(
                detector = &*link.name,
                wal_status = lag.wal_status,
                lag_bytes,
                next_step,
                "the server is about to drop WAL that the slot needs"
            );
        }
        alarm.wal_status.clone_from(&lag.wal_status);
    }
}
