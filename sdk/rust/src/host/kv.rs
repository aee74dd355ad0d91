//! A little durable state of a connector's own, kept in the checkpoint store.

use crate::{Result, backend};

/// The value, if there is one.
///
/// # Errors
///
/// The store's.
pub async fn get(key: &str) -> Result<Option<Vec<u8>>> {
    backend::kv::get(key.to_owned()).await
}

/// Returns when the value is stored.
///
/// # Errors
///
/// The store's, and `too-large`.
pub async fn set(key: &str, value: impl Into<Vec<u8>>) -> Result<()> {
    backend::kv::set(key.to_owned(), value.into()).await
}

/// Returns when the value is no more.
///
/// # Errors
///
/// The store's.
pub async fn delete(key: &str) -> Result<()> {
    backend::kv::delete(key.to_owned()).await
}
