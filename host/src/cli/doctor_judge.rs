//! What a look at a server means: findings, each with its remedy and the SQL to paste. Pure.
//!
//! A problem keeps pgcdc from reading; a warning will hurt some day, or leaves something out that somebody may miss.

use pgcdc_core::error::Kind;
use serde::Serialize;

use super::status::{bytes, seconds};
use crate::postgres::Error;
use crate::wal::health::{FAILOVER_VERSION, SlotView};
use crate::wal::health_facts::{Examined, ServerFacts};
use crate::wal::{Publication, quote_name};

/// The oldest version that can be read, and the oldest that its makers still mend.
const OLDEST_VERSION: u32 = 12;
const KEPT_VERSION: u32 = 14;
/// A transaction that is open for longer is named; seconds.
const LONG_S: u64 = 60;
/// Below this a server cuts off whoever hiccups; milliseconds.
const SENDER_TIMEOUT_MIN_MS: u64 = 5_000;
/// A slot that nobody reads and that keeps more than this is named; bytes.
const FORGOTTEN_BYTES: u64 = 100 << 20;

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
    fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, found: found.into(), remedy: None, sql: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, remedy: Some(remedy.into()), ..Finding::ok(check, found) }
    }

    fn problem(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, remedy: Some(remedy.into()), ..Finding::ok(check, found) }
    }

    fn sql(self, sql: impl Into<String>) -> Finding {
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
        publication(&mut out, seen, name, wanted.all_tables);
    }
    slots(&mut out, seen, wanted);
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

fn setting<'a>(server: &'a ServerFacts, name: &str) -> &'a str {
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
    let user = quote_name(&seen.server.user);
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

fn publication(out: &mut Vec<Finding>, seen: &Examined, name: &str, all_tables: bool) {
    const CHECK: &str = "publication";
    let quoted = quote_name(name);
    let Some(Some(found)) = &seen.publication else {
        let missing = format!("publication {name} is not in database {}", seen.server.database);
        let create = format!("CREATE PUBLICATION {quoted} FOR ALL TABLES;");
        out.push(if all_tables && (seen.server.superuser || seen.server.may_create) {
            Finding::ok(CHECK, format!("{missing}; pgcdc makes it, as all_tables says"))
        } else {
            Finding::problem(CHECK, missing, "make it before the slot is made").sql(create)
        });
        return;
    };
    tables(out, found, name);
    left_out(out, found, name, &quoted);
    if !seen.unreadable.is_empty() {
        let tables = listed(&seen.unreadable);
        let user = quote_name(&seen.server.user);
        let sql = format!("GRANT SELECT ON {} TO {user};", seen.unreadable.join(", "));
        out.push(
            Finding::warning(
                "table rights",
                format!("role {user} may not read {tables}"),
                "changes arrive all the same, but a copy of the tables needs it",
            )
            .sql(sql),
        );
    } else if found.tables > 0 {
        out.push(Finding::ok("table rights", "the role may read every published table"));
    }
}

fn tables(out: &mut Vec<Finding>, found: &Publication, name: &str) {
    let count = found.tables;
    out.push(match (count, found.all_tables) {
        (0, false) => {
            Finding::problem("publication", format!("{name} lists no table"), "add what is to be captured")
                .sql(format!("ALTER PUBLICATION {} ADD TABLE …;", quote_name(name)))
        }
        (_, true) => Finding::ok("publication", format!("{name}: all tables, {count} at present")),
        (_, false) => Finding::ok("publication", format!("{name}: {count} tables")),
    });
    if found.no_identity.is_empty() {
        out.push(Finding::ok("replica identity", "every published table has one"));
    } else {
        let sql = found.no_identity.iter().map(|table| format!("ALTER TABLE {table} REPLICA IDENTITY FULL;"));
        out.push(
            Finding::warning(
                "replica identity",
                format!("the application's UPDATE and DELETE fail on {}", listed(&found.no_identity)),
                "give each a primary key, or FULL, which writes whole old rows to the WAL",
            )
            .sql(sql.collect::<Vec<_>>().join(" ")),
        );
    }
}

fn left_out(out: &mut Vec<Finding>, found: &Publication, name: &str, quoted: &str) {
    let mut say = |tables: &[String], what: &str, remedy: &str, sql: Option<String>| {
        if !tables.is_empty() {
            let finding = Finding::warning("left out", format!("{what}: {}", listed(tables)), remedy);
            out.push(Finding { sql, ..finding });
        }
    };
    let each = |tables: &[String], what: &dyn Fn(&String) -> String| {
        Some(tables.iter().map(what).collect::<Vec<_>>().join(" "))
    };
    say(
        &found.filtered,
        "a row filter hides rows of",
        "nothing if that is meant; to have them, set the table again without WHERE",
        each(&found.filtered, &|table| {
            format!(
                "ALTER PUBLICATION {quoted} DROP TABLE {table}; ALTER PUBLICATION {quoted} ADD TABLE {table};"
            )
        }),
    );
    say(
        &found.some_columns,
        "a column list hides columns of",
        "nothing if that is meant; to have them, set the table again without its list",
        each(&found.some_columns, &|table| {
            format!(
                "ALTER PUBLICATION {quoted} DROP TABLE {table}; ALTER PUBLICATION {quoted} ADD TABLE {table};"
            )
        }),
    );
    say(
        &found.unpublished,
        &format!("{name} does not publish"),
        "nothing if that is meant; consumers otherwise keep rows that are gone",
        Some(format!("ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate');")),
    );
    let all = found.all_tables;
    say(
        &found.unlogged,
        "unlogged tables are never replicated",
        "nothing if that is meant; else make them logged",
        each(&found.unlogged, &|table| format!("ALTER TABLE {table} SET LOGGED;")),
    );
    if !all {
        say(
            &found.unlisted,
            &format!("{name} does not list"),
            "nothing if that is meant",
            Some(format!("ALTER PUBLICATION {quoted} ADD TABLE {};", found.unlisted.join(", "))),
        );
    }
}

fn slots(out: &mut Vec<Finding>, seen: &Examined, wanted: &Wanted) {
    let ours = wanted.slot.as_deref();
    for slot in
        seen.slots.iter().filter(|slot| Some(slot.name.as_str()) == ours || slot.name.starts_with("pgcdc_"))
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
        out.push(
            finding.sql(format!("{alter} ALTER_REPLICATION_SLOT {} (FAILOVER true);", quote_name(name))),
        );
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

/// Signs of life are written by message unless a table is named.
fn heartbeat(seen: &Examined) -> Option<Finding> {
    if seen.server.may_emit || seen.server.in_recovery {
        return None;
    }
    let more = if seen.version >= 17 { ", boolean" } else { "" };
    let function = format!("pg_logical_emit_message(boolean, text, text{more})");
    let user = quote_name(&seen.server.user);
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
            .sql(format!("GRANT pg_read_all_stats TO {};", quote_name(&server.user))),
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
    text.split(names).any(fits).then(|| {
        Finding::problem(
            CHECK,
            format!("`{text}` takes pgcdc for a standby: commits may wait until every sink has them"),
            "name the standbys one by one, and not pgcdc's application_name",
        )
        .sql("ALTER SYSTEM SET synchronous_standby_names = '…'; SELECT pg_reload_conf();")
    })
}

fn listed(tables: &[String]) -> String {
    tables.join(", ")
}

/// The SQL for a role that can do no more than it must. `role` is its name.
pub(super) fn role_sql(seen: &Examined, wanted: &Wanted, role: &str) -> String {
    let (role, database) = (quote_name(role), quote_name(&seen.server.database));
    let mut lines = vec![
        format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD '…';"),
        format!("GRANT CONNECT ON DATABASE {database} TO {role};"),
    ];
    if let Some(name) = &wanted.publication {
        let quoted = quote_name(name);
        if matches!(seen.publication, Some(None)) {
            lines.push(format!("CREATE PUBLICATION {quoted} FOR ALL TABLES; -- or FOR TABLE …"));
        }
        let name = name.replace('\'', "''");
        lines.push("-- what a copy of the tables needs; changes alone do without:".to_owned());
        lines.push(format!(
            "DO $$ DECLARE t record; BEGIN FOR t IN SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = '{name}' LOOP \
             EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', t.schemaname); \
             EXECUTE format('GRANT SELECT ON %I.%I TO {role}', t.schemaname, t.tablename); END LOOP; END $$;"
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::health_facts::{Prepared, Writing};

    fn seen(change: impl FnOnce(&mut Examined)) -> Examined {
        let settings = [
            ("wal_level", "logical"),
            ("max_replication_slots", "10"),
            ("max_wal_senders", "10"),
            ("max_slot_wal_keep_size", "51200"),
            ("wal_sender_timeout", "60000"),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let server = ServerFacts {
            database: "shop".into(),
            user: "cdc".into(),
            sees_all: true,
            may_emit: true,
            settings: settings.collect(),
            ..ServerFacts::default()
        };
        let mut seen = Examined {
            place: "h:5432".into(),
            port: Some(5432),
            version: 17,
            server,
            replication: Ok(()),
            publication: None,
            unreadable: Vec::new(),
            slots: Vec::new(),
        };
        change(&mut seen);
        seen
    }

    /// Findings that are not ok.
    fn troubles(seen: &Examined, wanted: &Wanted) -> Vec<(&'static str, Level)> {
        let all = judge(seen, wanted);
        for finding in &all {
            assert_eq!(finding.remedy.is_some(), finding.level != Level::Ok, "{finding:?}");
        }
        all.iter().filter(|one| one.level != Level::Ok).map(|one| (one.check, one.level)).collect()
    }

    fn set(seen: &mut Examined, name: &str, value: &str) {
        seen.server.settings.insert(name.into(), value.into());
    }

    #[test]
    fn a_sound_server_has_nothing_to_say() {
        assert_eq!(troubles(&seen(|_| {}), &Wanted::default()), []);
    }

    #[test]
    fn settings_that_hurt_are_named() {
        let of = |name: &str, value: &str| {
            troubles(
                &seen(|seen| set(seen, name, value)),
                &Wanted { application: "pgcdc".into(), ..Wanted::default() },
            )
        };
        assert_eq!(of("wal_level", "replica"), [("wal_level", Level::Problem)]);
        assert_eq!(of("max_slot_wal_keep_size", "-1"), [("max_slot_wal_keep_size", Level::Warning)]);
        assert_eq!(of("max_slot_wal_keep_size", "1"), [("max_slot_wal_keep_size", Level::Warning)]);
        assert_eq!(of("wal_sender_timeout", "1000"), [("wal_sender_timeout", Level::Warning)]);
        assert_eq!(of("wal_sender_timeout", "0"), []);
        assert_eq!(
            of("idle_replication_slot_timeout", "60"),
            [("idle_replication_slot_timeout", Level::Warning)]
        );
        for names in ["*", "ANY 1 (a, pgcdc)", "FIRST 2 (\"pgcdc\", b)", "PGCDC"] {
            assert_eq!(
                of("synchronous_standby_names", names),
                [("synchronous_standby_names", Level::Problem)],
                "{names}"
            );
        }
        assert_eq!(of("synchronous_standby_names", "ANY 1 (standby_a, pgcdc_standby)"), []);
    }

    #[test]
    fn room_is_counted_unless_ours_is_among_it() {
        let wanted = Wanted { slot: Some("pgcdc_p".into()), ..Wanted::default() };
        let full = |slots: Vec<SlotView>| {
            seen(|seen| {
                seen.server.slots_used = 10;
                seen.slots = slots;
            })
        };
        assert_eq!(troubles(&full(vec![]), &wanted), [("max_replication_slots", Level::Problem)]);
        let ours =
            SlotView { name: "pgcdc_p".into(), plugin: Some("pgoutput".into()), ..SlotView::default() };
        assert_eq!(troubles(&full(vec![ours]), &wanted), []);
    }

    #[test]
    fn slots_that_are_lost_or_forgotten_are_named() {
        let slot = |name: &str| SlotView {
            name: name.into(),
            plugin: Some("pgoutput".into()),
            ..SlotView::default()
        };
        let wanted = Wanted { slot: Some("mine".into()), ..Wanted::default() };
        let of = |slot: SlotView| troubles(&seen(|seen| seen.slots = vec![slot]), &wanted);
        let lost = |name: &str| SlotView { wal_status: Some("lost".into()), ..slot(name) };
        assert_eq!(of(lost("mine")), [("slot", Level::Problem)]);
        assert_eq!(of(lost("pgcdc_old")), [("slot", Level::Warning)]);
        assert_eq!(of(lost("theirs")), []);
        assert_eq!(
            of(SlotView { retained_bytes: Some(1 << 30), ..slot("pgcdc_old") }),
            [("slot", Level::Warning)]
        );
        assert_eq!(
            of(SlotView { wal_status: Some("unreserved".into()), ..slot("mine") }),
            [("slot", Level::Warning)]
        );
        assert_eq!(
            of(SlotView { plugin: Some("wal2json".into()), ..slot("mine") }),
            [("slot", Level::Problem)]
        );
    }

    #[test]
    fn standbys_ask_for_a_failover_slot() {
        let of = |version: u32, failover: bool, named: &str| {
            let wanted = Wanted { slot: Some("s".into()), failover, ..Wanted::default() };
            let seen = seen(|seen| {
                seen.version = version;
                seen.server.standbys = 1;
                set(seen, "synchronized_standby_slots", named);
            });
            troubles(&seen, &wanted)
        };
        assert_eq!(of(17, false, ""), [("failover", Level::Warning)]);
        assert_eq!(of(17, true, ""), [("failover", Level::Warning)]);
        assert_eq!(of(17, true, "standby"), []);
        assert_eq!(of(16, true, ""), [("failover", Level::Problem)]);
        assert_eq!(of(16, false, ""), []);
    }

    #[test]
    fn what_holds_wal_is_named_with_the_statement_that_ends_it() {
        let seen = seen(|seen| {
            seen.server.writing = vec![
                Writing { pid: 7, age_s: 61, ..Writing::default() },
                Writing { pid: 8, age_s: 5, ..Writing::default() },
            ];
            seen.server.prepared = vec![Prepared { gid: "it's".into(), ..Prepared::default() }];
        });
        let sql: Vec<String> =
            judge(&seen, &Wanted::default()).into_iter().filter_map(|one| one.sql).collect();
        assert_eq!(
            sql,
            ["SELECT pg_terminate_backend(7);", "COMMIT PREPARED 'it''s'; -- or ROLLBACK PREPARED 'it''s';"]
        );
    }

    #[test]
    fn a_role_without_messages_is_told_the_grant() {
        let grant = |version| {
            let seen = seen(|seen| (seen.version, seen.server.may_emit) = (version, false));
            judge(&seen, &Wanted::default())
                .into_iter()
                .find(|one| one.check == "heartbeat")
                .and_then(|one| one.sql)
        };
        let sql = "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO \"cdc\";";
        assert_eq!(grant(15).as_deref(), Some(sql));
        assert!(grant(17).is_some_and(|sql| sql.contains("text, boolean)")));
    }

    #[test]
    fn another_port_than_the_servers_is_told() {
        assert_eq!(
            troubles(&seen(|seen| seen.server.port = Some(6432)), &Wanted::default()),
            [("proxy", Level::Warning)]
        );
    }
}
