//! The operator's HTTP: `/metrics`, `/livez`, `/readyz`, `/healthz`, `/status`, and `POST /reload`. Three kinds of health on purpose: a sink that fails
//! makes `/healthz` say so, and must not make an orchestrator restart the process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use pgcdc_core::pressure::Zone;

use super::metrics::Metrics;
use super::overview;
use super::reload::{self, Token};
use crate::cli::status::Status;
use crate::pipeline::{Board, ReloadDesk};

/// What is served.
#[derive(Clone)]
pub struct Admin {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Statuses.
    pub board: Board,
    /// When the process started.
    pub started: std::time::Instant,
    /// Where a reload is asked for.
    pub reload: ReloadDesk,
    /// What a request that changes something has to know; none leaves that to this machine.
    pub token: Option<Token>,
}

/// Binds, so that a taken port is known before anything flows.
pub async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, String> {
    tokio::net::TcpListener::bind(address).await.map_err(|e| format!("metrics_addr {address}: {e}"))
}

/// Serves until the process ends.
pub async fn serve(listener: tokio::net::TcpListener, admin: Admin) {
    let router = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/status", get(status))
        .route("/reload", post(reload::reload))
        .with_state(admin);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    overview::refresh(&admin.board).await;
    overview::measure(&admin.board, &admin.metrics);
    for source in &admin.board.sources {
        admin.metrics.slot_lag(&source.name, source.status.lag_bytes());
    }
    for (index, sink) in admin.board.sinks.iter().enumerate() {
        admin.metrics.sink_up(&sink.name, sink.status.is_up());
        admin.metrics.queue_depth(&sink.name, admin.in_flight(index));
        if let Some(buffer) = sink.status.buffer.get() {
            admin.metrics.buffered(&sink.name, buffer.memory_bytes(), buffer.disk_bytes());
        }
    }
    ([("content-type", "text/plain; version=0.0.4")], admin.metrics.text())
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let ready = admin.status().ready;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(serde_json::json!({ "ready": ready })))
}

async fn healthz(State(admin): State<Admin>) -> impl IntoResponse {
    let component = |up: bool, trouble: Option<super::status::Trouble>| {
        let trouble = trouble.filter(|_| !up);
        serde_json::json!({
            "status": if up { "up" } else { "down" },
            "last_error": trouble.as_ref().map(|trouble| &trouble.error),
            "next_step": trouble.as_ref().map(|trouble| &trouble.next_step),
            "reason": trouble.as_ref().and_then(|trouble| trouble.reason.as_ref()),
        })
    };
    let sources = admin.board.sources.iter().map(|one| (&one.name, one.status.is_up(), one.status.trouble()));
    let sinks = admin.board.sinks.iter().map(|one| (&one.name, one.status.is_up(), one.status.trouble()));
    let guards = admin.board.sinks.iter().map(|one| (&one.name, one.status.guard.json()));
    let mut all_up = true;
    let mut components = serde_json::Map::new();
    for (name, up, trouble) in sources.chain(sinks) {
        all_up &= up;
        components.insert(name.to_string(), component(up, trouble));
    }
    for (name, buffer) in
        admin.board.sinks.iter().filter_map(|one| Some((&one.name, one.status.buffer.get()?)))
    {
        let overflow = serde_json::json!({ "bytes": buffer.disk_bytes(), "stuck": buffer.stuck() });
        if let Some(shown) = components.get_mut(&**name) {
            shown["overflow"] = overflow;
        }
    }
    for (name, guard) in guards {
        if let Some(shown) = components.get_mut(&**name) {
            shown["guard"] = guard;
        }
    }
    let pressed = overview::pressure(&admin.board);
    if let Some(zone) = pressed {
        components.insert("backpressure".into(), serde_json::json!({ "status": health(zone) }));
        all_up &= zone != Zone::Red;
    }
    let code = if all_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if all_up { health(pressed.unwrap_or_default()) } else { "down" };
    (code, Json(serde_json::json!({ "status": status, "components": components })))
}

fn health(zone: Zone) -> &'static str {
    match zone {
        Zone::Green => "up",
        Zone::Yellow => "degraded",
        Zone::Red => "down",
    }
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    overview::refresh(&admin.board).await;
    Json(admin.status())
}

impl Admin {
    /// Batches that a sink has not answered for.
    fn in_flight(&self, sink: usize) -> u64 {
        self.board.acks.iter().map(|acks| acks.open(sink)).sum()
    }

    /// The document of `pgcdc status`.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            uptime_seconds: self.started.elapsed().as_secs(),
            // Every sink was opened before anything is served: one that fails since then is not for a restart to mend.
            ready: self.board.sources.iter().all(|source| source.status.is_up()),
            sources: overview::sources(&self.board),
            sinks: overview::sinks(&self.board),
        }
    }
}
