//! sha256 of a file, in the lower-case hexadecimal that the manifest's `sha256` key has.

use sha2::{Digest, Sha256};

/// The digest of these bytes.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
