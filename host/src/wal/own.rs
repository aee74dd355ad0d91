//! Tables that a pgcdc keeps something in: state, dead letters, copies of events. A publication of all tables has them,
//! too, and every change that is delivered would make another one, for ever.
//!
//! They are known by their comment, which the migrations write: whoever wants them captured names them in a publication or
//! under `include`, or changes the comment.

use pgcdc_core::assembler::TablePattern;

use crate::postgres::{Error, Session};

/// How the comment of such a table begins; see migrations/.
pub(crate) const MARK: &str = "Kept by pgcdc: ";

/// The tables of this database that are not to come back.
pub(super) async fn tables(session: &Session) -> Result<Vec<TablePattern>, Error> {
    let quoted = |name: &str| format!("'\"' || pg_catalog.replace({name}, '\"', '\"\"') || '\"'");
    let sql = format!(
        "SELECT {} || '.' || {} FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = 0
         WHERE c.relkind = 'r' AND pg_catalog.starts_with(d.description, '{MARK}') ORDER BY 1",
        quoted("n.nspname::text"),
        quoted("c.relname::text"),
    );
    let rows = session.rows(&sql, "looking for pgcdc's own tables").await?;
    let names: Vec<String> = rows.into_iter().flatten().flatten().collect();
    if !names.is_empty() {
        tracing::info!(
            tables = names.join(", "),
            "pgcdc's own tables are left out of a publication of all tables"
        );
    }
    // What was just quoted can be read.
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}
