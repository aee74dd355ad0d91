//! A receiver of webhooks that certify can read back, and that misbehaves as drawn: it refuses, it takes and says
//! nothing, it takes and hangs up, it takes its time.
//!
//! Invariant: what was taken is in the inbox before anything is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::inbox::{Inbox, WEBHOOK};
use super::plan::Draw;

/// The sender gives up after this long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// An answer that comes later than this may be one that the sender no longer waits for.
const PROMPT: Duration = Duration::from_millis(200);
/// Requests between two faults, about.
const FAULT_EVERY: u64 = 400;

/// What is done to a request instead of taking it and saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Reject,
    LoseReply,
    Hang,
    Slow,
}

struct Shared {
    inbox: Arc<Inbox>,
    draw: Mutex<Draw>,
    faults: AtomicBool,
    connections: AtomicUsize,
}

/// The receiver, as long as it is held.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn start(inbox: &Arc<Inbox>, draw: &Draw) -> Result<Receiver, String> {
        let failed = |e: std::io::Error| format!("certify's receiver of webhooks: {e}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            inbox: Arc::clone(inbox),
            draw: Mutex::new(draw.fork(u64::MAX)),
            faults: AtomicBool::new(true),
            connections: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Receiver { address, shared, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// From now on it behaves.
    pub(crate) fn behave(&self) {
        self.shared.faults.store(false, Ordering::Release);
    }

    /// Connections that are open. None: everything that a dead sender has sent was read.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        shared.connections.fetch_add(1, Ordering::AcqRel);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            // An error is a sender that went away, or an answer that was to be lost.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            shared.connections.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

/// The connection is cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Cut {
        match never {}
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Cut> {
    let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
    let came = Instant::now();
    let fault = shared.fault();
    if fault == Fault::Reject {
        return Ok(response(StatusCode::SERVICE_UNAVAILABLE));
    }
    let at = shared.inbox.take(WEBHOOK, &body, true);
    match fault {
        Fault::LoseReply => return Err(Cut),
        Fault::Hang => {
            tokio::time::sleep(TIMEOUT * 2).await;
            return Err(Cut);
        }
        Fault::Slow => tokio::time::sleep(Duration::from_millis(100)).await,
        Fault::None | Fault::Reject => {}
    }
    if came.elapsed() < PROMPT {
        shared.inbox.answered(WEBHOOK, at);
    }
    Ok(response(StatusCode::OK))
}

impl Shared {
    fn fault(&self) -> Fault {
        if !self.faults.load(Ordering::Acquire) {
            return Fault::None;
        }
        let mut draw = self.draw.lock().unwrap_or_else(PoisonError::into_inner);
        if !draw.once_in(FAULT_EVERY) {
            return Fault::None;
        }
        match draw.below(8) {
            0..=2 => Fault::Reject,
            3..=4 => Fault::LoseReply,
            5..=6 => Fault::Slow,
            _ => Fault::Hang,
        }
    }
}

fn response(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
