//! The replication connection: commands of the walsender, until the stream of changes begins.
//!
//! Invariant: names reach the server quoted; nothing that an operator typed is spliced into a command as is.

use pgcdc_core::error::Kind as Failure;
use pgcdc_core::identifier::quote;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::resume::TimelineSwitch;
use postgres_protocol::message::frontend;

use crate::postgres::session::{Rows, simple_query};
use crate::postgres::{Error, Established, Kind, Params, Wire, connect};

/// A slot to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSlot<'a> {
    pub(super) name: &'a str,
    /// It goes with the connection.
    pub(super) temporary: bool,
    /// Standbys keep a copy.
    pub(super) failover: bool,
    /// Its snapshot is wanted.
    pub(super) export: bool,
}

/// A walsender that waits for a command.
#[derive(Debug)]
pub(super) struct Connection {
    established: Established,
}

/// The answer to `IDENTIFY_SYSTEM`.
#[derive(Debug)]
pub(super) struct System {
    pub(super) identifier: u64,
    pub(super) timeline: u32,
    pub(super) end: Lsn,
}

impl Connection {
    pub(super) async fn open(params: &Params) -> Result<Self, Error> {
        match connect(params, Kind::Replication).await {
            Ok(established) => Ok(Self { established }),
            Err(error) if error.sqlstate() == Some("42501") => {
                let user = quote(&params.user);
                let message = format!("role {user} may not replicate: {error}");
                let step = format!(
                    "run ALTER ROLE {user} REPLICATION; as a superuser (on Amazon RDS: GRANT rds_replication TO {user};)"
                );
                Err(Error::unfit(Failure::Denied, "no_replication_right", message, step))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn major_version(&self) -> u32 {
        self.established.major_version()
    }

    pub(super) fn place(&self) -> &str {
        &self.established.wire.place
    }

    /// A database with the encoding SQL_ASCII has any bytes, and the server would end the stream, for ever, at the first
    /// that are no UTF-8. Unconverted they arrive; what is no UTF-8 is then refused event by event.
    pub(super) async fn allow_any_bytes(&mut self) -> Result<(), Error> {
        let encoding = self.established.parameters.get("server_encoding").map(String::as_str);
        if encoding == Some("SQL_ASCII") {
            self.command("SET client_encoding = 'SQL_ASCII'", "asking for text as it is").await?;
        }
        Ok(())
    }

    pub(super) async fn identify(&mut self) -> Result<System, Error> {
        let rows = self.command("IDENTIFY_SYSTEM", "asking who the server is").await?;
        let cell = |at: usize| rows.first()?.get(at)?.as_deref();
        let system = (|| {
            Some(System {
                identifier: cell(0)?.parse().ok()?,
                timeline: cell(1)?.parse().ok()?,
                end: cell(2)?.parse().ok()?,
            })
        })();
        system.ok_or_else(|| Error::protocol(self.place(), "the answer to IDENTIFY_SYSTEM makes no sense"))
    }

    /// The ancestors of `timeline`.
    pub(super) async fn history(&mut self, timeline: u32) -> Result<Vec<TimelineSwitch>, Error> {
        if timeline == 1 {
            return Ok(Vec::new());
        }
        let rows =
            self.command(&format!("TIMELINE_HISTORY {timeline}"), "reading the timeline's history").await?;
        let text =
            rows.first().and_then(|row| row.get(1)).and_then(|cell| cell.as_deref()).unwrap_or_default();
        Ok(read_history(text))
    }

    /// Creates a slot for pgoutput and returns its consistent point, and the snapshot of it, if that is to be exported: it
    /// lives until the next command. Waits for transactions that are running, however long they take.
    pub(super) async fn create_slot(&mut self, slot: &NewSlot<'_>) -> Result<(Lsn, Option<String>), Error> {
        let temporary = if slot.temporary { " TEMPORARY" } else { "" };
        // The form with parentheses came with version 15, failover with 17.
        let more = match (slot.failover, slot.export) {
            (true, true) => "(SNAPSHOT 'export', FAILOVER true)",
            (true, false) => "(SNAPSHOT 'nothing', FAILOVER true)",
            (false, true) => "EXPORT_SNAPSHOT",
            (false, false) => "NOEXPORT_SNAPSHOT",
        };
        let name = quote(slot.name);
        let command = format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput {more}");
        let rows = self.command(&command, "creating the replication slot").await?;
        let point = rows.first().and_then(|row| row.get(1)?.as_deref()?.parse().ok());
        let snapshot = rows.first().and_then(|row| row.get(2)?.clone()).filter(|name| !name.is_empty());
        let point = point.ok_or_else(|| {
            Error::protocol(self.place(), "the slot was created without a consistent point")
        })?;
        Ok((point, snapshot))
    }

    /// Standbys are to keep a copy of a slot that is there, and that nobody reads (server 17 or later).
    pub(super) async fn keep_over_failover(&mut self, name: &str) -> Result<(), Error> {
        let command = format!("ALTER_REPLICATION_SLOT {} (FAILOVER true)", quote(name));
        self.command(&command, "having standbys keep the slot").await.map(drop)
    }

    /// Turns the connection into a stream of changes from `at` on.
    pub(super) async fn start(
        mut self,
        slot: &str,
        at: Lsn,
        publication: &str,
        messages: bool,
        streaming: bool,
    ) -> Result<Wire, Error> {
        let doing = "starting replication";
        let mut options = format!("publication_names {}", quote_text(&quote(publication)));
        options.push_str(if streaming {
            ", proto_version '2', streaming 'on'"
        } else {
            ", proto_version '1'"
        });
        if messages && self.major_version() >= 14 {
            options.push_str(", messages 'true'");
        }
        let command = format!("START_REPLICATION SLOT {} LOGICAL {at} ({options})", quote(slot));
        let wire = &mut self.established.wire;
        wire.send(|out| frontend::query(&command, out)).await?;
        let frame = wire.answer(doing).await?;
        if frame.tag != b'W' {
            return Err(wire.unexpected(&frame, doing));
        }
        Ok(self.established.wire)
    }

    async fn command(&mut self, command: &str, doing: &'static str) -> Result<Rows, Error> {
        simple_query(&mut self.established.wire, command, doing).await
    }
}

fn read_history(text: &str) -> Vec<TimelineSwitch> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some(TimelineSwitch { timeline: words.next()?.parse().ok()?, left_at: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(line).collect()
}

/// A quoted text. The walsender's grammar knows no escapes but the doubled quote; ordinary sessions
/// agree as long as there is no backslash.
pub(super) fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(quote_text(&quote("a\"b'c")), "'\"a\"\"b''c\"'");
    }

    #[test]
    fn history_of_timelines() {
        let text = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000060\tbefore 2020\n";
        let switches = read_history(text);
        assert_eq!(switches.len(), 2);
        assert_eq!((switches[1].timeline, switches[1].left_at), (2, Lsn(0x0500_0060)));
        assert!(read_history("# nonsense\n1\n").is_empty());
    }
}
