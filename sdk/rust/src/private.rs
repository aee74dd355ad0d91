//! What the expansion of `connector!` needs. No promise is made about any of it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Config, Context, Error, Result};

#[cfg(target_arch = "wasm32")]
pub use wit_bindgen;

/// What the exports of a component name of the host's interfaces.
pub mod contract {
    pub use crate::{Batch, Error};
}

/// The one instance of a component. A running call keeps it alive past `close`.
#[derive(Debug)]
pub struct Slot<T>(RefCell<Option<Rc<T>>>);

impl<T> Slot<T> {
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub fn set(&self, instance: T) {
        self.0.replace(Some(Rc::new(instance)));
    }

    pub fn get(&self) -> Result<Rc<T>> {
        self.0.borrow().clone().ok_or_else(|| Error::invalid("the connector is not open"))
    }

    pub fn take(&self) -> Option<Rc<T>> {
        self.0.take()
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

pub fn config<C: Config>(text: &str) -> Result<C> {
    crate::config::parse(text)
}

pub fn context(text: &str) -> Result<Context> {
    Context::parse(text)
}
