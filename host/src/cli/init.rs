//! The SQL that a database needs before pgcdc can listen to it. It is printed, never run.
//!
//! Invariants: every name is checked and quoted, none is pasted; running the SQL again changes nothing.

mod outbox;

use pgcdc_core::identifier::quote;

use super::args::Init;

/// PostgreSQL cuts longer names off.
const NAME_BYTES_MAX: usize = 63;
/// NOTIFY fails at 8,000 bytes and would fail the user's own statement with it.
const PAYLOAD_BYTES_MAX: u32 = 7_900;

/// The SQL, with comments. The error is one line.
pub fn sql(init: &Init) -> Result<String, String> {
    match init.adapter.as_deref() {
        None => {}
        Some("outbox") => return outbox::sql(init),
        Some(other) => {
            return Err(format!(
                "unknown adapter `{other}`: only outbox has a table of its own to make; for the tables of stores and \
                 sinks see `pgcdc init --state`"
            ));
        }
    }
    match init.detector.as_str() {
        "wal" => wal(init),
        "listen_notify" if init.all_tables => Err("--all-tables only works with --detector wal".to_owned()),
        "listen_notify" => listen_notify(init),
        _ => {
            Err("unknown detector: listen_notify and wal need SQL; for others see `pgcdc describe`"
                .to_owned())
        }
    }
}

/// A checked table name.
struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    fn parse(typed: Option<&String>) -> Result<Self, String> {
        let typed = typed.ok_or("--table is required")?;
        let (schema, name) = match typed.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, typed.as_str()),
        };
        if !is_identifier(name) || schema.is_some_and(|schema| !is_identifier(schema)) {
            return Err(
                "invalid table name: letters, digits and `_`, first a letter, at most 63; or schema.table"
                    .to_owned(),
            );
        }
        Ok(Table { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }

    /// In the table's schema, so that two tables of one name do not share a function.
    fn beside(&self, name: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(name)),
            None => quote(name),
        }
    }

    /// `orders`, or `billing.orders`: PostgreSQL's `public` is left out.
    fn channel(&self) -> String {
        match self.schema.as_deref() {
            None | Some("public") => format!("pgcdc:{}", self.name),
            Some(schema) => format!("pgcdc:{schema}.{}", self.name),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_channel(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c))
}

/// A name that may be a long table's name and more: cut where PostgreSQL would cut it.
fn derived(prefix: &str, table: &str, suffix: &str) -> String {
    let room = NAME_BYTES_MAX.saturating_sub(prefix.len() + suffix.len());
    format!("{prefix}{}{suffix}", table.get(..table.len().min(room)).unwrap_or(table))
}

fn listen_notify(init: &Init) -> Result<String, String> {
    let table = Table::parse(init.table.as_ref())?;
    let channel = init.channel.clone().unwrap_or_else(|| table.channel());
    if !is_channel(&channel) {
        return Err("invalid channel name: letters, digits and `_:.-`, first a letter, at most 63".to_owned());
    }
    let function = table.beside(&derived("pgcdc_notify_", &table.name, ""));
    let trigger = quote(&derived("pgcdc_", &table.name, "_trigger"));
    let target = table.quoted();
    Ok(format!(
        r"-- Notifies the channel {channel} of every change of {target}. Run it as the table's owner; running it again is harmless.
--
-- PostgreSQL allows a notification less than 8,000 bytes. A larger change is sent without its columns but
-- for those of the primary key, and with truncated = true, so that the statement never fails.
-- What is notified while nobody listens is gone: for delivery without gaps use --detector wal.

CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
  -- One row, one shape, whatever the session that changes it has set.
  SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1
AS $pgcdc$
DECLARE
  changed record;
  payload text;
  keys jsonb;
BEGIN
  IF TG_OP = 'DELETE' THEN
    changed := OLD;
  ELSE
    changed := NEW;
  END IF;
  payload := json_build_object(
    'op', TG_OP,
    'table', TG_TABLE_NAME,
    'row', row_to_json(changed),
    'old', CASE WHEN TG_OP = 'UPDATE' THEN row_to_json(OLD) END
  )::text;
  IF octet_length(payload) > {PAYLOAD_BYTES_MAX} THEN
    SELECT coalesce(jsonb_object_agg(a.attname, to_jsonb(changed) -> a.attname::text), '{{}}')
      INTO keys
      FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = TG_RELID AND i.indisprimary;
    payload := json_build_object(
      'op', TG_OP, 'table', TG_TABLE_NAME, 'row', keys, 'old', NULL, 'truncated', true
    )::text;
  END IF;
  IF octet_length(payload) > {PAYLOAD_BYTES_MAX} THEN
    payload := json_build_object(
      'op', TG_OP, 'table', TG_TABLE_NAME, 'row', NULL, 'old', NULL, 'truncated', true
    )::text;
  END IF;
  PERFORM pg_notify('{channel}', payload);
  RETURN changed;
END
$pgcdc$;

DROP TRIGGER IF EXISTS {trigger} ON {target};
CREATE TRIGGER {trigger}
  AFTER INSERT OR UPDATE OR DELETE ON {target}
  FOR EACH ROW EXECUTE FUNCTION {function}();
"
    ))
}

fn wal(init: &Init) -> Result<String, String> {
    let default;
    let (name, what) = if init.all_tables {
        if init.table.is_some() {
            return Err("--table and --all-tables exclude each other".to_owned());
        }
        (init.publication.as_deref().unwrap_or("all"), "ALL TABLES".to_owned())
    } else {
        let table = Table::parse(init.table.as_ref())?;
        default = derived("pgcdc_", &table.name, "");
        (init.publication.as_deref().unwrap_or(&default), format!("TABLE {}", table.quoted()))
    };
    if !is_identifier(name) {
        return Err(
            "invalid publication name: letters, digits and `_`, first a letter, at most 63".to_owned()
        );
    }
    let publication = quote(name);
    Ok(format!(
        r"-- Publishes changes for logical replication; running it again is harmless.
--
-- The server needs: wal_level = logical (and a restart), and a free replication slot (max_replication_slots).
-- The user that pgcdc connects as needs: LOGIN REPLICATION, and SELECT on the published tables for snapshots.
-- A table without a primary key needs a REPLICA IDENTITY before its rows can be updated or deleted.

DO $pgcdc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '{name}') THEN
    CREATE PUBLICATION {publication} FOR {what};
  END IF;
END
$pgcdc$;

-- pgcdc listen --detector wal --publication {name} --db postgres://…
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(table: &str, detector: &str) -> Init {
        Init { table: Some(table.to_owned()), detector: detector.to_owned(), ..Init::default() }
    }

    #[test]
    fn names_are_checked() {
        for bad in ["", "a b", "a;drop", "1a", "a.b.c", ".a", "a\"b", &"x".repeat(64)] {
            assert!(sql(&init(bad, "listen_notify")).unwrap_err().starts_with("invalid table name"), "{bad}");
        }
        let mut bad = init("t", "listen_notify");
        bad.channel = Some("a'b".to_owned());
        assert!(sql(&bad).unwrap_err().starts_with("invalid channel name"));
        let mut bad = init("t", "wal");
        bad.publication = Some("a-b".to_owned());
        assert!(sql(&bad).unwrap_err().starts_with("invalid publication name"));
        assert_eq!(
            sql(&Init { detector: "listen_notify".to_owned(), ..Init::default() }).unwrap_err(),
            "--table is required"
        );
        let all = Init { all_tables: true, detector: "listen_notify".to_owned(), ..Init::default() };
        assert_eq!(sql(&all).unwrap_err(), "--all-tables only works with --detector wal");
    }

    #[test]
    fn what_is_printed_can_be_run_again() {
        let trigger = sql(&init("billing.Orders", "listen_notify")).unwrap();
        for piece in [
            "CREATE OR REPLACE FUNCTION \"billing\".\"pgcdc_notify_Orders\"()",
            "DROP TRIGGER IF EXISTS \"pgcdc_Orders_trigger\" ON \"billing\".\"Orders\"",
            "pg_notify('pgcdc:billing.Orders', payload)",
            "octet_length(payload) > 7900",
            "'op', TG_OP",
        ] {
            assert!(trigger.contains(piece), "{piece}\n{trigger}");
        }
        let all = Init { all_tables: true, detector: "wal".to_owned(), ..Init::default() };
        assert!(sql(&all).unwrap().contains("CREATE PUBLICATION \"all\" FOR ALL TABLES"));
        assert!(
            sql(&init("orders", "wal"))
                .unwrap()
                .contains("CREATE PUBLICATION \"pgcdc_orders\" FOR TABLE \"orders\"")
        );
    }
}
