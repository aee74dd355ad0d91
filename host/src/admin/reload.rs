//! `POST /reload`, the one request that changes something; so it is for the operator alone.
//!
//! With a token, whoever knows it may, from anywhere. Without one, only this machine: the peer is a loopback address, `Host` names
//! one (else a page whose name was made to point here could ask), and there is no `Origin` (else any page in a browser here could).

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::http::Admin;

/// What a request has to know.
#[derive(Clone, Debug)]
pub struct Token(secrecy::SecretString);

impl Token {
    /// From where the operator keeps it; an empty one is none.
    #[must_use]
    pub fn new(text: String) -> Option<Token> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.into()))
    }

    /// Takes the same time wherever they differ.
    fn is(&self, offered: &str) -> bool {
        let (mine, offered) = (self.0.expose_secret().as_bytes(), offered.as_bytes());
        let differing = mine.iter().zip(offered).fold(0, |differing, (a, b)| differing | (a ^ b));
        mine.len() == offered.len() && differing == 0
    }
}

pub(super) async fn reload(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if let Err((code, why)) = may(admin.token.as_ref(), peer, &headers) {
        tracing::warn!(peer = %peer.ip(), why, "reload over http refused");
        return (code, Json(serde_json::json!({ "reloaded": false, "error": why }))).into_response();
    }
    match admin.reload.reload().await {
        Ok(done) => {
            Json(serde_json::json!({ "reloaded": true, "changed": done.changed, "later": done.later }))
                .into_response()
        }
        Err(error) => {
            let answer = serde_json::json!({ "reloaded": false, "error": error });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(answer)).into_response()
        }
    }
}

/// Whether this request may change something.
fn may(
    token: Option<&Token>,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = token {
        let offered = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let knows = offered.is_some_and(|offered| token.is(offered));
        return if knows {
            Ok(())
        } else {
            Err((StatusCode::UNAUTHORIZED, "wants `Authorization: Bearer` with the token"))
        };
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Err((StatusCode::FORBIDDEN, "only from this machine, unless PGCDC_ADMIN_TOKEN is set"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "not from a web page"));
    }
    if !text(header::HOST).is_some_and(is_loopback) {
        return Err((StatusCode::FORBIDDEN, "the Host header has to name localhost or a loopback address"));
    }
    Ok(())
}

/// Whether a `Host` header names this machine by itself.
fn is_loopback(host: &str) -> bool {
    let is_loopback = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    if let Ok(address) = host.parse::<SocketAddr>() {
        return is_loopback(address.ip());
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: Option<&str>, peer: &str, with: &[(header::HeaderName, &str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.extend(with.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())));
        let token = token.and_then(|token| Token::new(token.into()));
        may(token.as_ref(), peer.parse().unwrap(), &headers).err().map(|(code, _)| code.as_u16())
    }

    #[test]
    fn without_a_token_only_this_machine_may_and_no_page_in_its_browser() {
        let here = "127.0.0.1:5000";
        for host in ["localhost:9187", "LOCALHOST", "127.0.0.1:9187", "127.1.2.3", "[::1]:9187", "[::1]"] {
            assert_eq!(asked(None, here, &[(header::HOST, host)]), None, "{host}");
        }
        for host in [
            "evil.example:9187",
            "localhost.evil.example",
            "169.254.1.1",
            "10.0.0.1:80",
            "",
            "[::2]",
            "::1:x",
        ] {
            assert_eq!(asked(None, here, &[(header::HOST, host)]), Some(403), "{host}");
        }
        let origin = [(header::HOST, "localhost"), (header::ORIGIN, "http://localhost:9187")];
        assert_eq!(asked(None, here, &origin), Some(403));
        assert_eq!(asked(None, here, &[]), Some(403));
        assert_eq!(asked(None, "10.1.1.1:5000", &[(header::HOST, "localhost")]), Some(403));
        assert_eq!(asked(None, "[::ffff:127.0.0.1]:5000", &[(header::HOST, "localhost")]), None);
    }

    #[test]
    fn with_a_token_whoever_knows_it_may_and_nobody_else() {
        let far = "10.1.1.1:5000";
        assert_eq!(asked(Some("s3cret"), far, &[(header::AUTHORIZATION, "Bearer s3cret")]), None);
        for bad in ["Bearer s3cre", "Bearer s3cret1", "Bearer S3cret", "Basic s3cret", "Bearer "] {
            assert_eq!(
                asked(Some("s3cret"), "127.0.0.1:1", &[(header::AUTHORIZATION, bad)]),
                Some(401),
                "{bad}"
            );
        }
        assert_eq!(asked(Some("s3cret"), "127.0.0.1:1", &[(header::HOST, "localhost")]), Some(401));
        assert!(Token::new(" \n".into()).is_none());
    }
}
