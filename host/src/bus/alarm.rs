//! What a lane cannot go on after: one line for the operator that ends the process.

use tokio::sync::mpsc;

/// Raised at most once; the first reason counts.
#[derive(Clone)]
pub(crate) struct Alarm(mpsc::Sender<String>);

/// An alarm, and where it is heard.
pub(crate) fn alarm() -> (Alarm, mpsc::Receiver<String>) {
    let (raise, heard) = mpsc::channel(1);
    (Alarm(raise), heard)
}

impl Alarm {
    pub(super) fn raise(&self, message: String) {
        let _ = self.0.try_send(message);
    }
}
