//! Fakes of the host, for `cargo test`: everything happens in memory, on the thread of the test.
//!
//! A connector runs here as plain Rust. What it prints, stores and sends is there to be looked at; what it
//! would be told is a script. The real boundary, limits and grants are the host's: `pgcdc validate` runs those.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use pgcdc_layout::writer::BodyDef;
use pgcdc_layout::{BatchWriter, ColumnDef, EventDef, Kind, Op, RelationDef, TupleRef, TypeDef, WriteError};

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

/// From now on what is printed goes to this function: the stream's name, the bytes.
pub fn print_to(printer: impl FnMut(&str, &[u8]) + 'static) {
    native::console::print_to(Box::new(printer));
}

/// A batch of bytes that a `BatchWriter` has finished, without checking or copying them: for benchmarks.
pub fn trusted_batch(rows: Vec<u8>) -> Batch {
    native::batches::trusted(rows)
}

/// What was printed to `stdout` or `stderr` since the last call.
pub fn take_printed(stream: &str) -> String {
    String::from_utf8_lossy(&native::console::take(stream)).into_owned()
}

/// What was logged since the last call: levels and messages with their fields.
pub fn take_logged() -> Vec<(Level, String)> {
    let lines = native::log::take().into_iter();
    lines
        .map(|(level, message, fields)| {
            let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            (level, message + &fields)
        })
        .collect()
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

/// What snapshots will bring next.
pub fn script_snapshot(answers: impl IntoIterator<Item = Result<Vec<Batch>>>) {
    native::snapshot::script(answers);
}

/// A row for a test: `None` is NULL.
pub type Row<'a> = &'a [Option<&'a str>];

/// A table for a test; its first column is the key.
#[derive(Debug)]
pub struct Table<'a> {
    /// Its name, in the schema `public`.
    pub name: &'a str,
    /// Names and kinds.
    pub columns: &'a [(&'a str, Kind)],
}

impl Table<'_> {
    /// A batch of changes: what happened, the row before, the row after. Ids count from 1.
    ///
    /// # Errors
    ///
    /// `invalid` if a row is not as long as the table is wide.
    pub fn batch(&self, changes: &[(Op, Option<Row<'_>>, Option<Row<'_>>)]) -> Result<Batch> {
        let mut writer = BatchWriter::new();
        writer.source("wal_replication")?;
        let mut columns = Vec::new();
        for (at, (name, kind)) in self.columns.iter().enumerate() {
            let ty = writer.add_type(&TypeDef::scalar(0, *kind, "t"))?;
            let key = at == 0;
            columns.push(ColumnDef { identity: key, primary: key, ..ColumnDef::new(name, ty) });
        }
        let channel = format!("pgcdc:{}", self.name);
        let relation = writer.add_relation(&RelationDef {
            oid: 1,
            identity: b'd',
            schema: "public",
            name: self.name,
            channel: &channel,
            columns: &columns,
        })?;
        for (at, (op, before, after)) in changes.iter().enumerate() {
            let before = before.map(|row| tuple(&mut writer, row)).transpose()?;
            let after = after.map(|row| tuple(&mut writer, row)).transpose()?;
            let mut id = [0; 16];
            id[12..].copy_from_slice(&(at as u32 + 1).to_be_bytes());
            writer.add_event(&EventDef { id, before, after, ..EventDef::new(*op, relation) })?;
        }
        Batch::build(&writer.finish())
    }
}

/// A batch of free-form payloads on the channel `ch`: JSON, or else text.
///
/// # Errors
///
/// `invalid` if there is none.
pub fn payloads(payloads: &[&str]) -> Result<Batch> {
    let mut writer = BatchWriter::new();
    writer.source("listen_notify")?;
    let relation = writer.add_relation(&RelationDef::channel("ch"))?;
    for (at, payload) in payloads.iter().enumerate() {
        let mut id = [0; 16];
        id[12..].copy_from_slice(&(at as u32 + 1).to_be_bytes());
        let event = |body| EventDef { id, body, ..EventDef::new(Op::Notify, relation) };
        if writer.add_event(&event(BodyDef::Json(payload))).is_err() {
            writer.add_event(&event(BodyDef::Text(payload)))?;
        }
    }
    Batch::build(&writer.finish())
}

/// The envelopes of a batch.
///
/// # Errors
///
/// None for a batch that was built.
pub fn printed(batch: &Batch) -> Result<Vec<crate::config::Json>> {
    let lines = batch.json_lines(0, batch.count())?;
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
}

fn tuple(writer: &mut BatchWriter, row: Row<'_>) -> Result<TupleRef, WriteError> {
    let mut tuple = writer.tuple(row.len())?;
    for cell in row {
        match cell {
            Some(value) => tuple.value(value.as_bytes()),
            None => tuple.null(),
        }
    }
    tuple.finish()
}
