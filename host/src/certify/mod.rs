//! `pgcdc certify`: the proof that nothing is lost, as a command, on the operator's own database.
//!
//! ```text
//! script ─► writers ─► PostgreSQL ─► the real executable, killed as planned ─► stdout, a file, a webhook
//!   (seed)     │            │  ▲                 ▲    │ between two lives            │
//!              │            │  └ slot, polled    plan └ stored checkpoint            │ inbox
//!              ▼            ▼                                  ▼                     ▼
//!           history       tables ─────────────────────────► checker ◄──────────── deliveries
//! ```
//!
//! Invariants. Nothing in the database is touched that certify has not made, and what it has made it removes. The
//! process under test is the shipped one, run as anybody would run it. What cannot be judged is not called good: a
//! life that does not go on, a line that cannot be read and a stop that is not clean are anomalies, too.

mod anomaly;
mod checker;
mod child;
mod envelope;
mod history;
mod inbox;
mod objects;
mod options;
mod plan;
mod points;
mod receiver;
mod report;
mod run;
mod script;
mod tail;
mod watch;
mod writers;

use std::process::ExitCode;

pub use options::Options;

/// Runs it, prints the report, and fails if there is any anomaly.
pub(crate) async fn command(options: Options) -> Result<ExitCode, String> {
    let json = options.json;
    let (report, kept) = run::run(options).await?;
    let kept = kept.as_deref();
    print!("{}", if json { report.json(kept) } else { report.text(kept) });
    Ok(if report.anomalies.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
