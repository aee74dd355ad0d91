//! The engine, the linker and the epoch ticker: one of each for the process.
//!
//! The engine cannot compile. The ticker runs only while a guest is on a CPU: a tick finds that nobody was polled since
//! the last one and parks, so that an idle process has no wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use pgcdc_artifact::native;
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::state::State;
use super::v1;

/// What every instance is made from.
pub(crate) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) ticker: Arc<Ticker>,
}

impl Runtime {
    pub(crate) fn new() -> wasmtime::Result<Runtime> {
        let engine = native::running_engine()?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        v1::link(&mut linker)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Runtime { engine, linker, ticker })
    }
}

/// Advances the engine's epoch while guests are polled.
pub(super) struct Ticker {
    on_cpu: AtomicUsize,
    polled: AtomicBool,
    parked: AtomicBool,
    thread: Thread,
}

impl Ticker {
    fn start(engine: Engine) -> wasmtime::Result<Arc<Ticker>> {
        let (send, receive) = std::sync::mpsc::sync_channel::<Arc<Ticker>>(1);
        let thread = std::thread::Builder::new()
            .name("epoch".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                if let Ok(ticker) = receive.recv() {
                    ticker.run(&engine);
                }
            })
            .map_err(wasmtime::Error::from)?
            .thread()
            .clone();
        let ticker = Arc::new(Ticker {
            on_cpu: AtomicUsize::new(0),
            polled: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            thread,
        });
        let _ = send.send(Arc::clone(&ticker));
        Ok(ticker)
    }

    fn run(&self, engine: &Engine) {
        loop {
            std::thread::park_timeout(Duration::from_millis(native::EPOCH_MS));
            engine.increment_epoch();
            if !self.polled.swap(false, Ordering::SeqCst) && self.on_cpu.load(Ordering::SeqCst) == 0 {
                self.parked.store(true, Ordering::SeqCst);
                while self.on_cpu.load(Ordering::SeqCst) == 0 && !self.polled.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
            }
        }
    }

    /// Runs `poll` with the ticker awake.
    pub(super) fn while_polled<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.on_cpu.fetch_add(1, Ordering::SeqCst);
        if !self.polled.swap(true, Ordering::SeqCst) && self.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        let result = poll();
        self.on_cpu.fetch_sub(1, Ordering::SeqCst);
        result
    }
}
