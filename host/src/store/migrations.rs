//! pgcdc's own tables, made and changed before anything opens: `migrations/` at the root, one numbered file after the other.
//!
//! A component says in its config's schema which property names such a table (`format: table`), and of which kind; the
//! database is the `postgres` endpoint beside it. Nothing here knows a component by name.
//!
//! Invariants. Each file runs once for each table, in one transaction with its line in `pgcdc_migrations`. Processes that
//! start at once wait for each other. If nothing is missing, no right is needed but to read.

use std::collections::HashSet;
use std::sync::Arc;

use pgcdc_core::identifier::quote;
use serde_json::Value;

use crate::component::grants::Grants;
use crate::manifest::ready::Ready;
use crate::manifest::schema::{Meaning, Schema, join};
use crate::postgres::{Error, Params, Session};

/// One file.
struct Migration {
    version: u32,
    /// The kind of table that it is for.
    kind: &'static str,
    sql: &'static str,
}

const ALL: &[Migration] = &[
    Migration { version: 1, kind: "state", sql: include_str!("../../../migrations/0001_state.sql") },
    Migration {
        version: 2,
        kind: "dead_letters",
        sql: include_str!("../../../migrations/0002_dead_letters.sql"),
    },
    Migration { version: 3, kind: "events", sql: include_str!("../../../migrations/0003_events.sql") },
];

/// Where it is written down what has run.
const LEDGER: &str = "create table if not exists pgcdc_migrations (version integer not null, relation text not null, \
    applied_at timestamptz not null default now(), primary key (version, relation)); \
    comment on table pgcdc_migrations is 'Kept by pgcdc: which migrations have run.'";
/// The advisory lock of all who migrate: `pgcdc` in ASCII.
const LOCK: i64 = 0x70_67_63_64_63;

/// A table that a component keeps something in.
pub(crate) struct Wanted {
    /// The operator's name for the component.
    pub(crate) who: String,
    pub(crate) database: Arc<Params>,
    kind: String,
    /// As it was typed.
    table: String,
}

/// The tables that a component's config names. The error is for the operator.
pub(crate) fn wanted(ready: &Ready, grants: &Grants) -> Result<Vec<Wanted>, String> {
    let mut found = Vec::new();
    collect(ready, grants, &ready.description.config, &ready.config, "", &mut found)?;
    Ok(found)
}

fn collect(
    ready: &Ready,
    grants: &Grants,
    schema: &Schema,
    config: &Value,
    path: &str,
    found: &mut Vec<Wanted>,
) -> Result<(), String> {
    for (name, property) in &schema.properties {
        let Some(value) = config.get(name) else { continue };
        collect(ready, grants, property, value, &join(path, name), found)?;
        let (Some(kind), Some(table)) = (&property.table, value.as_str()) else { continue };
        let mut beside = schema.properties.iter();
        let endpoint = beside.find(|(_, other)| matches!(other.meaning(), Meaning::Endpoint("postgres")));
        let database = endpoint.and_then(|(beside, _)| grants.postgres(&join(path, beside)));
        let Some(database) = database.map(Arc::clone) else { continue };
        if !ALL.iter().any(|migration| migration.kind == kind) {
            return Err(format!(
                "{}: {} needs a table of the kind `{kind}`, which this pgcdc does not know: use a newer pgcdc, or make \
                 the table by hand and start with --skip-migrations",
                ready.name, ready.description.name
            ));
        }
        let (who, kind, table) = (ready.name.clone(), kind.clone(), table.to_owned());
        found.push(Wanted { who, database, kind, table });
    }
    Ok(())
}

impl Wanted {
    fn migrations(&self) -> impl Iterator<Item = &'static Migration> {
        ALL.iter().filter(|migration| migration.kind == self.kind)
    }

    /// Runs what has not run yet. The error is for the operator, with the way out.
    pub(crate) async fn migrate(&self) -> Result<(), String> {
        match self.try_migrate().await {
            Ok(()) => Ok(()),
            Err(Problem::Name(error)) => Err(format!("{}: {error}", self.who)),
            Err(Problem::Session(error)) => Err(self.explained(&error)),
        }
    }

    fn explained(&self, error: &Error) -> String {
        let who = &self.who;
        let next_step = match error.sqlstate() {
            Some("42501" | "25006" | "3F000") => Some(
                "have what `pgcdc init --state` prints for this manifest run by a role that may make tables, then start again"
                    .to_owned(),
            ),
            Some("42703") => Some(
                "pgcdc_migrations was made by something else: give pgcdc a schema of its own (options=-csearch_path=…)".to_owned(),
            ),
            _ => error.next_step(),
        };
        match next_step {
            Some(step) => format!("{who}: its table {} cannot be made: {error}; {step}", self.table),
            None => format!("{who}: its table {} cannot be made: {error}", self.table),
        }
    }

    async fn try_migrate(&self) -> Result<(), Problem> {
        let session = Session::open(&self.database).await?;
        let done = done(&session).await?;
        for migration in self.migrations() {
            if done.contains(&(migration.version.to_string(), self.table.clone())) {
                continue;
            }
            let lock = format!("begin; select pg_advisory_xact_lock({LOCK})");
            run(&session, &lock).await?;
            run(&session, LEDGER).await?;
            // Somebody else may have been faster.
            if self::done(&session).await?.contains(&(migration.version.to_string(), self.table.clone())) {
                run(&session, "rollback").await?;
                continue;
            }
            run(&session, &self.script(migration)?).await?;
            run(&session, "commit").await?;
            tracing::info!(
                connector = self.who,
                table = self.table,
                version = migration.version,
                "migration applied"
            );
        }
        Ok(())
    }

    /// The statements of one migration, its line in the ledger included.
    fn script(&self, migration: &Migration) -> Result<String, Problem> {
        let table = Name::parse(&self.table).map_err(Problem::Name)?;
        let body = table.fill(migration.sql);
        let relation = self.table.replace('\'', "''");
        let version = migration.version;
        Ok(format!(
            "{body}insert into pgcdc_migrations (version, relation) values ({version}, '{relation}') on conflict do nothing;\n"
        ))
    }

    /// Everything that this table needs, for somebody else to run; running it again changes nothing.
    pub(crate) fn sql(&self) -> Result<String, String> {
        let mut out = format!("-- {}: the table {} in {}\n", self.who, self.table, self.database);
        out.push_str(&format!("begin;\nselect pg_advisory_xact_lock({LOCK});\n{LEDGER};\n"));
        for migration in self.migrations() {
            out.push_str(&self.script(migration).map_err(|problem| problem.to_string())?);
        }
        let table = Name::parse(&self.table)?.whole();
        let role = quote(&self.database.user);
        out.push_str(&format!("grant select, insert, update, delete on {table} to {role};\n"));
        out.push_str(&format!("grant select on pgcdc_migrations to {role};\ncommit;\n"));
        Ok(out)
    }
}

/// Why a table was not made.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Name(String),
    #[error(transparent)]
    Session(#[from] Error),
}

async fn run(session: &Session, sql: &str) -> Result<(), Error> {
    let ran = session.client().batch_execute(sql).await;
    ran.map_err(|error| session.error("running pgcdc's migrations", error))
}

/// Versions and tables that are done; none without a ledger.
async fn done(session: &Session) -> Result<HashSet<(String, String)>, Error> {
    let doing = "looking for pgcdc's migrations";
    let there = session.rows("select to_regclass('pgcdc_migrations')::text", doing).await?;
    if there.iter().flatten().flatten().next().is_none() {
        return Ok(HashSet::new());
    }
    let rows = session.rows("select version, relation from pgcdc_migrations", doing).await?;
    let pair = |row: Vec<Option<String>>| match <[Option<String>; 2]>::try_from(row) {
        Ok([Some(version), Some(relation)]) => Some((version, relation)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// `name` or `schema.name`, each part as it is typed.
struct Name<'t> {
    schema: Option<&'t str>,
    name: &'t str,
}

impl<'t> Name<'t> {
    fn parse(typed: &'t str) -> Result<Name<'t>, String> {
        const NAME_BYTES_MAX: usize = 63;
        let (schema, name) = match typed.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, typed),
        };
        let fits = |part: &str| {
            (1..=NAME_BYTES_MAX).contains(&part.len()) && !part.contains(['.', '\0', '{', '}', '\n'])
        };
        if !fits(name) || !schema.is_none_or(fits) {
            return Err("a table is named by `name` or `schema.name`, each of 1 to 63 bytes".to_owned());
        }
        Ok(Name { schema, name })
    }

    fn whole(&self) -> String {
        match self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(self.name)),
            None => quote(self.name),
        }
    }

    /// `{table}`, and `{index:column}`, which PostgreSQL cuts off where it is too long.
    fn fill(&self, sql: &str) -> String {
        let mut out = String::with_capacity(sql.len());
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once("{index:") {
            let (column, after) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str(&quote(&format!("idx_{}_{column}", self.name)));
            rest = after;
        }
        out.push_str(rest);
        out.replace("{table}", &self.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_every_file_says_what_it_is_for() {
        for (at, migration) in ALL.iter().enumerate() {
            assert_eq!(migration.version as usize, at + 1);
            assert!(migration.sql.starts_with(&format!("-- {}:", migration.kind)), "{}", migration.version);
            let mark = format!("comment on table {{table}} is '{}", crate::wal::own::MARK);
            assert!(migration.sql.contains(&mark), "{}", migration.version);
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap();
        let files =
            files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sql"));
        assert_eq!(files.count(), ALL.len());
    }

    #[test]
    fn names_are_quoted_wherever_they_stand() {
        let name = Name::parse("Own.dead\"letters").unwrap();
        let sql = name.fill("create index if not exists {index:n} on {table} (n);");
        assert_eq!(sql, r#"create index if not exists "idx_dead""letters_n" on "Own"."dead""letters" (n);"#);
        for bad in ["", ".a", "a.", "a.b.c", "a\0", "{table}", &"x".repeat(64)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_the_whole_of_it() {
        let database = Arc::new(Params::parse("postgres://app:secret@db/shop").unwrap());
        let wanted =
            Wanted { who: "dlq".into(), database, kind: "dead_letters".into(), table: "letters".into() };
        let sql = wanted.sql().unwrap();
        for piece in [
            "create table if not exists \"letters\"",
            "values (2, 'letters')",
            "grant select, insert, update, delete on \"letters\" to \"app\"",
            "pg_advisory_xact_lock(482770904163)",
        ] {
            assert!(sql.contains(piece), "{piece}\n{sql}");
        }
        assert!(!sql.contains("secret"), "{sql}");
    }
}
