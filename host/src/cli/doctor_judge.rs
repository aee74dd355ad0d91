//! What a look at a server means: findings, each with its remedy and the SQL to paste. Pure.
//!
//! A problem keeps pgcdc from reading; a warning will hurt some day, or leaves something out that somebody may miss.

use pgcdc_core::error::Kind;
use serde::Serialize;

use super::status::{bytes, seconds};
use super::{doctor_slots as slots, doctor_tables as tables};
use crate::postgres::Error;
use crate::wal::health_facts::{Examined, ServerFacts};
use pgcdc_core::identifier::quote;

/// The oldest version that can be read, and the oldest that its makers still mend.
const OLDEST_VERSION: u32 = 12;
const KEPT_VERSION: u32 = 14;
/// A transaction that is open for longer is named; seconds.
const LONG_S: u64 = 60;
/// Below this a server cuts off whoever hiccups; milliseconds.
const SENDER_TIMEOUT_MIN_MS: u64 = 5_000;
/// A slot that nobody reads and that keeps more than this is named; bytes.
pub(super) const FORGOTTEN_BYTES: u64 = 100 << 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Problem,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// In words; none if there is nothing to do.
    pub(super) remedy: Option<String>,
    /// To be run as a superuser or the tables' owner.
    pub(super) sql: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, found: found.into(), remedy: None, sql: None }
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Warning, remedy: Some(remedy.into()), ..Finding::ok(check, found) }
    }

    pub(super) fn problem(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Problem, remedy: Some(remedy.into()), ..Finding::ok(check, found) }
    }

    pub(super) fn sql(self, sql: impl Into<String>) -> Finding {
        Finding { sql: Some(sql.into()), ..self }
    }
}

/// What the source is to read.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) publication: Option<String>,
    /// The publication is made if it is missing.
    pub(super) all_tables: bool,
    /// The kept slot.
    pub(super) slot: Option<String>,
    pub(super) failover: bool,
    pub(super) application: String,
}

/// There is no session at all.
pub(super) fn unreachable(error: &Error) -> Finding {
    let step = error
        .next_step()
        .unwrap_or_else(|| "check that the server is up and can be reached from here".into());
    Finding::problem("connection", error.to_string(), step)
}

/// Everything, in the order in which it has to be mended.
pub(super) fn judge(seen: &Examined, wanted: &Wanted) -> Vec<Finding> {
    let mut out = vec![Finding::ok(
        "connection",
        format!("{} as {}, database {}", seen.place, seen.server.user, seen.server.database),
    )];
    out.extend(between(seen));
    out.push(version(seen));
    out.push(wal_level(&seen.server));
    out.extend(standby(seen));
    out.push(login(seen));
    out.push(room(
        "max_replication_slots",
        &seen.server,
        seen.server.slots_used,
        wanted.slot.as_ref().is_some_and(|name| seen.slots.iter().any(|slot| slot.name == *name)),
    ));
    // The look itself had a connection for replication, and has given it back by now.
    let reads = wanted.slot.as_ref().and_then(|name| seen.slots.iter().find(|slot| slot.name == *name));
    let has_sender = reads.is_some_and(|slot| slot.active);
    out.push(room("max_wal_senders", &seen.server, seen.server.senders_used, has_sender));
    out.push(keep_size(&seen.server));
    out.push(sender_timeout(&seen.server));
    out.extend(idle_timeout(&seen.server));
    if let Some(name) = &wanted.publication {
        tables::publication(&mut out, seen, name, wanted.all_tables);
    }
    slots::judge(&mut out, seen, wanted);
    out.extend(heartbeat(seen));
    transactions(&mut out, &seen.server);
    out.extend(synchronous(&seen.server, &wanted.application));
    out
}

fn between(seen: &Examined) -> Option<Finding> {
    let (dialled, listens) = (seen.port?, seen.server.port?);
    (dialled != listens).then(|| {
        Finding::warning(
            "proxy",
            format!("port {dialled} was dialled, and the server listens on {listens}: something stands between"),
            "name the server itself, unless what stands between passes replication on (PgBouncer before 1.23 does not)",
        )
    })
}

fn version(seen: &Examined) -> Finding {
    let found = format!("PostgreSQL {}", seen.version);
    match seen.version {
        version if version < OLDEST_VERSION => Finding::problem(
            "version",
            format!("{found} is older than {OLDEST_VERSION}"),
            "upgrade the server",
        ),
        version if version < KEPT_VERSION => Finding::warning(
            "version",
            format!("{found} gets no more fixes"),
            "plan an upgrade of the server",
        ),
        _ => Finding::ok("version", found),
    }
}

pub(super) fn setting<'a>(server: &'a ServerFacts, name: &str) -> &'a str {
    server.settings.get(name).map_or("", String::as_str)
}

fn wal_level(server: &ServerFacts) -> Finding {
    match setting(server, "wal_level") {
        "logical" => Finding::ok("wal_level", "logical"),
        other => Finding::problem(
            "wal_level",
            format!("{other}, not logical"),
            "set it and restart the server (managed services have a parameter for it, e.g. rds.logical_replication)",
        )
        .sql("ALTER SYSTEM SET wal_level = 'logical';"),
    }
}

fn standby(seen: &Examined) -> Option<Finding> {
    if !seen.server.in_recovery {
        return None;
    }
    let remedy = "name the primary, or list all servers and set target_session_attrs=read-write";
    Some(if seen.version >= 16 {
        Finding::warning(
            "standby",
            "this is a standby: it decodes, but a slot here does not follow a failover",
            remedy,
        )
    } else {
        Finding::problem(
            "standby",
            format!("this is a standby, and PostgreSQL {} decodes only on a primary", seen.version),
            remedy,
        )
    })
}

fn login(seen: &Examined) -> Finding {
    let user = quote(&seen.server.user);
    let Err(error) = &seen.replication else {
        return Finding::ok(
            "replication login",
            format!("role {user} may replicate, and pg_hba.conf lets it in"),
        );
    };
    let step = error.next_step().unwrap_or_else(|| "see the server's log".into());
    let finding = Finding::problem("replication login", error.to_string(), step);
    match (error.kind(), error.sqlstate()) {
        (Kind::Denied, _) => finding.sql(format!("ALTER ROLE {user} REPLICATION;")),
        // 53300: there is no room now, which is another finding's.
        _ => finding,
    }
}

/// Slots and senders are given out of a fixed number. `has`: ours is among those that are used.
fn room(name: &'static str, server: &ServerFacts, used: u64, has: bool) -> Finding {
    let most: u64 = setting(server, name).parse().unwrap_or(0);
    let free = most.saturating_sub(used);
    let found = format!("{used} of {most} in use, {free} free");
    let sql = || format!("ALTER SYSTEM SET {name} = {};", (most * 2).max(10));
    match (free, has) {
        (0, false) => {
            let remedy = format!(
                "raise {name} and restart the server, or drop a slot that nobody uses (`pgcdc slot list --all`)"
            );
            Finding::problem(name, found, remedy).sql(sql())
        }
        (1, false) => {
            let remedy =
                format!("raise {name} at the next restart: a reconnect may need one more for a moment");
            Finding::warning(name, found, remedy).sql(sql())
        }
        _ => Finding::ok(name, found),
    }
}

fn keep_size(server: &ServerFacts) -> Finding {
    const NAME: &str = "max_slot_wal_keep_size";
    let Ok(megabytes) = setting(server, NAME).parse::<i64>() else {
        return Finding::ok(NAME, "not known to this version: a slot keeps all that it needs");
    };
    let Ok(kept_mb) = u64::try_from(megabytes) else {
        return Finding::warning(
            NAME,
            "no limit: a pgcdc that is down or behind fills the server's disk in the end",
            "set a limit that the disk bears; beyond it a slot is lost, and the tables have to be copied anew, so watch pgcdc_slot_wal_status",
        )
        .sql("ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();");
    };
    let found = bytes(kept_mb << 20);
    if kept_mb << 20 < FORGOTTEN_BYTES {
        return Finding::warning(
            NAME,
            format!("{found}: a slot is lost after that much WAL"),
            "raise it: a short stop of pgcdc should not cost a new copy of the tables",
        )
        .sql("ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();");
    }
    Finding::ok(NAME, format!("{found}: what falls behind by more loses its slot"))
}

fn sender_timeout(server: &ServerFacts) -> Finding {
    const NAME: &str = "wal_sender_timeout";
    match setting(server, NAME).parse::<u64>() {
        Ok(0) => Finding::ok(NAME, "off: a connection that is dead holds its slot until TCP notices"),
        Ok(timeout_ms) if timeout_ms < SENDER_TIMEOUT_MIN_MS => Finding::warning(
            NAME,
            format!("{timeout_ms} ms: a pause of the network ends the connection"),
            "set it to 60s",
        )
        .sql("ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();"),
        Ok(timeout_ms) => Finding::ok(NAME, seconds(timeout_ms as f64 / 1e3)),
        Err(_) => Finding::ok(NAME, "not known"),
    }
}

fn idle_timeout(server: &ServerFacts) -> Option<Finding> {
    const NAME: &str = "idle_replication_slot_timeout";
    // Minutes in version 18, seconds since.
    let limit: u64 = setting(server, NAME).parse().ok()?;
    (limit > 0).then(|| {
        Finding::warning(
            NAME,
            "a slot that nobody reads for that long is lost, also while pgcdc is only stopped",
            "turn it off, or make sure that pgcdc is never stopped for so long",
        )
        .sql("ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();")
    })
}

/// Signs of life are written by message unless a table is named.
fn heartbeat(seen: &Examined) -> Option<Finding> {
    if seen.server.may_emit || seen.server.in_recovery {
        return None;
    }
    let more = if seen.version >= 17 { ", boolean" } else { "" };
    let function = format!("pg_logical_emit_message(boolean, text, text{more})");
    let user = quote(&seen.server.user);
    let finding = Finding::warning(
        "heartbeat",
        "the role may not write logical messages, so there are no heartbeats",
        "let it, or name a heartbeat_table",
    );
    Some(finding.sql(format!("GRANT EXECUTE ON FUNCTION {function} TO {user};")))
}

fn transactions(out: &mut Vec<Finding>, server: &ServerFacts) {
    const CHECK: &str = "long transactions";
    for one in server.writing.iter().filter(|one| one.age_s >= LONG_S) {
        let who = [
            one.user.as_deref(),
            one.application.as_deref().filter(|name| !name.is_empty()),
            one.state.as_deref(),
        ];
        let who: Vec<&str> = who.into_iter().flatten().collect();
        let found = format!(
            "PID {} ({}), open for {}: holds WAL, and a new slot waits for it",
            one.pid,
            who.join(", "),
            seconds(one.age_s as f64)
        );
        out.push(
            Finding::warning(CHECK, found, "have it end, or end it")
                .sql(format!("SELECT pg_terminate_backend({});", one.pid)),
        );
    }
    for one in &server.prepared {
        let gid = one.gid.replace('\'', "''");
        let found = format!(
            "transaction '{}' of {} in {} is prepared for {}: holds WAL, and a new slot waits for it",
            one.gid,
            one.owner,
            one.database,
            seconds(one.age_s as f64)
        );
        out.push(
            Finding::warning("prepared transactions", found, format!("end it, in database {}", one.database))
                .sql(format!("COMMIT PREPARED '{gid}'; -- or ROLLBACK PREPARED '{gid}';")),
        );
    }
    if !server.sees_all {
        out.push(
            Finding::warning(
                CHECK,
                "this role does not see other roles' sessions",
                "let it, or run doctor as one that does",
            )
            .sql(format!("GRANT pg_read_all_stats TO {};", quote(&server.user))),
        );
    } else if server.prepared.is_empty() && !server.writing.iter().any(|one| one.age_s >= LONG_S) {
        out.push(Finding::ok(CHECK, "none"));
    }
}

/// A commit that waits for us would wait for every sink.
fn synchronous(server: &ServerFacts, application: &str) -> Option<Finding> {
    const CHECK: &str = "synchronous_standby_names";
    let text = setting(server, CHECK);
    let names = |char: char| !(char.is_alphanumeric() || matches!(char, '_' | '-' | '*' | '"'));
    let fits = |word: &str| word == "*" || word.trim_matches('"').eq_ignore_ascii_case(application);
    text.split(names).filter(|word| !word.is_empty()).any(fits).then(|| {
        Finding::problem(
            CHECK,
            format!("`{text}` takes pgcdc for a standby: commits may wait until every sink has them"),
            "name the standbys one by one, and not pgcdc's application_name",
        )
        .sql("ALTER SYSTEM SET synchronous_standby_names = '…'; SELECT pg_reload_conf();")
    })
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
