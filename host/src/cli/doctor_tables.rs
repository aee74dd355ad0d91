//! What the doctor says of a publication and its tables, and the SQL for a role that reads them. Pure.

use super::doctor_judge::{Finding, Wanted};
use crate::wal::health_facts::Examined;
use pgcdc_core::identifier::quote;

use crate::wal::Publication;

pub(super) fn publication(out: &mut Vec<Finding>, seen: &Examined, name: &str, all_tables: bool) {
    const CHECK: &str = "publication";
    let quoted = quote(name);
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
        let user = quote(&seen.server.user);
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
                .sql(format!("ALTER PUBLICATION {} ADD TABLE …;", quote(name)))
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

fn listed(tables: &[String]) -> String {
    tables.join(", ")
}

/// The SQL for a role that can do no more than it must. `role` is its name.
pub(super) fn role_sql(seen: &Examined, wanted: &Wanted, role: &str) -> String {
    let (role, database) = (quote(role), quote(&seen.server.database));
    let mut lines = vec![
        format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD '…';"),
        format!("GRANT CONNECT ON DATABASE {database} TO {role};"),
    ];
    if let Some(name) = &wanted.publication {
        let quoted = quote(name);
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
