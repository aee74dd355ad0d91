//! Signals: SIGINT and SIGTERM stop, a second one of them ends the process at once, SIGHUP reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Every signal that is listened to. From here on none of them ends the process by itself.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// SIGHUP: reload. One that comes while nobody listens is remembered.
    pub(super) hangup: Signal,
}

impl Signals {
    pub(super) fn install() -> Result<Signals, String> {
        let install = |kind| signal(kind).map_err(|e| format!("signals cannot be listened to: {e}"));
        Ok(Signals {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    /// Returns at the first SIGINT or SIGTERM; the next one ends the process with what a shell says of that signal: nothing
    /// that counts is lost by it, since what is not stored comes again.
    pub(super) fn stop(self) -> (impl Future<Output = ()>, Signal) {
        let Signals { mut interrupt, mut terminate, hangup } = self;
        let stop = async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            tracing::info!("stopping: what is under way is delivered first; a second signal stops at once");
            tokio::spawn(async move {
                let code = tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
                tracing::warn!("stopped at once by a second signal");
                std::process::exit(code);
            });
        };
        (stop, hangup)
    }
}
