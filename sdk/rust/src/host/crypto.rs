//! Keyed functions over the secrets that this connector's own config names, which never enter a guest.

use crate::config::Secret;
use crate::{Body, Error, Result, backend};

/// HMAC-SHA256 of each item under a named secret.
///
/// # Errors
///
/// `denied` if there is no such secret for this connector.
pub fn hmac_sha256(secret: &Secret, items: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let digests = backend::crypto::hmac("sha256", secret.name(), items)?;
    if digests.len() == items.len() {
        Ok(digests)
    } else {
        Err(Error::invalid("the host answered for other items"))
    }
}

/// HMAC-SHA256 of a body under a named secret.
///
/// # Errors
///
/// `denied` if there is no such secret for this connector.
pub async fn hmac_sha256_of(secret: &Secret, body: impl Into<Body<'_>>) -> Result<Vec<u8>> {
    backend::crypto::hmac_body("sha256".to_owned(), secret.name().to_owned(), body.into().parts).await
}
