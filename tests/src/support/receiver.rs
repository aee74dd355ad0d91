//! A real HTTP receiver of webhooks with scripted faults.
//!
//! Invariant: what is in `accepted` was taken by this side, whether or not the sender ever learnt of it.
//! Invariant: every request is recorded, in the order in which its last byte came in.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::event::Event;
use super::journal::DEADLINE;

/// What is done to one request instead of taking it and saying 200.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Not taken, answered with this status.
    Reject(u16),
    /// Not taken, answered with this status and `Retry-After` seconds.
    RejectFor(u16, u32),
    /// Not taken, answered with this status and these headers.
    RejectWith(u16, Vec<(String, String)>),
    /// Not taken, answered with 302 and this `Location`.
    Redirect(String),
    /// Taken, and the answer waits until `release`.
    Hold,
    /// Taken, and the connection is cut instead of an answer.
    FailAfterWrite,
    /// Taken, and answered after this time.
    Slow(Duration),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// Whether this side took it.
    pub taken: bool,
    /// When its last byte came in.
    pub at: Instant,
}

impl Delivery {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as one envelope.
    #[must_use]
    #[track_caller]
    pub fn event(&self) -> Event {
        Event::parse(&String::from_utf8_lossy(&self.body))
    }
}

type Rule = Box<dyn Fn(&Delivery) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    script: VecDeque<Fault>,
    rule: Option<Rule>,
    deliveries: Vec<Delivery>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    held: watch::Sender<u64>,
    connections: AtomicUsize,
}

/// A server on the loopback interface, gone with its owner.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// Listens on this port.
    #[must_use]
    pub fn start_on(port: u16) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .unwrap_or_else(|error| panic!("cannot listen on 127.0.0.1:{port}: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no local address: {error}"));
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            held: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(listener, &served, stopped));
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where to post to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next requests meet these faults, one each; later ones none.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults);
    }

    /// Requests that the script has nothing for are judged by this.
    pub fn rule(&self, rule: impl Fn(&Delivery) -> Option<Fault> + Send + 'static) {
        self.lock().rule = Some(Box::new(rule));
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Answers everything that is held.
    pub fn release(&self) {
        self.shared.held.send_modify(|round| *round += 1);
    }

    /// Every request so far, taken or not.
    #[must_use]
    pub fn attempts(&self) -> Vec<Delivery> {
        self.lock().deliveries.clone()
    }

    /// What was taken so far.
    #[must_use]
    pub fn accepted(&self) -> Vec<Delivery> {
        self.lock().deliveries.iter().filter(|delivery| delivery.taken).cloned().collect()
    }

    /// Waits until `enough` likes the requests so far, and returns them.
    #[track_caller]
    pub fn wait(&self, what: &str, enough: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.lock();
        while !enough(&state.deliveries) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the receiver waited for {what}; it has {} requests",
                state.deliveries.len()
            );
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.deliveries.clone()
    }

    /// Waits until this many requests were taken, and returns those.
    #[track_caller]
    pub fn wait_accepted(&self, count: usize) -> Vec<Delivery> {
        let taken = |deliveries: &[Delivery]| deliveries.iter().filter(|d| d.taken).count() >= count;
        let all = self.wait(&format!("{count} accepted requests"), taken);
        all.into_iter().filter(|delivery| delivery.taken).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: std::net::TcpListener, shared: &Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap_or_else(|error| panic!("no listener: {error}"));
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    // An error is a sender that went away, or a cut that the script asked for.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    shared.connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
        };
        tokio::select! { () = accepting => {}, _ = stopped => {} }
    });
}

/// The connection is cut instead of an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Cut> {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
    let (headers, path) = (headers.collect(), request.uri().to_string());
    let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
    let mut held = shared.held.subscribe();
    let fault = record(&shared, Delivery { headers, path, body, taken: false, at: Instant::now() });
    let status = match fault {
        None => 200,
        Some(Fault::Reject(status)) => status,
        Some(Fault::RejectFor(status, seconds)) => {
            return Ok(response(status, Some(("Retry-After", &seconds.to_string()))));
        }
        Some(Fault::RejectWith(status, headers)) => {
            let mut refusal = response(status, None);
            for (name, value) in headers {
                let name = hyper::header::HeaderName::try_from(name).map_err(|_| Cut)?;
                refusal.headers_mut().insert(name, value.parse().map_err(|_| Cut)?);
            }
            return Ok(refusal);
        }
        Some(Fault::Redirect(to)) => return Ok(response(302, Some(("Location", &to)))),
        Some(Fault::FailAfterWrite) => return Err(Cut),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            200
        }
        Some(Fault::Hold) => {
            held.changed().await.map_err(|_| Cut)?;
            200
        }
    };
    Ok(response(status, None))
}

fn record(shared: &Shared, mut delivery: Delivery) -> Option<Fault> {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = match state.script.pop_front() {
        Some(fault) => Some(fault),
        None => state.rule.as_ref().and_then(|rule| rule(&delivery)),
    };
    delivery.taken = !matches!(
        fault,
        Some(Fault::Reject(_) | Fault::RejectFor(..) | Fault::RejectWith(..) | Fault::Redirect(_))
    );
    state.deliveries.push(delivery);
    drop(state);
    shared.changed.notify_all();
    fault
}

fn response(status: u16, header: Option<(&str, &str)>) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    if let Some((name, value)) = header {
        builder = builder.header(name, value);
    }
    builder.body(Full::default()).unwrap_or_else(|error| panic!("the script has status {status}: {error}"))
}
