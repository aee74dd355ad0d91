//! Which server, with TLS or without, in which order: until one session stands.
//!
//! Invariants: hosts are tried in their order; a fallback between TLS and bare happens only under
//! `allow` and `prefer`, as libpq does it; the error that is returned is the last host's, or the one
//! that stops the search because no other host would do better.

use super::error::Error;
use super::params::{Host, Params, Target, TlsMode};
use super::session;
use super::startup::{self, Established};
use super::tls::TlsClient;
use super::transport::{self, Transport};

/// What the session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Queries.
    Ordinary,
    /// Logical replication from the parameters' database; simple queries, too.
    Replication,
}

/// Opens a session as `params` say. Each host has `connect_timeout` for all of its steps.
pub async fn connect(params: &Params, kind: Kind) -> Result<Established, Error> {
    let tls = match params.tls.mode {
        TlsMode::Disable => None,
        _ => Some(TlsClient::new(&params.tls)?),
    };
    let passes: &[Target] = match params.target {
        Target::PreferStandby => &[Target::Standby, Target::Any],
        ref target => std::slice::from_ref(target),
    };
    let mut last = None;
    for target in passes {
        for host in &params.hosts {
            match one_host(params, kind, host, tls.as_ref(), *target).await {
                Ok(established) => return Ok(established),
                Err(error) if stops_search(&error) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::params("no host".into())))
}

/// libpq goes on to the next host for whatever went wrong but a refused login.
fn stops_search(error: &Error) -> bool {
    matches!(error, Error::Auth { .. }) || error.sqlstate().is_some_and(|state| state.starts_with("28"))
}

async fn one_host(
    params: &Params,
    kind: Kind,
    host: &Host,
    tls: Option<&TlsClient>,
    target: Target,
) -> Result<Established, Error> {
    let attempt = async {
        let mut established = attempts(params, kind, host, tls).await?;
        check_target(&mut established, target).await?;
        Ok(established)
    };
    let Some(limit) = params.connect_timeout else { return attempt.await };
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            place: host.to_string(),
            doing: "connecting",
            after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        }),
    }
}

/// One host, bare and under TLS as its mode allows.
async fn attempts(
    params: &Params,
    kind: Kind,
    host: &Host,
    tls: Option<&TlsClient>,
) -> Result<Established, Error> {
    let bare = async || greet(params, kind, host, None).await;
    let Some(tls) = tls.filter(|_| matches!(host, Host::Tcp { .. })) else { return bare().await };
    let secure = async || greet(params, kind, host, Some(tls)).await;
    match params.tls.mode {
        TlsMode::Allow => match bare().await {
            Err(error) if barred(&error) => secure().await,
            result => result,
        },
        TlsMode::Prefer => match secure().await {
            Err(error) if matches!(error, Error::Tls { .. }) || barred(&error) => bare().await,
            result => result,
        },
        _ => secure().await,
    }
}

/// `pg_hba.conf` has no line for this way in; a refused password is no reason to try it twice.
fn barred(error: &Error) -> bool {
    error.sqlstate() == Some("28000")
}

async fn greet(
    params: &Params,
    kind: Kind,
    host: &Host,
    tls: Option<&TlsClient>,
) -> Result<Established, Error> {
    let mut transport = transport::dial(host, &params.tcp, kind).await?;
    if let Some(tls) = tls {
        transport = tls.start(transport, host).await?;
        if params.tls.mode != TlsMode::Prefer && !matches!(transport, Transport::Tls(_)) {
            let message =
                "the server does not speak it; turn `ssl` on there, or choose a weaker sslmode knowingly";
            return Err(Error::Tls { place: host.to_string(), message: message.into() });
        }
    }
    startup::start(transport, host.to_string(), params, kind).await
}

async fn check_target(established: &mut Established, target: Target) -> Result<(), Error> {
    if target == Target::Any {
        return Ok(());
    }
    let standby = fact(established, "in_hot_standby", "select pg_catalog.pg_is_in_recovery()").await?;
    let fits = match target {
        Target::Primary => !standby,
        Target::Standby => standby,
        Target::ReadWrite | Target::ReadOnly => {
            let query = "show default_transaction_read_only";
            let read_only = standby || fact(established, "default_transaction_read_only", query).await?;
            read_only == (target == Target::ReadOnly)
        }
        Target::Any | Target::PreferStandby => true,
    };
    if fits {
        return Ok(());
    }
    // Unavailable, since a failover may be under way.
    Err(Error::unfit(
        pgcdc_core::error::Kind::Unavailable,
        "wrong_server",
        format!("{}: the server is not what target_session_attrs asks for", established.wire.place),
        "name a server that is, or change target_session_attrs",
    ))
}

/// From version 14 on, servers report these by themselves.
async fn fact(established: &mut Established, name: &str, query: &str) -> Result<bool, Error> {
    let text = match established.parameters.get(name) {
        Some(text) => text.clone(),
        None => session::simple_query(&mut established.wire, query, "asking for the server's role")
            .await?
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .unwrap_or_default(),
    };
    Ok(matches!(text.as_str(), "on" | "t"))
}
