//! Requests to endpoints that the operator granted.

use std::time::Duration;

use crate::batch::Part;
use crate::config::Endpoint;
use crate::{Body, Result, backend};

/// How much of a response is read unless said otherwise.
const RESPONSE_BYTES_MAX: u32 = 64 * 1024;

/// One request. The endpoint's address, credentials, path and query stay in the host.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The name of a grant.
    pub endpoint: String,
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Appended to the endpoint's own path; may be empty. What leads out of it is `denied`.
    pub path: String,
    /// Added to the endpoint's own query; may be empty.
    pub query: String,
    /// Names and values; the host's own (`Host`, `Authorization`, framing) are not to be set.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<Part<'a>>,
    /// For the whole exchange; 0 is the host's default.
    pub timeout_ms: u32,
    /// A longer response fails with `too-large`.
    pub response_bytes_max: u32,
    /// JSON, for what the host may do to the request; may be empty.
    pub options: String,
}

/// What came back: any status, redirects included, which are never followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// A request by any method.
    pub fn new(method: &str, endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.name().to_owned(),
            method: method.to_owned(),
            path: String::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
            response_bytes_max: RESPONSE_BYTES_MAX,
            options: String::new(),
        }
    }

    /// `GET`.
    pub fn get(endpoint: &Endpoint) -> Self {
        Self::new("GET", endpoint)
    }

    /// `POST`.
    pub fn post(endpoint: &Endpoint) -> Self {
        Self::new("POST", endpoint)
    }

    /// Appended to the endpoint's own path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Added to the endpoint's own query.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// What is sent.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body<'a>>) -> Self {
        self.body = body.into().parts;
        self
    }

    /// For the whole exchange.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// A longer response fails.
    #[must_use]
    pub fn response_max(mut self, bytes: u32) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// `denied`, `unavailable`, `timeout` or `too-large`; a status is never an error.
    pub async fn send(self) -> Result<Response> {
        backend::http::send(self).await
    }
}

impl Response {
    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A status of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
