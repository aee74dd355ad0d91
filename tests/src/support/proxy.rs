//! A proxy between pgcdc and PostgreSQL that cuts, stalls, and lets one side die without a word.
//!
//! Invariants. What is not touched by a fault passes unchanged and in order. Only the replication connection counts
//! towards a cut, so that a cut falls where the test says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::journal::DEADLINE;

/// How often a connection looks for what it is to do.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const STARTUP_MAX: usize = 8 * 1024;

/// Where the replication connection is cut, counted from the server's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Behind so many whole messages of the server.
    AfterMessages(u64),
    /// Behind so many bytes of the server.
    AfterBytes(u64),
}

/// What connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Nothing moves, and nobody is told.
    Silent,
    /// The server's side is closed, the client's side stays and swallows.
    HalfOpen,
}

struct State {
    mode: Mode,
    cut: Option<Cut>,
    cuts: usize,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

/// The proxy, gone with its owner.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of a server on this port of 127.0.0.1.
    #[must_use]
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .unwrap_or_else(|error| panic!("the proxy cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server)),
            state: Mutex::new(State { mode: Mode::Pass, cut: None, cuts: 0 }),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next replication connection is cut there, once.
    pub fn cut(&self, cut: Cut) {
        self.shared.lock().cut = Some(cut);
    }

    /// Waits until the cut that was asked for has been made, or `gave_up` says that nobody will come so far.
    #[must_use]
    pub fn wait_cut(&self, cuts: usize, mut gave_up: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        while state.cuts < cuts {
            if gave_up() || Instant::now() > end {
                return false;
            }
            state =
                self.shared.changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Cuts made so far.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }

    /// From now on nothing moves on connections that are open.
    pub fn silence(&self) {
        self.shared.lock().mode = Mode::Silent;
    }

    /// The server's sides of connections that are open are closed; the other sides stay.
    pub fn half_open(&self) {
        self.shared.lock().mode = Mode::HalfOpen;
    }

    /// New connections pass again; those that were touched stay as they are.
    pub fn heal(&self) {
        self.shared.lock().mode = Mode::Pass;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.ended() {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || serve(client, &shared));
            }
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

/// One connection; its faults are its own from the moment that they strike.
fn serve(client: TcpStream, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.server) else { return };
    let ready = |stream: &TcpStream| {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(LOOK_EVERY))
    };
    let (Ok(()), Ok(()), Ok(client_too), Ok(server_too)) =
        (ready(&client), ready(&server), client.try_clone(), server.try_clone())
    else {
        return;
    };
    let replicates = Arc::new(AtomicBool::new(false));
    let (of_client, shared_too) = (Arc::clone(&replicates), Arc::clone(shared));
    let up = std::thread::spawn(move || up(client_too, server_too, &of_client, &shared_too));
    down(server, client, &replicates, shared);
    let _ = up.join();
}

/// What a turn of a pump found.
enum Turn {
    Bytes(usize),
    Nothing,
    Ended,
}

fn turn(from: &mut TcpStream, buffer: &mut [u8]) -> Turn {
    match from.read(buffer) {
        Ok(0) => Turn::Ended,
        Ok(count) => Turn::Bytes(count),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            Turn::Nothing
        }
        Err(_) => Turn::Ended,
    }
}

fn close(streams: [&TcpStream; 2]) {
    for stream in streams {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Holds a connection in its state until the proxy ends: nobody on either side is told anything.
fn hold(shared: &Shared) {
    while !shared.ended() {
        std::thread::park_timeout(LOOK_EVERY);
    }
}

fn up(mut client: TcpStream, mut server: TcpStream, replicates: &AtomicBool, shared: &Shared) {
    let mut buffer = [0; STARTUP_MAX];
    let mut first = true;
    while !shared.ended() {
        let mode = shared.lock().mode;
        match mode {
            Mode::Silent => return hold(shared),
            Mode::HalfOpen => {
                let _ = server.shutdown(Shutdown::Both);
                // Whatever the client writes succeeds, and is heard by nobody.
                while !shared.ended() && !matches!(turn(&mut client, &mut buffer), Turn::Ended) {}
                return;
            }
            Mode::Pass => {}
        }
        match turn(&mut client, &mut buffer) {
            Turn::Nothing => {}
            Turn::Ended => break,
            Turn::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                if std::mem::take(&mut first) {
                    let asks = bytes.windows(b"replication\0".len()).any(|word| word == b"replication\0");
                    replicates.store(asks, Ordering::Release);
                }
                if server.write_all(bytes).is_err() {
                    break;
                }
            }
        }
    }
    close([&client, &server]);
}

fn down(mut server: TcpStream, mut client: TcpStream, replicates: &AtomicBool, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let mut counted = Counted::default();
    while !shared.ended() {
        let mode = shared.lock().mode;
        match mode {
            Mode::Silent | Mode::HalfOpen => return hold(shared),
            Mode::Pass => {}
        }
        match turn(&mut server, &mut buffer) {
            Turn::Nothing => {}
            Turn::Ended => break,
            Turn::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                let cut = shared.lock().cut.filter(|_| replicates.load(Ordering::Acquire));
                let pass = counted.until(bytes, cut);
                let written = client.write_all(bytes.get(..pass.unwrap_or(count)).unwrap_or_default());
                if pass.is_some() {
                    close([&client, &server]);
                    let mut state = shared.lock();
                    state.cut = None;
                    state.cuts += 1;
                    drop(state);
                    shared.changed.notify_all();
                    return;
                }
                if written.is_err() {
                    break;
                }
            }
        }
    }
    close([&client, &server]);
}

/// How far the server's side of a connection is. Without TLS every message has a tag and a length.
#[derive(Default)]
struct Counted {
    bytes: u64,
    messages: u64,
    /// What is known of the next message's head.
    head: Vec<u8>,
    /// Bytes of the message's body that are still to come.
    left: u64,
}

impl Counted {
    /// Counts bytes; how many of them lie before the cut, if it falls into these.
    fn until(&mut self, bytes: &[u8], cut: Option<Cut>) -> Option<usize> {
        if cut == Some(Cut::AfterMessages(0)) || cut == Some(Cut::AfterBytes(0)) {
            return Some(0);
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.bytes += 1;
            let whole = self.step(*byte);
            self.messages += u64::from(whole);
            match cut {
                Some(Cut::AfterBytes(limit)) if self.bytes >= limit => return Some(at + 1),
                Some(Cut::AfterMessages(limit)) if whole && self.messages >= limit => return Some(at + 1),
                _ => {}
            }
        }
        None
    }

    /// Takes one byte; true if a message ends with it.
    fn step(&mut self, byte: u8) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return self.left == 0;
        }
        self.head.push(byte);
        let Some(length) = self.head.get(1..5).and_then(|length| length.try_into().ok()) else {
            return false;
        };
        self.left = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
        self.head.clear();
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_behind_a_whole_message_however_the_bytes_come() {
        // Two messages: one of two bytes, one without a body.
        let stream = [b'R', 0, 0, 0, 6, 1, 2, b'Z', 0, 0, 0, 4, b'x'];
        for size in 1..stream.len() {
            for (messages, expected) in [(1, 7), (2, 12)] {
                let mut counted = Counted::default();
                let mut passed = 0;
                for chunk in stream.chunks(size) {
                    match counted.until(chunk, Some(Cut::AfterMessages(messages))) {
                        Some(before) => {
                            passed += before;
                            break;
                        }
                        None => passed += chunk.len(),
                    }
                }
                assert_eq!(passed, expected, "in pieces of {size}");
            }
        }
        assert_eq!(Counted::default().until(&stream, Some(Cut::AfterBytes(3))), Some(3));
        assert_eq!(Counted::default().until(&stream, None), None);
    }
}
