//! Looks at the slot all the time: what it has confirmed, and how much the sinks had by then.
//!
//! Invariant: the slot is asked first and the sinks after it, so that a sink is never blamed for what came in between.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgcdc_core::lsn::Lsn;

use super::history::Sample;
use super::inbox::{self, FILE, Inbox, WEBHOOK};
use crate::postgres::{Params, Session};

const EVERY: Duration = Duration::from_millis(20);
/// When the server is away.
const AWAY: Duration = Duration::from_millis(200);

/// The look-out, as long as it is held.
pub(crate) struct Watch {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(crate) fn start(params: &Params, slot: &str, inbox: &Arc<Inbox>, file: PathBuf) -> Watch {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let looking = look(params.clone(), slot.to_owned(), Arc::clone(inbox), file, Arc::clone(&samples));
        Watch { samples, task: tokio::spawn(looking) }
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// One for each position that was seen.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn look(
    params: Params,
    slot: String,
    inbox: Arc<Inbox>,
    file: PathBuf,
    samples: Arc<Mutex<Vec<Sample>>>,
) {
    let sql =
        format!("select confirmed_flush_lsn from pg_catalog.pg_replication_slots where slot_name = '{slot}'");
    let mut session = None;
    let mut last = Lsn::ZERO;
    loop {
        if session.is_none() {
            session = Session::open(&params).await.ok();
        }
        let Some(open) = &session else {
            tokio::time::sleep(AWAY).await;
            continue;
        };
        let Ok(rows) = open.rows(&sql, "looking at the slot").await else {
            session = None;
            continue;
        };
        let cell = rows.into_iter().flatten().flatten().next();
        let confirmed = cell.and_then(|cell| cell.parse().ok()).unwrap_or(Lsn::ZERO);
        if confirmed > last && inbox.read_file(&file).is_ok() {
            last = confirmed;
            let taken = [FILE, WEBHOOK].map(|sink| (inbox::name(sink), inbox.len(sink)));
            let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
            samples.push(Sample { confirmed, taken: taken.to_vec() });
        }
        tokio::time::sleep(EVERY).await;
    }
}
