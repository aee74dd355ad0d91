//! The receiver's side of a signed webhook.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What `X-PGCDC-Signature` must say for this body and key.
#[must_use]
pub fn expected(key: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        panic!("HMAC takes keys of any length")
    };
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}
