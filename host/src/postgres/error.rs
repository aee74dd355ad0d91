//! What can go wrong with a PostgreSQL, typed: the place, the cause, whether trying again helps, and
//! the operator's next step.
//!
//! Invariants: no row value and no password in any text (a server's DETAIL may quote rows, so it is
//! kept out); every permanent error has a next step.

use std::io;

use fallible_iterator::FallibleIterator;
use pgcdc_core::error::{Action, Kind};
use postgres_protocol::message::backend::ErrorFields;

/// A refusal by the server itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{severity} {sqlstate}: {message}")]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`, or of a notice `WARNING`, `NOTICE`, …; never translated.
    pub severity: String,
    /// Five characters.
    pub sqlstate: String,
    /// The primary message, in the server's language.
    pub message: String,
    /// The server's own advice.
    pub hint: String,
}

impl ServerError {
    pub(crate) fn read(mut fields: ErrorFields<'_>) -> Self {
        let mut error = Self::default();
        while let Ok(Some(field)) = fields.next() {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' if error.severity.is_empty() => error.severity = text(),
                b'V' => error.severity = text(),
                b'C' => error.sqlstate = text(),
                b'M' => error.message = text(),
                b'H' => error.hint = text(),
                _ => {}
            }
        }
        error
    }
}

/// A failure of a session, or of what was looked up in one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection text means nothing usable.
    #[error("connection parameters: {message}")]
    Params {
        /// Which parameter, why, and what to write.
        message: String,
    },
    /// No transport: look-up, dial, or an established one that broke.
    #[error("{place}: {doing}: {source}")]
    Io {
        /// Host and port.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{place}: {doing}: no answer within {after_ms} ms")]
    Timeout {
        /// Host and port.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        after_ms: u64,
    },
    /// TLS was asked for and cannot be had as asked.
    #[error("{place}: TLS: {message}")]
    Tls {
        /// Host and port.
        place: String,
        /// Why.
        message: String,
    },
    /// We refuse to prove who we are in the way that the server asks for.
    #[error("{place}: authentication: {message}")]
    Auth {
        /// Host and port.
        place: String,
        /// Why, and what to change.
        message: String,
    },
    /// The server refused.
    #[error("{place}: {doing}: {server}")]
    Server {
        /// Host and port.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// Its words.
        server: Box<ServerError>,
    },
    /// The other side does not speak the protocol that we do.
    #[error("{place}: {message}")]
    Protocol {
        /// Host and port.
        place: String,
        /// What came instead.
        message: String,
    },
    /// A finding of our own about the database: something is missing, unsuitable or no longer the same.
    #[error("{message}")]
    Unfit {
        /// A stable name, e.g. `slot_missing`.
        code: &'static str,
        /// The finding.
        message: String,
        /// The way out.
        next_step: String,
        /// What it means to the host.
        kind: Kind,
    },
}

impl Error {
    pub(crate) fn params(message: String) -> Self {
        Self::Params { message }
    }

    pub(crate) fn protocol(place: &str, message: impl Into<String>) -> Self {
        Self::Protocol { place: place.into(), message: message.into() }
    }

    pub(crate) fn unfit(
        kind: Kind,
        code: &'static str,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self::Unfit { code, message: message.into(), next_step: next_step.into(), kind }
    }

    /// The server's SQLSTATE, if it was the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { server, .. } => Some(&server.sqlstate),
            _ => None,
        }
    }

    /// What the failure means to the host.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Timeout { .. } => Kind::Timeout,
            // What could not be understood is read again from the last stored position: a torn
            // connection heals, and a server that really speaks differently fails again at once.
            Self::Io { .. } | Self::Protocol { .. } => Kind::Unavailable,
            Self::Params { .. } | Self::Tls { .. } => Kind::Misconfigured,
            Self::Auth { .. } => Kind::Unauthenticated,
            Self::Unfit { kind, .. } => *kind,
            Self::Server { server, .. } if lost_slot(server) => Kind::Gone,
            Self::Server { server, .. } if pooler(server) => Kind::Misconfigured,
            Self::Server { server, .. } => {
                let kind = Kind::from_sqlstate(&server.sqlstate);
                // A session has no event that could be dead-lettered.
                if kind.policy().action == Action::DeadLetter { Kind::Misconfigured } else { kind }
            }
        }
    }

    /// True if the same may work later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        self.kind().policy().action == Action::Retry
    }

    /// The connector error code of this failure.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// A stable name for what happened, where it has one of its own: `slot_missing`, `publication_gap`, …
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unfit { code, .. } => Some(code),
            Self::Server { server, .. } if lost_slot(server) => Some("slot_invalidated"),
            Self::Server { server, .. } if server.sqlstate == "42704" => {
                let slot = server.message.starts_with("replication slot");
                Some(if slot { "slot_missing" } else { "publication_gap" })
            }
            _ => None,
        }
    }

    /// What an operator does about it; `None` when waiting is all.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Params { .. } => Some("correct the connection parameters".into()),
            Self::Tls { .. } => Some("check sslmode, sslrootcert and the server's certificate".into()),
            Self::Auth { .. } => Some("check the role's password and the server's pg_hba.conf".into()),
            Self::Unfit { next_step, .. } => Some(next_step.clone()),
            Self::Server { server, .. } => server_step(server),
            Self::Io { .. } | Self::Timeout { .. } | Self::Protocol { .. } => None,
        }
    }
}

/// `unsupported startup parameter` is how connection poolers refuse replication and our session's settings.
fn pooler(server: &ServerError) -> bool {
    server.message.contains("startup parameter")
}

/// PostgreSQL has no SQLSTATE of its own for a slot whose WAL is gone.
fn lost_slot(server: &ServerError) -> bool {
    server.sqlstate == "58P01" || server.sqlstate == "55000" && server.message.contains("can no longer")
}

fn server_step(server: &ServerError) -> Option<String> {
    let step = match server.sqlstate.as_str() {
        "28P01" => "check user and password; after a rotation, restart with the new one",
        "28000" => {
            "add a line for this role, database and address to the server's pg_hba.conf (replication connections match the database's name), then reload it"
        }
        "3D000" => "correct the database's name",
        "42501" => "grant the missing right, or connect as a role that has it",
        "42704" => {
            "a publication that was dropped after its slot was created cannot be replaced: create the publication, drop the slot, and start afresh"
        }
        "53300" => "raise max_connections or max_wal_senders on the server, or free a connection",
        "53400" => "raise max_replication_slots on the server, or drop a slot that nobody uses",
        "55006" => "another process reads this slot; stop it, or give this one another slot_name",
        _ if pooler(server) => {
            "replication needs a direct connection: name the server's own host and port, not a pooler's"
        }
        _ if lost_slot(server) => {
            "the slot's WAL is gone: drop the slot and start afresh; changes since its last position have to be copied anew"
        }
        state if Kind::from_sqlstate(state).policy().action == Action::Retry => return None,
        _ if !server.hint.is_empty() => return Some(server.hint.clone()),
        _ => "see the server's log",
    };
    Some(step.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(sqlstate: &str, message: &str) -> Error {
        let server =
            ServerError { sqlstate: sqlstate.into(), message: message.into(), ..ServerError::default() };
        Error::Server { place: "h:1".into(), doing: "x", server: Box::new(server) }
    }

    #[test]
    fn permanent_errors_stop_and_say_what_to_do() {
        for sqlstate in ["28P01", "28000", "42704", "55000", "58P01", "3D000", "42501", "0A000"] {
            let error = server(sqlstate, "");
            assert!(!error.is_transient() && error.next_step().is_some(), "{sqlstate}");
        }
        for sqlstate in ["57P01", "57P03", "08006", "53300", "53400", "55006", "XX000"] {
            assert!(server(sqlstate, "").is_transient(), "{sqlstate}");
        }
        assert!(!server("08P01", "unsupported startup parameter: replication").is_transient());
    }
}
