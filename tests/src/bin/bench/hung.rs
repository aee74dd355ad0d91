//! A sink that hangs beside one that does not: what the healthy one's latency becomes.
//!
//! Same writer and same clock as in `latency`. An event that has not come when everybody stops waiting counts as that late:
//! the figures are then lower bounds, and said to be.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use pgcdc_tests::support::database::Database;

use crate::backlog::{Backlog, PUBLICATION};
use crate::latency::{self, WARM_UP};
use crate::options::Options;
use crate::report::Report;

pub(crate) const ALONE: &str = "healthy sink alone";
pub(crate) const BESIDE: &str = "healthy beside hung";

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let db = Database::create_in(Backlog::server(), "hung");
    db.execute(&format!(
        "create table marks (mark text primary key); create publication {PUBLICATION} for all tables"
    ));
    let transactions = usize::try_from(options.latency_seconds).unwrap_or(1) * 1_000 + WARM_UP;
    let hole = BlackHole::open();
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", hole.url);
    let out = ("out", "{ use: stdout }");
    for round in 0..options.rounds {
        for (name, sinks) in [(ALONE, vec![out]), (BESIDE, vec![out, ("hook", hook.as_str())])] {
            let slot = format!("hung_{round}_{}", sinks.len());
            db.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
            let race = latency::pgcdc(&db, &slot, transactions, &sinks);
            if race.missing > 0 {
                report.note(format!(
                    "{name}: {} of {transactions} events had not come when waiting ended",
                    race.missing
                ));
            }
            latency::add(report, name, race.latencies_ms);
            latency::forget(&db, &slot);
        }
    }
}

/// Takes connections, reads nothing, says nothing.
struct BlackHole {
    url: String,
    _taken: Arc<Mutex<Vec<TcpStream>>>,
}

impl BlackHole {
    fn open() -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            }
        });
        Self { url: format!("http://127.0.0.1:{port}/in"), _taken: taken }
    }
}
