//! From an open transport to a session that is ready: start-up message, authentication, parameters.
//!
//! Invariant: every session prints values the same way, whatever the role, the database or the
//! operator's `options` say (start-up settings win over all of these).

use std::collections::BTreeMap;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::auth;
use super::connect::Kind;
use super::error::Error;
use super::params::Params;
use super::transport::Transport;
use super::wire::{Wire, c_str};

/// How values become text; design rule "one row, one shape". From PostgreSQL 12 on, any positive
/// `extra_float_digits` prints the shortest text that reads back as the same float.
const FORMATS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("lc_monetary", "C"),
];

const PARAMETERS_MAX: usize = 256;

/// A session that is ready for its first query.
#[derive(Debug)]
pub struct Established {
    /// The transport and what arrived early.
    pub wire: Wire,
    /// What the server reported about itself, e.g. `server_version`.
    pub parameters: BTreeMap<String, String>,
    /// Body of BackendKeyData, if one came.
    pub(super) key: Option<[u8; 8]>,
}

impl Established {
    /// The server's major version; 0 if it did not say.
    pub fn major_version(&self) -> u32 {
        let version = self.parameters.get("server_version").map_or("", String::as_str);
        let digits = version.split(|char: char| !char.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// Greets the server over `transport`.
pub(super) async fn start(
    transport: Transport,
    place: String,
    params: &Params,
    kind: Kind,
) -> Result<Established, Error> {
    let mut wire = Wire::new(transport, place);
    wire.send(|out| greeting(params, kind, out)).await?;
    auth::authenticate(&mut wire, params).await?;
    let mut parameters = BTreeMap::new();
    let mut key = None;
    loop {
        let frame = wire.frame().await?;
        match frame.tag {
            b'S' if parameters.len() < PARAMETERS_MAX => {
                let mut body = frame.body();
                if let (Some(name), Some(value)) = (c_str(&mut body), c_str(&mut body)) {
                    parameters.insert(name, value);
                }
            }
            b'K' => key = frame.body().first_chunk::<8>().copied(),
            b'N' | b'S' => {}
            b'E' => return Err(wire.refused("starting a session", &frame)),
            b'Z' => return Ok(Established { wire, parameters, key }),
            _ => return Err(wire.unexpected(&frame, "starting a session")),
        }
    }
}

fn greeting(params: &Params, kind: Kind, out: &mut BytesMut) -> std::io::Result<()> {
    let mut pairs = vec![("user", params.user.as_str()), ("database", params.database.as_str())];
    pairs.push(("application_name", &params.application_name));
    if let Some(options) = &params.options {
        pairs.push(("options", options));
    }
    if kind == Kind::Replication {
        pairs.push(("replication", "database"));
    }
    pairs.extend(FORMATS);
    frontend::startup_message(pairs, out)
}
