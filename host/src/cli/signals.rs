//! Signals: SIGINT and SIGTERM stop, a second one of them ends the process at once, SIGHUP reloads.

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

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

    /// A future that is ready at the first SIGINT or SIGTERM, however busy the process is. The next one ends it with what a shell
    /// says of that signal: nothing that counts is lost by it, since what is not stored comes again.
    pub(super) fn stop(self) -> (impl Future<Output = ()>, Signal) {
        let Signals { mut interrupt, mut terminate, hangup } = self;
        let (told, stop) = oneshot::channel::<()>();
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            tracing::info!("stopping: what is under way is delivered first; a second signal stops at once");
            let _ = told.send(());
            let code = tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
            tracing::warn!("stopped at once by a second signal");
            std::process::exit(code);
        });
        (stop.map(drop), hangup)
    }
}
