//! Keyed digests of the values of one batch, made by the host in one call for each key.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pgcdc_sdk::{Result, crypto};

use crate::rule::{Rule, hex};

/// Values by rule, and their digests once they are there.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    wanted: RefCell<BTreeMap<usize, BTreeMap<String, String>>>,
}

impl Digests {
    /// This value, under that rule's key.
    pub(crate) fn want(&self, rule: usize, text: &str) {
        let mut wanted = self.wanted.borrow_mut();
        let texts = wanted.entry(rule).or_default();
        if !texts.contains_key(text) {
            texts.insert(text.to_owned(), String::new());
        }
    }

    /// Has the host make all of them.
    pub(crate) fn resolve(&self, rules: &[Rule]) -> Result<()> {
        for (at, texts) in self.wanted.borrow_mut().iter_mut() {
            let Some(key) = rules.get(*at).and_then(|rule| rule.key.as_ref()) else { continue };
            let items: Vec<Vec<u8>> = texts.keys().map(|text| text.as_bytes().to_vec()).collect();
            let digests = crypto::hmac_sha256(key, &items)?;
            for (digest, made) in texts.values_mut().zip(&digests) {
                *digest = hex(made);
            }
        }
        Ok(())
    }

    /// A digest that was wanted.
    pub(crate) fn get(&self, rule: usize, text: &str) -> String {
        let wanted = self.wanted.borrow();
        wanted.get(&rule).and_then(|texts| texts.get(text)).cloned().unwrap_or_default()
    }
}
