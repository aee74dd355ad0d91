//! One granted HTTP endpoint: its address and credentials, a pool of connections, and requests under its path.
//!
//! Invariants. A request goes to the typed scheme, host and port, and to a path under the typed one. The headers of
//! framing, Host and Authorization are the host's. No redirect is followed, no proxy is asked. A response is bounded while
//! it arrives. Neither credentials nor path nor query are in an error.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::TlsConnector;
use url::Url;

use super::dial::Dial;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const RESPONSE_BYTES_DEFAULT: u32 = 1024 * 1024;
const RESPONSE_HEADER_BYTES_MAX: usize = 64 * 1024;
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Headers that a connector cannot set.
const RESERVED: [&str; 8] = [
    "host",
    "authorization",
    "content-length",
    "transfer-encoding",
    "connection",
    "proxy-authorization",
    "upgrade",
    "te",
];

/// Why a request has no response. The code is one of the contract's.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

fn failed(code: &'static str, message: impl std::fmt::Display) -> Failed {
    Failed { code, message: message.to_string() }
}

/// What a connector asks for.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<Bytes>,
    pub(crate) timeout_ms: u32,
    pub(crate) response_bytes_max: u32,
}

/// What came back.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A granted endpoint. The pool is made with the first request.
pub(crate) struct Endpoint {
    url: Url,
    client: OnceLock<Client<Dial, Full<Bytes>>>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.shown())
    }
}

impl Endpoint {
    /// From what the operator typed.
    pub(crate) fn new(url: Url) -> Result<Arc<Endpoint>, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("scheme `{}`: http or https", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("there is no host".into());
        }
        Ok(Arc::new(Endpoint { url, client: OnceLock::new() }))
    }

    /// Scheme, host and port: all of it that may be shown.
    pub(crate) fn shown(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or(""))
    }

    fn client(&self) -> &Client<Dial, Full<Bytes>> {
        self.client.get_or_init(|| {
            let https = self.url.scheme() == "https";
            let host = self.url.host_str().unwrap_or("").trim_matches(['[', ']']).into();
            let port = self.url.port_or_known_default().unwrap_or(443);
            let dial = Dial { host, port, tls: https.then(tls) };
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(30))
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
                .build(dial)
        })
    }

    /// One exchange.
    pub(crate) async fn send(&self, asked: Asked) -> Result<Answered, Failed> {
        let timeout = match asked.timeout_ms {
            0 => TIMEOUT_DEFAULT,
            ms => Duration::from_millis(u64::from(ms)),
        };
        let bytes_max = match asked.response_bytes_max {
            0 => RESPONSE_BYTES_DEFAULT,
            bytes => bytes,
        };
        let request = self.request(asked)?;
        match tokio::time::timeout(timeout, self.exchange(request, bytes_max)).await {
            Ok(answered) => answered,
            Err(_) => Err(failed(
                "timeout",
                format!("{}: no response within {} ms", self.shown(), timeout.as_millis()),
            )),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, bytes_max: u32) -> Result<Answered, Failed> {
        let response = self.client().request(request).await.map_err(|error| self.explain(&error))?;
        let (head, body) = response.into_parts();
        let header_bytes: usize =
            head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > RESPONSE_HEADER_BYTES_MAX {
            return Err(failed(
                "too-large",
                format!("{}: {header_bytes} bytes of response headers", self.shown()),
            ));
        }
        let body = Limited::new(body, bytes_max as usize).collect().await.map_err(|error| {
            let code =
                if error.is::<http_body_util::LengthLimitError>() { "too-large" } else { "unavailable" };
            failed(code, format!("{}: response body: {error}", self.shown()))
        })?;
        Ok(Answered { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    fn explain(&self, error: &hyper_util::client::legacy::Error) -> Failed {
        let mut code = "unavailable";
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
        let mut message = error.to_string();
        while let Some(inner) = cause {
            let io = inner.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
                code = "denied";
            }
            message = inner.to_string();
            cause = inner.source();
        }
        failed(code, format!("{}: {message}", self.shown()))
    }

    fn request(&self, asked: Asked) -> Result<Request<Full<Bytes>>, Failed> {
        let url = self.url_for(&asked.path, &asked.query)?;
        let method = Method::from_bytes(asked.method.as_bytes()).map_err(|e| failed("invalid", e))?;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(headers) = request.headers_mut() {
            for (name, value) in &asked.headers {
                if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                    return Err(failed("denied", format!("header `{name}` is the host's")));
                }
                let name = HeaderName::try_from(name.as_str()).map_err(|e| failed("invalid", e))?;
                headers
                    .append(name, HeaderValue::try_from(value.as_str()).map_err(|e| failed("invalid", e))?);
            }
            if let Some(authorization) = self.authorization() {
                headers.insert(AUTHORIZATION, authorization);
            }
        }
        request.body(Full::new(joined(asked.body))).map_err(|e| failed("invalid", e))
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let decode = |text: &str| {
            url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        if self.url.username().is_empty() && self.url.password().is_none() {
            return None;
        }
        let pair = format!("{}:{}", decode(self.url.username()), decode(self.url.password().unwrap_or("")));
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The typed URL with more path and query; never outside of the typed path.
    fn url_for(&self, path: &str, query: &str) -> Result<Url, Failed> {
        let mut url = self.url.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        if !path.is_empty() {
            // Servers decode what URLs do not; and what parsers of URLs drop (tabs, line breaks) must not hide dots.
            let decoded =
                path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
            let leads_out = decoded.split(['/', '\\']).any(|segment| segment == "..");
            let unsound = path.contains(|letter: char| letter.is_control() || matches!(letter, '?' | '#'));
            let base = url.path().trim_end_matches('/').to_string();
            url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
            if leads_out || unsound || !url.path().starts_with(&format!("{base}/")) {
                return Err(failed("denied", format!("path leads out of {}", self.shown())));
            }
        }
        if !query.is_empty() {
            let merged = match url.query() {
                Some(typed) if !typed.is_empty() => format!("{typed}&{query}"),
                _ => query.to_string(),
            };
            url.set_query(Some(&merged));
        }
        Ok(url)
    }
}

fn joined(chunks: Vec<Bytes>) -> Bytes {
    let mut chunks = chunks;
    if chunks.len() == 1 {
        return chunks.remove(0);
    }
    let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
    all.freeze()
}

fn tls() -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let _ = roots.add(certificate);
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
    match config {
        Ok(config) => TlsConnector::from(Arc::new(config)),
        Err(_) => unreachable!("ring has the default protocol versions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Arc<Endpoint> {
        Endpoint::new(url.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_path_stays_under_the_typed_one() {
        let endpoint = endpoint("https://user:pw@example.com/in/tenant?key=1");
        let url = |path, query| endpoint.url_for(path, query).map(|url| url.to_string());
        assert_eq!(url("", "").unwrap(), "https://example.com/in/tenant?key=1");
        assert_eq!(url("/bulk", "a=2").unwrap(), "https://example.com/in/tenant/bulk?key=1&a=2");
        let bad = [
            "..",
            "../x",
            "a/../../x",
            "%2e%2E/x",
            "a\\..\\x",
            "x?y",
            "x#y",
            ".%2e/x",
            ".\t./x",
            ".\n./.\r./x",
            "..%2fx",
            "..%5Cx",
        ];
        for path in bad {
            assert_eq!(url(path, "").unwrap_err().code, "denied", "{path}");
        }
    }

    #[test]
    fn credentials_and_path_are_not_shown() {
        assert_eq!(
            format!("{:?}", endpoint("https://user:pw@example.com:8443/token")),
            "Endpoint(https://example.com:8443)"
        );
    }
}
