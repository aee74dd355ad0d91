//! What the doctor says of slots, and of what becomes of them at a failover. Pure.

use super::doctor_judge::{FORGOTTEN_BYTES, Finding, Level, Wanted, setting};
use super::status::bytes;
use crate::wal::health::{FAILOVER_VERSION, PREFIX, SlotView};
use crate::wal::health_facts::Examined;
use pgcdc_core::identifier::quote;

pub(super) fn judge(out: &mut Vec<Finding>, seen: &Examined, wanted: &Wanted) {
    let ours = wanted.slot.as_deref();
    for slot in
        seen.slots.iter().filter(|slot| Some(slot.name.as_str()) == ours || slot.name.starts_with(PREFIX))
    {
        out.push(slot_state(slot, Some(slot.name.as_str()) == ours));
    }
    let Some(name) = ours else { return };
    let found = seen.slots.iter().find(|slot| slot.name == name);
    if found.is_none() {
        out.push(Finding::ok("slot", format!("{name} is not there yet; pgcdc makes it")));
    }
    let kept = found.map_or(wanted.failover, |slot| slot.failover == Some(true));
    if wanted.failover && seen.version < FAILOVER_VERSION {
        let found = format!("failover is set, and PostgreSQL {} has no failover slots", seen.version);
        out.push(Finding::problem("failover", found, "leave failover out, or upgrade the server"));
    } else if kept
        && seen.server.standbys > 0
        && setting(&seen.server, "synchronized_standby_slots").is_empty()
    {
        out.push(
            Finding::warning(
                "failover",
                "synchronized_standby_slots is empty: pgcdc may get what a promoted standby never had, and halts then",
                "name the standbys' physical slots in it",
            )
            .sql("ALTER SYSTEM SET synchronized_standby_slots = '…'; SELECT pg_reload_conf();"),
        );
    } else if !kept && seen.version >= FAILOVER_VERSION && seen.server.standbys > 0 {
        let finding = Finding::warning(
            "failover",
            format!("there are standbys, and slot {name} does not survive a failover"),
            "set failover: true; for a slot that is there already, while nobody reads it",
        );
        let alter = "-- on a replication connection (psql 'replication=database …'):";
        out.push(finding.sql(format!("{alter} ALTER_REPLICATION_SLOT {} (FAILOVER true);", quote(name))));
    }
}

fn slot_state(slot: &SlotView, ours: bool) -> Finding {
    const CHECK: &str = "slot";
    let name = &slot.name;
    let kept = slot.retained_bytes.unwrap_or(0);
    let drop = format!("SELECT pg_drop_replication_slot('{}');", name.replace('\'', "''"));
    let reader = slot.active_pid.map_or_else(|| "nobody reads it".into(), |pid| format!("read by PID {pid}"));
    let found = format!("{name}: {reader}, keeps {}", bytes(kept));
    if let Some(why) = slot.invalidated() {
        let remedy = "drop it, run `pgcdc checkpoint reset`, and copy the tables anew";
        let finding = Finding::problem(CHECK, format!("{name} is lost: {why}"), remedy).sql(drop);
        return if ours { finding } else { Finding { level: Level::Warning, ..finding } };
    }
    if ours && slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("none (it is physical)");
        return Finding::problem(
            CHECK,
            format!("{name} has the plugin {plugin}, not pgoutput"),
            "name another slot with slot_name",
        );
    }
    if let Some(status @ ("extended" | "unreserved")) = slot.wal_status.as_deref() {
        let left = slot.safe_wal_size.and_then(|left| u64::try_from(left).ok()).map(bytes);
        let left = left.map(|left| format!(", lost after {left} more")).unwrap_or_default();
        let remedy = "see which sink is behind with `pgcdc status`, or raise max_slot_wal_keep_size";
        return Finding::warning(CHECK, format!("{found}, wal_status {status}{left}"), remedy);
    }
    if !slot.active && kept >= FORGOTTEN_BYTES {
        let remedy = "start the pgcdc that reads it; if there is none any more, drop it";
        return Finding::warning(CHECK, found, remedy).sql(drop);
    }
    Finding::ok(CHECK, found)
}
