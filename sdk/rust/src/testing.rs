//! Fakes of the host, for `cargo test`: everything happens in memory, on the thread of the test.
//!
//! A connector runs here as plain Rust. What it prints, stores and sends is there to be looked at; what it
//! would be told is a script. The real boundary, limits and grants are the host's: `pgcdc validate` runs those.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use crate::backend::native;
use crate::http::{Request, Response};
use crate::log::Level;
use crate::postgres::{Notification, Rows};
use crate::{Batch, Config, Result};

/// Runs a future to its end.
///
/// # Panics
///
/// If it waits for something that no fake will ever bring about.
#[allow(clippy::panic, reason = "for tests, and promised")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    const POLLS_MAX: u32 = 1_000_000;
    let mut future = pin!(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future waits for something that never happens");
}

/// A config as the host would pass it.
///
/// # Errors
///
/// `misconfigured`, with the place.
pub fn config<C: Config>(json: &str) -> Result<C> {
    crate::config::parse(json)
}

/// What was printed to `stdout` or `stderr` since the last call.
pub fn take_printed(stream: &str) -> String {
    String::from_utf8_lossy(&native::console::take(stream)).into_owned()
}

/// What was logged since the last call: level, message, fields.
pub fn take_logged() -> Vec<(Level, String, Vec<(String, String)>)> {
    native::log::take()
}

/// A counter's or gauge's value, or the sum of what a histogram took.
pub fn metric(name: &str) -> Option<f64> {
    native::metrics::value(name)
}

/// A secret that `crypto` will find.
pub fn set_secret(name: &str, value: &[u8]) {
    native::crypto::set(name, value);
}

/// The content of a file: of the grant `grant`, or `grant/name` inside a granted folder.
pub fn file(path: &str) -> Vec<u8> {
    native::files::content(path).borrow().bytes.clone()
}

/// What a power failure would leave of it.
pub fn file_synced(path: &str) -> Vec<u8> {
    native::files::content(path).borrow().synced.clone()
}

/// Sets a file's content, as if it had been there before.
pub fn set_file(path: &str, bytes: &[u8]) {
    let content = native::files::content(path);
    content.borrow_mut().bytes = bytes.to_vec();
    content.borrow_mut().synced = bytes.to_vec();
}

/// From now on every use of this file fails, or none does.
pub fn fail_file(path: &str, fails: bool) {
    native::files::content(path).borrow_mut().fails = fails;
}

/// How often a file was synced.
pub fn file_syncs(path: &str) -> u32 {
    native::files::content(path).borrow().syncs
}

/// Every file that there is.
pub fn files() -> Vec<String> {
    native::files::paths()
}

/// Answers HTTP requests from now on.
pub fn serve_http<F>(server: impl Fn(Request<'static>) -> F + 'static)
where
    F: Future<Output = Result<Response>> + 'static,
{
    native::http::serve(Rc::new(move |request| Box::pin(server(request))));
}

/// Answers queries from now on.
pub fn serve_postgres(server: impl Fn(&str, &[Option<String>]) -> Result<Rows> + 'static) {
    native::postgres::serve(Rc::new(server));
}

/// What subscriptions will hear next.
pub fn script_notifications(answers: impl IntoIterator<Item = Result<Vec<Notification>>>) {
    native::postgres::script(answers);
}

/// What replication streams will bring next.
pub fn script_wal(answers: impl IntoIterator<Item = Result<Vec<Batch>>>) {
    native::wal::script(answers);
}
