//! Connectors linked into a host's process instead of run as components: what the sandbox costs is measured against them.
//!
//! The same source as the component, with the host's own bytes: a lent batch is read in place, what is built is not
//! checked, and what is printed is the host's chunks, for the host to write once the call has returned. No connector
//! that ships is linked.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;

use crate::backend::native::batches;
use crate::{Batch, Result, testing};

/// A host's batch.
pub trait Lender: Debug {
    /// All of it, in the flat layout.
    fn rows(&self) -> Bytes;

    /// A part in one of the host's encodings.
    ///
    /// # Errors
    ///
    /// `invalid` for an encoding that there is not.
    fn encode(&self, encoding: &str, start: u32, n: u32) -> Result<Vec<Bytes>>;
}

/// A stream's name, and what is to be written there.
pub type Printed = (String, Vec<Bytes>);

thread_local! {
    static PRINTED: RefCell<Option<Vec<Printed>>> = const { RefCell::new(None) };
}

/// Lends a batch to a connector.
pub fn lend(lender: Rc<dyn Lender>) -> Batch {
    batches::lent(lender)
}

/// The bytes of a batch that a connector has made; no copy if nobody else holds it.
pub fn take(batch: Batch) -> Vec<u8> {
    batches::into_rows(batch)
}

/// Runs a call that waits for nothing outside, and returns what it printed.
///
/// # Panics
///
/// If it does wait.
pub fn run<T>(call: impl Future<Output = T>) -> (T, Vec<Printed>) {
    PRINTED.set(Some(Vec::new()));
    let answer = testing::block_on(call);
    (answer, PRINTED.take().unwrap_or_default())
}

pub(crate) fn is_under_way() -> bool {
    PRINTED.with_borrow(Option::is_some)
}

pub(crate) fn print(stream: String, chunks: Vec<Bytes>) {
    PRINTED.with_borrow_mut(|printed| printed.get_or_insert_default().push((stream, chunks)));
}
