//! What was printed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::bytes_of;
use crate::Result;
use crate::batch::Part;

thread_local! {
    static PRINTED: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) async fn write(stream: String, body: Vec<Part<'_>>) -> Result<()> {
    let bytes = bytes_of(&body)?;
    PRINTED.with_borrow_mut(|printed| printed.entry(stream).or_default().extend_from_slice(&bytes));
    Ok(())
}

pub(crate) fn take(stream: &str) -> Vec<u8> {
    PRINTED.with_borrow_mut(|printed| printed.remove(stream)).unwrap_or_default()
}
