//! The bytes of a batch, read in place.

use pgcdc_layout::View;

/// Events in the flat layout. The host has checked them.
#[derive(Debug, Clone)]
pub struct Rows {
    bytes: Vec<u8>,
}

impl Rows {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The events, relations and types.
    pub fn view(&self) -> View<'_> {
        View::of_valid(&self.bytes)
    }

    /// The bytes, to be rewritten.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
