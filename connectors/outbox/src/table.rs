//! The table as it is in the database, and the statements for it.
//!
//! Invariants. Every name is quoted. A statement that reads takes no row from under whoever works on it, and holds nothing
//! once it is over; that there is one reader is said by a lock of its session, asked for anew in every such statement.

use pgcdc_sdk::postgres::{self, Param, Rows};
use pgcdc_sdk::{Error, Result};

use crate::options::Options;

/// A larger payload is not delivered but dead-lettered, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Payloads of one statement, unless a single one is larger.
const PAYLOADS_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// What one statement may bring: those, and what is around them.
pub(crate) const ANSWER_BYTES_MAX: u32 = 24 * 1024 * 1024;

/// The outbox.
#[derive(Debug)]
pub(crate) struct Table {
    /// Database, schema and name: what ids are made of where they are no UUIDs.
    pub(crate) image: String,
    pub(crate) read: String,
    pub(crate) done: String,
    /// What rows are delivered in the order of.
    pub(crate) order: String,
}

struct Found {
    oid: String,
    schema: String,
    name: String,
    database: String,
    /// Names and types.
    columns: Vec<(String, String)>,
}

impl Table {
    /// Looks the table up. The error says what is missing, and the way out.
    pub(crate) async fn find(options: &Options) -> Result<Self> {
        let table = postgres::quoted(&options.table)?;
        let params = vec![Param::from(table.as_str())];
        let rows = postgres::query(&options.db, LOOK, params, ANSWER_BYTES_MAX).await?;
        let found = found(&rows).ok_or_else(|| {
            Error::misconfigured(format!(
                "there is no table {table}: have what `pgcdc init --adapter outbox --table {}` prints run by its \
                 owner-to-be",
                options.table
            ))
        })?;
        Self::new(options, &found)
    }

    fn new(options: &Options, found: &Found) -> Result<Self> {
        let names = &options.columns;
        let of =
            |name: &str| found.columns.iter().find(|(known, _)| known == name).map(|(_, ty)| ty.as_str());
        let table = format!("{}.{}", quoted(&found.schema), quoted(&found.name));
        let needed = |name: &str, property: &str| {
            of(name).ok_or_else(|| {
                Error::misconfigured(format!(
                    "the table {table} has no column `{name}`: say `columns: {{ {property}: … }}`, or have what `pgcdc \
                     init --adapter outbox` prints run"
                ))
            })
        };
        let id_type = needed(&names.id, "id")?.to_owned();
        needed(&names.payload, "payload")?;
        needed(&names.channel, "channel")?;
        if options.keep_processed {
            needed(&names.processed_at, "processed_at")?;
        }
        let id = quoted(&names.id);
        let text = |name: &str, otherwise: &str| match of(name) {
            Some(_) => format!("{}::text", quoted(name)),
            None => otherwise.to_owned(),
        };
        let order: Vec<String> = match (of(&names.seq), of(&names.created_at)) {
            (Some(_), _) => vec![quoted(&names.seq)],
            (None, Some(_)) => vec![quoted(&names.created_at), id.clone()],
            (None, None) => vec![id.clone()],
        };
        let created_us = match of(&names.created_at) {
            Some(ty) if ty.starts_with("timestamp") => {
                format!("(extract(epoch from {}) * 1000000)::bigint::text", quoted(&names.created_at))
            }
            _ => "null::text".to_owned(),
        };
        let unprocessed = match of(&names.processed_at) {
            Some(_) => format!("{} is null and ", quoted(&names.processed_at)),
            None => String::new(),
        };
        let (channel, payload) = (quoted(&names.channel), quoted(&names.payload));
        let (operation, key) = (text(&names.operation, "null::text"), text(&names.key, "null::text"));
        let mine = match options.partitions {
            1 => "exists (select from lock where held)".to_owned(),
            parts => format!(
                "((hashtextextended(coalesce({key}, {id}::text), 0) & 9223372036854775807) % {parts})::int \
                 in (select part from lock where held)"
            ),
        };
        let order = order.join(", ");
        let oid = &found.oid;
        let read = format!(
            "with lock as materialized (
               select part, pg_try_advisory_lock(hashtextextended('pgcdc:outbox:{oid}:' || part, 0)) as held
               from (select value::int as part from json_array_elements_text($1::json)) as wanted
             ), waiting as materialized (
               select row_number() over () as at, * from (
                 select {id}::text as id, {channel}::text as channel, {operation} as operation,
                   {payload}::text as payload, {key} as key, {created_us} as created_us
                 from {table}
                 where {unprocessed}{mine}
                   and {id} not in (select value::{id_type} from json_array_elements_text($2::json))
                 order by {order} limit $3::int for update skip locked
               ) as rows
             ), sized as (
               select *, octet_length(payload) as bytes,
                 sum(least(octet_length(payload), {PAYLOAD_BYTES_MAX})) over (order by at) as so_far
               from waiting
             )
             select null::bigint as at, part::text, held::text, null::text, null::text, null::text, null::text, null::text
             from lock
             union all
             select at, id, channel, operation, case when bytes <= {PAYLOAD_BYTES_MAX} then payload end, key, created_us,
               bytes::text
             from sized where at = 1 or coalesce(so_far, 0) <= {PAYLOADS_BYTES_MAX}"
        );
        // The first column is for the order alone.
        let read = format!(
            "select place::text as at, b, c, d, e, f, g, h from ({read}) as found(place, b, c, d, e, f, g, h) \
             order by place nulls first"
        );
        let done = match options.keep_processed {
            true => format!("update {table} set {} = now()", quoted(&names.processed_at)),
            false => format!("delete from {table}"),
        };
        let still = if options.keep_processed { &unprocessed } else { "" };
        let done = format!(
            "{done} where {still}{id} = any (array(select value::{id_type} from json_array_elements_text($1::json)))"
        );
        let image = [found.database.as_str(), &found.schema, &found.name].join("\0");
        Ok(Self { image, read, done, order: order.replace('"', "") })
    }
}

/// The columns of a table that is named as statements have it.
const LOOK: &str = "select c.oid::text, n.nspname::text, c.relname::text, current_database()::text, a.attname::text, \
    format_type(a.atttypid, a.atttypmod) \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid \
    where c.oid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum";

fn found(rows: &Rows) -> Option<Found> {
    let mut columns = Vec::with_capacity(rows.rows.len());
    for row in &rows.rows {
        let [.., Some(name), Some(ty)] = row.as_slice() else { return None };
        columns.push((name.clone(), ty.clone()));
    }
    let [Some(oid), Some(schema), Some(name), Some(database), ..] = rows.rows.first()?.as_slice() else {
        return None;
    };
    Some(Found {
        oid: oid.clone(),
        schema: schema.clone(),
        name: name.clone(),
        database: database.clone(),
        columns,
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::testing;

    fn table(config: &str, columns: &[(&str, &str)]) -> Result<Table> {
        let found = Found {
            oid: "7".into(),
            schema: "s".into(),
            name: "o\"x".into(),
            database: "d".into(),
            columns: columns.iter().map(|(name, ty)| ((*name).to_owned(), (*ty).to_owned())).collect(),
        };
        Table::new(&testing::config::<Options>(config)?, &found)
    }

    const OURS: [(&str, &str); 8] = [
        ("id", "uuid"),
        ("channel", "text"),
        ("operation", "text"),
        ("payload", "jsonb"),
        ("key", "text"),
        ("seq", "bigint"),
        ("created_at", "timestamp with time zone"),
        ("processed_at", "timestamp with time zone"),
    ];

    #[test]
    fn names_are_quoted_and_ids_keep_their_type() {
        let table = table(r#"{"db":"db"}"#, &OURS).unwrap();
        assert!(table.read.contains(r#"from "s"."o""x""#), "{}", table.read);
        assert!(
            table.read.contains(r#"where "processed_at" is null and exists (select from lock where held)"#)
        );
        assert!(table.read.contains(r#"order by "seq" limit $3::int for update skip locked"#));
        assert!(
            table
                .done
                .starts_with(r#"delete from "s"."o""x" where "id" = any (array(select value::uuid from"#)
        );
        assert_eq!((table.order.as_str(), table.image.as_str()), ("seq", "d\0s\0o\"x"));
    }

    #[test]
    fn a_row_that_is_kept_gets_a_time_once() {
        let table = table(r#"{"db":"db","keep_processed":true}"#, &OURS).unwrap();
        assert!(
            table.done.contains(r#"set "processed_at" = now() where "processed_at" is null and "id" = any"#)
        );
    }

    #[test]
    fn debezium_s_table_is_read_with_its_columns() {
        let theirs = [
            ("id", "uuid"),
            ("aggregatetype", "character varying(255)"),
            ("aggregateid", "character varying(255)"),
            ("type", "character varying(255)"),
            ("payload", "jsonb"),
        ];
        let config = r#"{"db":"db","partitions":4,
            "columns":{"channel":"aggregatetype","operation":"type","key":"aggregateid"}}"#;
        let table = table(config, &theirs).unwrap();
        assert!(table.read.contains(r#"coalesce("aggregateid"::text, "id"::text), 0)"#), "{}", table.read);
        assert!(table.read.contains("% 4)::int in (select part from lock where held)"));
        assert_eq!(table.order, "id");
        assert!(!table.read.contains("processed_at"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (config, without, word) in [
            (r#"{"db":"db"}"#, "channel", "`channel`"),
            (r#"{"db":"db","keep_processed":true}"#, "processed_at", "`processed_at`"),
        ] {
            let columns: Vec<_> = OURS.into_iter().filter(|(name, _)| *name != without).collect();
            let error = table(config, &columns).unwrap_err();
            assert_eq!(error.code, "misconfigured");
            assert!(error.message.contains(word), "{error}");
        }
    }
}
