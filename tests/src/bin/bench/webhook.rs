//! A receiver of webhooks that counts events and keeps nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use pgcdc_tests::support::journal::DEADLINE;

#[derive(Default)]
struct Shared {
    events: AtomicU64,
    goal: AtomicU64,
    reached: Mutex<Option<Instant>>,
    changed: Condvar,
}

pub(crate) struct Sinkhole {
    url: String,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Sinkhole {
    pub(crate) fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let shared = Arc::new(Shared { goal: AtomicU64::new(u64::MAX), ..Shared::default() });
        let served = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(|request| swallow(request, Arc::clone(&shared)));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url: format!("http://127.0.0.1:{port}/in"), shared, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn events(&self) -> u64 {
        self.shared.events.load(Ordering::Relaxed)
    }

    /// When the last of this many events had come; `None` if nothing comes any more.
    pub(crate) fn wait(&self, events: u64) -> Option<Instant> {
        self.shared.goal.store(events, Ordering::SeqCst);
        let mut reached = self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner);
        while reached.is_none() {
            let before = self.events();
            let waited = self.shared.changed.wait_timeout(reached, DEADLINE);
            reached = waited.unwrap_or_else(PoisonError::into_inner).0;
            if reached.is_none() && self.events() == before {
                return None;
            }
        }
        *reached
    }
}

impl Drop for Sinkhole {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A body is one event, or one event a line.
async fn swallow(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    let (mut lines, mut ended) = (0, true);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            lines += u64::try_from(data.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
            ended = data.last() == Some(&b'\n');
        }
    }
    let events = lines + u64::from(!ended);
    let now = shared.events.fetch_add(events, Ordering::SeqCst) + events;
    if now >= shared.goal.load(Ordering::SeqCst) {
        let mut reached = shared.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.get_or_insert_with(Instant::now);
        shared.changed.notify_all();
    }
    Ok(Response::new(Full::default()))
}
