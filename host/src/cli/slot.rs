//! `pgcdc slot list|status|create|drop`: the hand tool for replication slots.
//!
//! Invariant: nothing is taken from a reader: a slot in use is named with its PID, and stays.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::args::Global;
use super::database::{Target, targets};
use super::main::block_on;
use super::slot_args::{Database, Slot as Action};
use super::status::{bytes, seconds};
use super::table::{printable, table};
use crate::postgres::{Error, Session};
use crate::wal::health::{self, SlotView, Which};

/// For everything that is asked of the server.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs one of the four.
pub(super) fn command(action: Action, global: &Global) -> Result<ExitCode, String> {
    match action {
        Action::List { of, all, json } => {
            let targets = chosen(&of, global)?;
            let found = block_on(list(&targets, all))?;
            if json {
                println!("{}", json!(found));
            } else {
                print!("{}", render_list(&found));
            }
        }
        Action::Status { name, of, json } => {
            let view = with(&of, global, async |session| health::slot(session, &name).await)?;
            if json {
                println!("{}", json!(view));
            } else {
                print!("{}", render_one(&view));
            }
        }
        Action::Create { name, of, failover, json } => {
            let start = with(&of, global, async |session| health::create(session, &name, failover).await)?;
            if json {
                println!("{}", json!({ "name": name, "start_lsn": start, "failover": failover }));
            } else {
                println!(
                    "slot {name} made, from {start} on; the server keeps its WAL from now until pgcdc has it"
                );
            }
        }
        Action::Drop { name, of, json } => {
            let view = with(&of, global, async |session| health::remove(session, &name).await)?;
            if json {
                println!("{}", json!({ "name": name, "freed_bytes": view.retained_bytes }));
            } else {
                let freed = view.retained_bytes.map_or_else(|| "its WAL".to_owned(), bytes);
                println!("slot {name} dropped, which frees {freed}");
                println!(
                    "  next: a pgcdc that had stored a position for it halts with slot_missing until `pgcdc checkpoint reset`"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(of: &Database, global: &Global) -> Result<Vec<Target>, String> {
    let mut all = targets(of.db.as_deref(), &None, global)?;
    if let Some(wanted) = &of.detector {
        all.retain(|target| target.name.as_ref() == Some(wanted));
        if all.is_empty() {
            return Err(format!("the manifest has no detector `{wanted}` that reads WAL"));
        }
    }
    Ok(all)
}

/// Asks one database something, within a time.
fn with<T>(
    of: &Database,
    global: &Global,
    ask: impl AsyncFnOnce(&Session) -> Result<T, Error>,
) -> Result<T, String> {
    let targets = chosen(of, global)?;
    let [target] = targets.as_slice() else {
        return Err("the manifest has several detectors that read WAL: say which with --detector".to_owned());
    };
    block_on(async {
        let asking = async {
            let session = Session::open(&target.params).await?;
            ask(&session).await
        };
        in_time(asking).await
    })
}

async fn in_time<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_MAX, asking).await {
        Ok(answer) => answer.map_err(|error| with_step(&error)),
        Err(_) => Err(format!(
            "no answer within {} s: a transaction that is open may hold it up; `pgcdc doctor` names it",
            ANSWER_MAX.as_secs()
        )),
    }
}

/// One line: what, and the way out.
pub(super) fn with_step(error: &Error) -> String {
    match error.next_step() {
        Some(step) => format!("{error}; {step}"),
        None => error.to_string(),
    }
}

/// Slots of several databases may be of one server: each is shown once.
async fn list(targets: &[Target], all: bool) -> Result<Vec<SlotView>, String> {
    let mut found: Vec<SlotView> = Vec::new();
    for target in targets {
        let named: Vec<String> = target.options.iter().filter_map(crate::wal::Options::kept_slot).collect();
        let asking = async {
            let session = Session::open(&target.params).await?;
            health::slots(&session, if all { Which::All } else { Which::Ours(&named) }).await
        };
        for slot in in_time(asking).await? {
            if !found.iter().any(|one| one.name == slot.name && one.restart_lsn == slot.restart_lsn) {
                found.push(slot);
            }
        }
    }
    Ok(found)
}

fn render_list(slots: &[SlotView]) -> String {
    if slots.is_empty() {
        return "no slots\n".to_owned();
    }
    let rows = slots.iter().map(|slot| {
        [
            slot.name.clone(),
            slot.plugin.clone().unwrap_or_else(|| slot.kind.clone()),
            slot.database.clone().unwrap_or_default(),
            slot.active_pid.map(|pid| pid.to_string()).unwrap_or_default(),
            slot.retained_bytes.map(bytes).unwrap_or_default(),
            slot.wal_status.clone().unwrap_or_default(),
            slot.lag_bytes.map(bytes).unwrap_or_default(),
            slot.lag_seconds.map(seconds).unwrap_or_default(),
            slot.confirmed_flush_lsn.clone().unwrap_or_default(),
        ]
    });
    let header =
        ["SLOT", "PLUGIN", "DATABASE", "PID", "RETAINED", "WAL STATUS", "LAG", "BEHIND", "CONFIRMED"];
    table(header, rows)
}

fn render_one(slot: &SlotView) -> String {
    let yes = |value: Option<bool>| value.map(|value| if value { "yes" } else { "no" }.to_owned());
    let lines = [
        ("slot", Some(slot.name.clone())),
        ("kind", Some(slot.kind.clone())),
        ("plugin", slot.plugin.clone()),
        ("database", slot.database.clone()),
        ("temporary", yes(Some(slot.temporary)).filter(|_| slot.temporary)),
        ("read by PID", Some(slot.active_pid.map_or_else(|| "nobody".into(), |pid| pid.to_string()))),
        ("inactive since", slot.inactive_since.clone()),
        ("restart LSN", slot.restart_lsn.clone()),
        ("confirmed LSN", slot.confirmed_flush_lsn.clone()),
        ("retained WAL", slot.retained_bytes.map(bytes)),
        ("lag", slot.lag_bytes.map(bytes)),
        ("behind", slot.lag_seconds.map(seconds)),
        ("wal_status", slot.wal_status.clone()),
        ("safe_wal_size", slot.safe_wal_size.map(|left| bytes(u64::try_from(left).unwrap_or(0)))),
        ("invalidated", slot.invalidated()),
        ("failover", yes(slot.failover)),
        ("synced", yes(slot.synced)),
    ];
    let known = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| format!("{name:<16}{}\n", printable(&value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_as_people_see_it() {
        let slot = SlotView {
            name: "pgcdc_all".into(),
            kind: "logical".into(),
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            retained_bytes: Some(3 << 20),
            lag_bytes: Some(12),
            lag_seconds: Some(90.0),
            wal_status: Some("reserved".into()),
            confirmed_flush_lsn: Some("0/16B3748".into()),
            ..SlotView::default()
        };
        let golden = "\
SLOT       PLUGIN    DATABASE  PID  RETAINED  WAL STATUS  LAG   BEHIND  CONFIRMED
pgcdc_all  pgoutput  shop      -    3.0 MiB   reserved    12 B  90s     0/16B3748
";
        assert_eq!(render_list(std::slice::from_ref(&slot)), golden);
        let one = render_one(&slot);
        assert!(one.contains("read by PID     nobody\n") && !one.contains("failover"), "{one}");
    }
}
