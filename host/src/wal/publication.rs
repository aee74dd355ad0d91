//! The publication: found, or made for `all_tables`; and what it leaves out, said before a row is missed.
//!
//! Invariant: a publication is never made behind an existing slot, since the server could not decode
//! what came before it.

use pgcdc_core::error::Kind;
use pgcdc_core::published::{Published, Standing, Table};
use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

use super::server::one_json;
use crate::postgres::{Error, Session};
use pgcdc_core::identifier::quote;

/// The name that `all_tables` uses when none is given.
pub(super) const ALL: &str = "all";
/// How many tables a warning names.
const NAMED_MAX: usize = 20;

/// Whether a table's list of columns leaves some out.
const CUT_SQL: &str = "pg_catalog.array_length(t.attnames, 1) < (SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')";
/// Operations that are left out.
const UNPUBLISHED_SQL: &str = "pg_catalog.array_remove(ARRAY[
                CASE WHEN NOT p.pubinsert THEN 'insert' END, CASE WHEN NOT p.pubupdate THEN 'update' END,
                CASE WHEN NOT p.pubdelete THEN 'delete' END, CASE WHEN NOT p.pubtruncate THEN 'truncate' END], NULL)";

/// A publication as it is now.
#[derive(Debug, Deserialize)]
pub struct Publication {
    /// It changes when the publication is dropped and made again.
    pub oid: u32,
    /// It is for all tables.
    pub all_tables: bool,
    /// Operations that it leaves out.
    pub unpublished: Vec<String>,
    /// How many it lists.
    pub tables: u64,
    /// Of `tables`: those whose updates and deletes the application cannot make.
    pub no_identity: Vec<String>,
    /// Of `tables`: those with a row filter.
    pub filtered: Vec<String>,
    /// Of `tables`: those with a list of columns.
    pub some_columns: Vec<String>,
    /// Tables of the database that the publication does not list.
    pub unlisted: Vec<String>,
    /// Those that never can be.
    pub unlogged: Vec<String>,
}

impl Publication {
    /// Whether it publishes `insert`, `update`, `delete` or `truncate`.
    pub(super) fn publishes(&self, operation: &str) -> bool {
        !self.unpublished.iter().any(|unpublished| unpublished == operation)
    }
}

/// Looks the publication up; `None` if there is none of that name.
pub(super) async fn find(session: &Session, name: &str) -> Result<Option<Publication>, Error> {
    let (filtered, columns) =
        if session.major_version() >= 15 { ("t.rowfilter IS NOT NULL", CUT_SQL) } else { ("false", "false") };
    let sql = format!(
        "WITH listed AS (
            SELECT c.oid, pg_catalog.format('%I.%I', t.schemaname, t.tablename) AS name, {filtered} AS filtered, {columns} AS cut,
                CASE c.relreplident
                    WHEN 'f' THEN true
                    WHEN 'd' THEN EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
                    WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
                    ELSE false END AS identity
            FROM pg_catalog.pg_publication_tables t
            JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
            WHERE t.pubname = {name}
        ), others AS (
            SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relpersistence AS persistence
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND NOT EXISTS (SELECT FROM listed l WHERE l.oid = c.oid)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) a(oid) JOIN listed l ON l.oid = a.oid)
        )
        SELECT pg_catalog.json_build_object(
            'oid', p.oid::bigint, 'all_tables', p.puballtables,
            'unpublished', {UNPUBLISHED_SQL},
            'tables', (SELECT count(*) FROM listed),
            'no_identity', ARRAY(SELECT name FROM listed WHERE NOT identity AND (p.pubupdate OR p.pubdelete) ORDER BY 1 LIMIT {limit}),
            'filtered', ARRAY(SELECT name FROM listed WHERE filtered ORDER BY 1 LIMIT {limit}),
            'some_columns', ARRAY(SELECT name FROM listed WHERE cut ORDER BY 1 LIMIT {limit}),
            'unlisted', ARRAY(SELECT name FROM others WHERE persistence = 'p' ORDER BY 1 LIMIT {limit}),
            'unlogged', ARRAY(SELECT name FROM others WHERE persistence = 'u' ORDER BY 1 LIMIT {limit}))
        FROM pg_catalog.pg_publication p WHERE p.pubname = {name}",
        name = escape_literal(name),
        limit = NAMED_MAX + 1,
    );
    one_json(session, &sql, "looking at the publication").await
}

/// What a publication publishes, and which one it is; `None` if there is none of that name.
pub(super) async fn published(session: &Session, name: &str) -> Result<Option<(u32, Published)>, Error> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        unpublished: Vec<String>,
        tables: Vec<(u32, String, bool, String)>,
    }
    let cut = if session.major_version() >= 15 {
        format!(
            "coalesce(t.rowfilter, '') || CASE WHEN {CUT_SQL} THEN ' ' || pg_catalog.array_to_string(t.attnames, ', ') ELSE '' END"
        )
    } else {
        "''".to_owned()
    };
    let sql = format!(
        "SELECT pg_catalog.json_build_object('oid', p.oid::bigint, 'unpublished', {UNPUBLISHED_SQL}, 'tables', coalesce((
            SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.oid::bigint, pg_catalog.format('%I.%I', t.schemaname, t.tablename), c.relispartition, {cut}))
            FROM pg_catalog.pg_publication_tables t
            JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
            WHERE t.pubname = p.pubname), '[]'))
        FROM pg_catalog.pg_publication p WHERE p.pubname = {}",
        escape_literal(name)
    );
    let row: Option<Row> = one_json(session, &sql, "looking at the publication's tables").await?;
    let table = |(oid, name, partition, cut)| (oid, Table { name, partition, cut });
    Ok(row.map(|row| {
        let tables = row.tables.into_iter().map(table).collect();
        (row.oid, Published { unpublished: row.unpublished.into_iter().collect(), tables })
    }))
}

/// Which of these tables are still there, and whether they are partitions.
pub(super) async fn standing(session: &Session, oids: &[u32]) -> Result<Standing, Error> {
    if oids.is_empty() {
        return Ok(Standing::new());
    }
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT c.oid, c.relispartition FROM pg_catalog.pg_class c WHERE c.oid IN ({})",
        oids.join(", ")
    );
    let rows = session.rows(&sql, "looking for tables that left the publication").await?;
    let one = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        Some((cells.next()?.parse().ok()?, cells.next()? == "t"))
    };
    Ok(rows.into_iter().filter_map(one).collect())
}

/// Makes a publication of all tables, or of those that this role may publish.
pub(super) async fn create(session: &Session, name: &str, user: &str) -> Result<(), Error> {
    let doing = "creating the publication";
    let all = format!("CREATE PUBLICATION {} FOR ALL TABLES", quote(name));
    match session.rows(&all, doing).await {
        Ok(_) => {
            tracing::info!(publication = name, "publication for all tables created");
            return Ok(());
        }
        Err(error) if error.sqlstate() == Some("42710") => return Ok(()),
        Err(error) if error.sqlstate() == Some("42501") => {}
        Err(error) => return Err(error),
    }
    let denied = |why: &str| {
        let message = format!("role {} may not publish: {why}", quote(user));
        let step = format!("run, as a superuser: {all};");
        Error::unfit(Kind::Denied, "no_publication_right", message, step)
    };
    let tables = own_tables(session).await?;
    if tables.is_empty() {
        return Err(denied("FOR ALL TABLES takes a superuser, and it owns no table"));
    }
    let some = format!("CREATE PUBLICATION {} FOR TABLE {}", quote(name), tables.join(", "));
    match session.rows(&some, doing).await {
        Ok(_) => {
            tracing::warn!(
                publication = name,
                tables = tables.len(),
                "publication lists only the tables that this role owns now; a superuser may replace it with one for all tables"
            );
            Ok(())
        }
        Err(error) if error.sqlstate() == Some("42501") => {
            Err(denied("FOR ALL TABLES takes a superuser, and a list takes the right CREATE on the database"))
        }
        Err(error) => Err(error),
    }
}

/// Quoted names of the tables that this role owns; of a partitioned table the root alone.
async fn own_tables(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "\
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1";
    let rows = session.rows(sql, "listing tables").await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// What an operator should know before relying on the stream.
pub(super) fn warnings(name: &str, publication: &Publication, wants_all: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |tables: &[String], what: &str| {
        if !tables.is_empty() {
            out.push(format!("publication {name}: {what}: {}", some_of(tables)));
        }
    };
    say(
        &publication.no_identity,
        "PostgreSQL refuses UPDATE and DELETE on tables without a primary key or other replica identity",
    );
    say(&publication.filtered, "a row filter hides rows of");
    say(&publication.some_columns, "a column list hides columns of");
    say(&publication.unpublished, "it does not publish");
    if wants_all || publication.all_tables {
        say(&publication.unlogged, "unlogged tables are never replicated");
        say(&publication.unlisted, "it does not list");
    }
    if publication.tables == 0 && !publication.all_tables {
        out.push(format!("publication {name}: it lists no table"));
    }
    out
}

fn some_of(tables: &[String]) -> String {
    let more = if tables.len() > NAMED_MAX { " and more" } else { "" };
    let named: Vec<_> = tables.iter().take(NAMED_MAX).map(String::as_str).collect();
    format!("{}{more}", named.join(", "))
}
