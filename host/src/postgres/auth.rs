//! Proving who we are: SCRAM-SHA-256 with channel binding, MD5, clear text.
//!
//! Invariants:
//! - A password in clear text leaves only where nobody between could read it.
//! - A server that began SCRAM has proved that it knows the password before its OK counts.
//! - `channel_binding=require` accepts nothing but SCRAM bound to this TLS session.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding as Binding, ScramSha256};
use postgres_protocol::message::frontend;

use super::certificate;
use super::error::Error;
use super::params::{ChannelBinding, Params};
use super::wire::{Frame, Wire, c_str};

/// What a server may make us compute; PostgreSQL's default is 4,096.
const ITERATIONS_MAX: u32 = 2_000_000;

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Answers until the server says OK.
pub(super) async fn authenticate(wire: &mut Wire, params: &Params) -> Result<(), Error> {
    let (request, frame) = request(wire).await?;
    let bound = params.channel_binding == ChannelBinding::Require;
    if bound && request != SASL {
        return Err(refuse(wire, "channel_binding=require, and the server does not ask for SCRAM"));
    }
    match request {
        OK => return Ok(()),
        CLEARTEXT if !wire.transport.is_private() => {
            let text = "the server asks for the password in clear text over a connection that others may read; use TLS (sslmode=require or better) or SCRAM";
            return Err(refuse(wire, text));
        }
        CLEARTEXT => {
            let password = password(wire, params)?.to_owned();
            wire.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
        }
        MD5 => {
            let Some(salt) = frame.body().get(4..8).and_then(|salt| salt.try_into().ok()) else {
                return Err(wire.unexpected(&frame, "authenticating"));
            };
            let hash = md5_hash(params.user.as_bytes(), password(wire, params)?.as_bytes(), salt);
            wire.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
        }
        SASL => scram(wire, params, &frame).await?,
        7..=9 => {
            return Err(refuse(
                wire,
                "the server asks for GSSAPI or SSPI, which pgcdc does not speak; allow scram-sha-256 in pg_hba.conf",
            ));
        }
        _ => {
            return Err(refuse(
                wire,
                "the server asks in a way that pgcdc does not know; allow scram-sha-256 in pg_hba.conf",
            ));
        }
    }
    expect(wire, OK).await.map(|_| ())
}

async fn scram(wire: &mut Wire, params: &Params, offer: &Frame) -> Result<(), Error> {
    let (mechanism, binding) = mechanism(wire, params, offer)?;
    let mut scram = ScramSha256::new(password(wire, params)?.as_bytes(), binding);
    wire.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out)).await?;

    let first = expect(wire, SASL_CONTINUE).await?;
    let first = first.body().get(4..).unwrap_or_default();
    if iterations(first).is_none_or(|count| count > ITERATIONS_MAX) {
        return Err(refuse(wire, "the server's SCRAM iteration count is missing or absurd"));
    }
    let broken = |wire: &Wire| refuse(wire, "the server's SCRAM answer is not valid");
    scram.update(first).map_err(|_| broken(wire))?;
    wire.send(|out| frontend::sasl_response(scram.message(), out)).await?;

    let last = expect(wire, SASL_FINAL).await?;
    let proof = scram.finish(last.body().get(4..).unwrap_or_default());
    proof.map_err(|_| {
        refuse(wire, "the server did not prove that it knows the password: it may be an impostor")
    })
}

/// The strongest that both sides can do.
fn mechanism(wire: &Wire, params: &Params, offer: &Frame) -> Result<(&'static str, Binding), Error> {
    let mut list = offer.body().get(4..).unwrap_or_default();
    let (mut plain, mut plus) = (false, false);
    while let Some(name) = c_str(&mut list).filter(|name| !name.is_empty()) {
        plain |= name == sasl::SCRAM_SHA_256;
        plus |= name == sasl::SCRAM_SHA_256_PLUS;
    }
    let wanted = params.channel_binding;
    let end_point = match wanted {
        ChannelBinding::Disable => None,
        _ => wire.transport.server_certificate().and_then(certificate::end_point),
    };
    match end_point {
        Some(hash) if plus => Ok((sasl::SCRAM_SHA_256_PLUS, Binding::tls_server_end_point(hash))),
        _ if wanted == ChannelBinding::Require => Err(refuse(
            wire,
            "channel_binding=require, and it cannot be had: it takes TLS, a server that offers it, and a certificate signed with a SHA-2 hash",
        )),
        _ if !plain => Err(refuse(wire, "the server offers no SASL mechanism that pgcdc speaks")),
        Some(_) => Ok((sasl::SCRAM_SHA_256, Binding::unrequested())),
        None => Ok((sasl::SCRAM_SHA_256, Binding::unsupported())),
    }
}

fn iterations(server_first: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(server_first).ok()?;
    text.split(',').find_map(|part| part.strip_prefix("i="))?.parse().ok()
}

fn password<'a>(wire: &Wire, params: &'a Params) -> Result<&'a str, Error> {
    match &params.password {
        Some(password) => Ok(password.expose()),
        None => Err(refuse(wire, "the server asks for a password, and none is given")),
    }
}

async fn request(wire: &mut Wire) -> Result<(u32, Frame), Error> {
    let frame = wire.frame().await?;
    match (frame.tag, frame.body().first_chunk::<4>()) {
        (b'R', Some(code)) => Ok((u32::from_be_bytes(*code), frame)),
        (b'E', _) => Err(wire.refused("authenticating", &frame)),
        _ => Err(wire.unexpected(&frame, "authenticating")),
    }
}

async fn expect(wire: &mut Wire, wanted: u32) -> Result<Frame, Error> {
    let (code, frame) = request(wire).await?;
    if code == wanted { Ok(frame) } else { Err(wire.unexpected(&frame, "authenticating")) }
}

fn refuse(wire: &Wire, message: &str) -> Error {
    Error::Auth { place: wire.place.clone(), message: message.into() }
}
