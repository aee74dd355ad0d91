//! The outbox table: ours, or with the columns of Debezium's outbox event router.

use pgcdc_core::identifier::quote;

use super::{Init, Table, derived};

/// The SQL, with comments. The error is one line.
pub(super) fn sql(init: &Init) -> Result<String, String> {
    let default = if init.debezium { "outbox" } else { "pgcdc_outbox" };
    let table = Table::parse(Some(&init.table.clone().unwrap_or_else(|| default.to_owned())))?;
    let (target, index) = (table.quoted(), quote(&derived("idx_", &table.name, "_unprocessed")));
    let named = table.schema.iter().chain([&table.name]).map(String::as_str).collect::<Vec<_>>().join(".");
    let user = "-- The user that pgcdc connects as needs: SELECT, UPDATE and DELETE on it. One pgcdc reads it at a time; it takes an\n\
        -- advisory lock, so it has to reach the server itself, not a pooler that shares sessions.";
    Ok(match init.debezium {
        false => format!(
            r#"-- The outbox: insert a row in the transaction of the change that it tells of. Running this again is harmless.
--
{user}
-- Rows are delivered in the order of seq; whoever writes rows of one key one after the other gets them in that order.

CREATE TABLE IF NOT EXISTS {target} (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),       -- the event's id
  channel text NOT NULL,                               -- where it goes
  operation text NOT NULL DEFAULT 'NOTIFY',
  payload jsonb NOT NULL,
  key text,                                            -- what is kept in order
  seq bigint GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT now(),
  processed_at timestamptz                             -- set with keep_processed, else the row is deleted
);
CREATE INDEX IF NOT EXISTS {index} ON {target} (seq) WHERE processed_at IS NULL;

-- INSERT INTO {target} (channel, operation, key, payload) VALUES ('orders', 'paid', '7', '{{"order": 7}}');
-- pgcdc listen --detector outbox --outbox-table {named} --db postgres://…
"#
        ),
        true => format!(
            r#"-- The outbox with the columns of Debezium's outbox event router. For a table that is there already only what is
-- missing is added; running this again is harmless.
--
{user}
-- Rows are delivered in the order of seq. A row that its writer deletes in the same transaction, as one may with
-- Debezium, is never seen: it is read from the table, not from the log.

CREATE TABLE IF NOT EXISTS {target} (
  id uuid PRIMARY KEY,
  aggregatetype varchar(255) NOT NULL,
  aggregateid varchar(255) NOT NULL,
  type varchar(255) NOT NULL,
  payload jsonb
);
ALTER TABLE {target} ADD COLUMN IF NOT EXISTS seq bigserial;
ALTER TABLE {target} ADD COLUMN IF NOT EXISTS processed_at timestamptz;
CREATE INDEX IF NOT EXISTS {index} ON {target} (seq) WHERE processed_at IS NULL;

-- detectors:
--   outbox:
--     use: outbox
--     config:
--       db: postgres://…
--       table: {named}
--       channel_prefix: outbox.event.
--       columns: {{ channel: aggregatetype, operation: type, key: aggregateid }}
"#
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(table: Option<&str>, debezium: bool) -> Init {
        let (table, adapter) = (table.map(str::to_owned), Some("outbox".to_owned()));
        Init { table, adapter, debezium, ..Init::default() }
    }

    #[test]
    fn names_are_checked_and_quoted() {
        let ours = super::super::sql(&init(None, false)).unwrap();
        assert!(ours.contains("CREATE TABLE IF NOT EXISTS \"pgcdc_outbox\" ("), "{ours}");
        assert!(ours.contains("\"idx_pgcdc_outbox_unprocessed\" ON \"pgcdc_outbox\" (seq)"));
        let theirs = sql(&init(Some("app.Outbox"), true)).unwrap();
        assert!(theirs.contains("CREATE TABLE IF NOT EXISTS \"app\".\"Outbox\" ("), "{theirs}");
        assert!(theirs.contains("table: app.Outbox"));
        for bad in ["a b", "a;drop", "a.b.c", ""] {
            assert!(sql(&init(Some(bad), false)).unwrap_err().starts_with("invalid table name"), "{bad}");
        }
        let other = Init { adapter: Some("kafka".to_owned()), ..Init::default() };
        assert!(super::super::sql(&other).unwrap_err().starts_with("unknown adapter `kafka`"));
    }
}
