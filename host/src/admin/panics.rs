//! Panics of the host: counted, and logged by their place only, because what a panic says may quote a row.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Takes the place of what Rust prints.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_string();
        tracing::error!(thread, "panicked at {at}: a fault of pgcdc, please report it");
    }));
}

/// Since the start.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}
