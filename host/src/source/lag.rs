//! How far a slot is behind, asked for as long as its session lives: every ten seconds, or as often as backpressure needs
//! it, and sooner while somebody looks at the status.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use pgcdc_core::error::Kind;
use pgcdc_core::pressure::Zone;
use tokio::time::Instant;

use super::SourceLink;
use crate::admin::status::SlotHealth;
use crate::postgres::Error;
use crate::wal::heartbeat::Heart;
use crate::wal::{Lag, Session};

const EVERY: Duration = Duration::from_secs(10);
/// However many people look.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// A slot that goes on lagging is told of again after this long.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A publication is looked at no more often than this, and so that looking takes no more than a hundredth of the time.
const PUBLISHED_EVERY: Duration = Duration::from_secs(10);

/// Starts asking. What it finds goes to the source's status, its zone, and the log; what cannot be trusted any more is ended.
pub(crate) fn watch(link: Arc<SourceLink>, session: Weak<Session>) {
    if let Some(heart) = session.upgrade().and_then(|session| session.heart()) {
        tokio::spawn(beat(Arc::clone(&link), session.clone(), heart));
    }
    tokio::spawn(async move {
        let every = link.pressure.as_ref().map_or(EVERY, |pressure| pressure.poll_every);
        let mut alarm = Alarm::default();
        let mut published_due = Instant::now();
        while let Some(session) = session.upgrade() {
            let mut looked = session.lag().await.map(|lag| found(&link, &session, &lag, &mut alarm));
            if looked.is_ok() && Instant::now() >= published_due {
                let began = Instant::now();
                looked = published(&link, &session).await;
                published_due = Instant::now() + PUBLISHED_EVERY.max(began.elapsed() * 100);
            }
            match looked {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    tracing::debug!(detector = &*link.name, %error, "slot and publication are not known");
                }
                Err(error) => {
                    let (step, reason) = (error.next_step().unwrap_or_default(), error.reason());
                    tracing::error!(detector = &*link.name, reason, %error, next_step = step, "slot or publication changed");
                    // A login that is refused here says nothing of the stream.
                    let lost = matches!(&error, Error::Unfit { kind: Kind::Gone, .. });
                    link.status.failed_for(&error.to_string(), &step, reason, lost);
                    if lost {
                        session.fail(error);
                        return;
                    }
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

/// Compares what is published with what was, in this session or in an earlier one of this process.
async fn published(link: &SourceLink, session: &Session) -> Result<(), Error> {
    let lock = || link.published.lock().unwrap_or_else(PoisonError::into_inner);
    let before = lock().clone().unwrap_or_else(|| session.published_at_start().clone());
    let (change, now) = session.published(&before).await?;
    for news in change.news {
        tracing::info!(
            detector = &*link.name,
            "publication {}: {news}",
            session.facts().identity.publication
        );
    }
    *lock() = Some(now);
    Ok(())
}

/// Gives signs of life for as long as the session lives. A failure is told once.
async fn beat(link: Arc<SourceLink>, session: Weak<Session>, mut heart: Heart) {
    let mut failing = false;
    while session.strong_count() > 0 {
        let beaten = heart.beat().await;
        link.status.beat(beaten.is_ok());
        let failed = std::mem::replace(&mut failing, beaten.is_err());
        match beaten {
            Ok(()) if failed => tracing::info!(detector = &*link.name, "heartbeats are written again"),
            Ok(()) => {}
            Err(error) if heart.gives_up(&error) => {
                tracing::info!(detector = &*link.name, %error, "no heartbeats: the role may not");
                return;
            }
            Err(error) if !failed => {
                let next_step = error.next_step();
                tracing::warn!(detector = &*link.name, %error, next_step, "heartbeat not written; the stream goes on without");
            }
            Err(_) => {}
        }
        tokio::time::sleep(heart.every()).await;
    }
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
    link.status.slot_is(SlotHealth {
        wal_status: lag.wal_status.clone(),
        retained_bytes: lag.retained_bytes,
        safe_wal_size: lag.safe_wal_size,
    });
    if lag.wal_status != alarm.wal_status {
        if lag.wal_status == "reserved" && !alarm.wal_status.is_empty() {
            tracing::info!(
                detector = &*link.name,
                wal_status = lag.wal_status,
                "the server keeps the slot's WAL as usual again"
            );
        }
        if matches!(lag.wal_status.as_str(), "extended" | "unreserved" | "lost") {
            let next_step = "raise max_slot_wal_keep_size on the server, or help the sink that is behind";
            tracing::warn!(
                detector = &*link.name,
                wal_status = lag.wal_status,
                lag_bytes,
                retained_bytes = lag.retained_bytes,
                safe_wal_bytes = lag.safe_wal_size,
                next_step,
                "the server is about to drop WAL that the slot needs"
            );
        }
        alarm.wal_status.clone_from(&lag.wal_status);
    }
}
