//! What was printed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{batches, bytes_of};
use crate::batch::Part;
use crate::{Result, linked};

pub(crate) type Printer = Box<dyn FnMut(&str, &[u8])>;

thread_local! {
    static PRINTER: RefCell<Option<Printer>> = const { RefCell::new(None) };
    static PRINTED: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) async fn write(stream: String, body: Vec<Part<'_>>) -> Result<()> {
    if linked::is_under_way() {
        linked::print(stream, batches::chunks(&body)?);
        return Ok(());
    }
    let bytes = bytes_of(&body)?;
    let printed = PRINTER.with_borrow_mut(|printer| printer.as_mut().map(|printer| printer(&stream, &bytes)));
    if printed.is_some() {
        return Ok(());
    }
    PRINTED.with_borrow_mut(|printed| printed.entry(stream).or_default().extend_from_slice(&bytes));
    Ok(())
}

pub(crate) fn print_to(printer: Printer) {
    PRINTER.replace(Some(printer));
}

pub(crate) fn take(stream: &str) -> Vec<u8> {
    PRINTED.with_borrow_mut(|printed| printed.remove(stream)).unwrap_or_default()
}
