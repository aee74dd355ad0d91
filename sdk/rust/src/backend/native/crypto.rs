//! Secrets that a test has set.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::bytes_of;
use crate::batch::Part;
use crate::{Error, Result};

thread_local! {
    static SECRETS: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn set(name: &str, value: &[u8]) {
    SECRETS.with_borrow_mut(|secrets| secrets.insert(name.to_owned(), value.to_vec()));
}

pub(crate) fn hmac(algorithm: &str, secret: &str, items: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    items.iter().map(|item| digest(algorithm, secret, item)).collect()
}

pub(crate) async fn hmac_body(algorithm: String, secret: String, body: Vec<Part<'_>>) -> Result<Vec<u8>> {
    digest(&algorithm, &secret, &bytes_of(&body)?)
}

fn digest(algorithm: &str, secret: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    if algorithm != "sha256" {
        return Err(Error::unsupported(format!("no HMAC with {algorithm}")));
    }
    let key = SECRETS.with_borrow(|secrets| secrets.get(secret).cloned());
    let key = key.ok_or_else(|| Error::denied(format!("no secret {secret}")))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(Error::invalid)?;
    mac.update(bytes);
    Ok(mac.finalize().into_bytes().to_vec())
}
