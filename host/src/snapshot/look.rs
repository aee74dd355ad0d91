//! What the catalog says of tables: their columns as the WAL has them, their keys, their replica identity.

use pgcdc_core::error::Kind;
use pgcdc_core::identifier::quote_text;
use pgcdc_core::snapshot::name::TableName;
use pgcdc_core::snapshot::shape::Shape;

use crate::postgres::{Error, Session};

/// The tables of these names, in the same order. One that is not there, or cannot be read, is an error.
pub(super) async fn named(session: &Session, names: &[TableName]) -> Result<Vec<Shape>, Error> {
    let value = |(at, name): (usize, &TableName)| {
        format!("({at}, {}, {}, NULL::text[], NULL::text)", quote_text(&name.schema), quote_text(&name.table))
    };
    let values: Vec<String> = names.iter().enumerate().map(value).collect();
    let wanted = format!("SELECT * FROM (VALUES {}) w(at, schema, name, columns, filter)", values.join(", "));
    let shapes = shapes(session, &wanted, "'r','p','v','m','f'").await?;
    for name in names {
        if !shapes.iter().any(|shape| shape.table() == *name) {
            let message = format!("there is no table {name} in this database");
            let step = "write it as schema.table, with the letter case of the catalog";
            return Err(Error::unfit(Kind::Misconfigured, "table_missing", message, step));
        }
    }
    Ok(shapes)
}

/// The tables of a publication, with the rows and columns that it lets through, by name.
pub(super) async fn published(session: &Session, publication: &str) -> Result<Vec<Shape>, Error> {
    let (columns, filter) = match session.major_version() {
        15.. => ("t.attnames::text[]", "t.rowfilter"),
        _ => ("NULL::text[]", "NULL::text"),
    };
    let wanted = format!(
        "SELECT pg_catalog.row_number() OVER (ORDER BY t.schemaname, t.tablename), t.schemaname::text, t.tablename::text, {columns}, {filter}
         FROM pg_catalog.pg_publication_tables t WHERE t.pubname = {}",
        quote_text(publication)
    );
    shapes(session, &wanted, "'r','p'").await
}

async fn shapes(session: &Session, wanted: &str, kinds: &str) -> Result<Vec<Shape>, Error> {
    // From version 18 on a publication says itself whether it has generated columns.
    let generated = match session.major_version() {
        18.. => "(a.attgenerated = '' OR w.columns IS NOT NULL)",
        _ => "a.attgenerated = ''",
    };
    let place = |index: &str| {
        format!(
            "coalesce(pg_catalog.array_position(({index}.indkey::int2[])[0:{index}.indnkeyatts - 1], a.attnum), 0)"
        )
    };
    let (key, identity) = (place("pk"), place("ri"));
    let sql = format!(
        "WITH wanted(at, schema, name, columns, filter) AS ({wanted})
        SELECT pg_catalog.json_build_object(
            'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'identity', c.relreplident,
            'filter', w.filter, 'estimate', coalesce(s.estimate, -1),
            'whole_key', NOT EXISTS (SELECT FROM pg_catalog.unnest((pk.indkey::int2[])[0:pk.indnkeyatts - 1]) k(attnum)
                WHERE NOT coalesce(k.attnum = ANY(l.attnums), false)),
            'columns', l.columns)
        FROM wanted w
        JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ({kinds})
        LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary AND pk.indisvalid
        LEFT JOIN pg_catalog.pg_index ri ON ri.indrelid = c.oid AND ri.indisreplident
        LEFT JOIN LATERAL (
            SELECT pg_catalog.sum(p.reltuples)::bigint AS estimate FROM pg_catalog.pg_class p
            WHERE p.reltuples >= 0 AND (p.oid = c.oid AND c.relkind <> 'p'
                OR p.relkind = 'r' AND p.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(CASE WHEN c.relkind = 'p' THEN c.oid END)))
        ) s ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(pg_catalog.array_agg(a.attnum), '{{}}') AS attnums,
                coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', a.attname, 'type', a.atttypid::bigint, 'typmod', a.atttypmod,
                    'cast', pg_catalog.format_type(a.atttypid, a.atttypmod),
                    'identity', CASE c.relreplident WHEN 'f' THEN true WHEN 'd' THEN {key} > 0 WHEN 'i' THEN {identity} > 0 ELSE false END,
                    'key', {key}) ORDER BY a.attnum), '[]') AS columns
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND {generated}
            AND (w.columns IS NULL OR a.attname = ANY(w.columns))
        ) l
        ORDER BY w.at"
    );
    let rows = session.rows(&sql, "looking at the tables").await?;
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|error| {
            Error::protocol(
                session.place(),
                format!("looking at the tables: the answer makes no sense: {error}"),
            )
        })
    };
    rows.into_iter().flatten().flatten().map(read).collect()
}
