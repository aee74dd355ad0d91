//! The values and their versions. Pure.
//!
//! As bytes: a count, then for each key in order: length and bytes of the key, version, 1 and length and
//! bytes of the value, or 0 if the key was removed. A removed key keeps its version, which is never used again.

use std::collections::BTreeMap;

use pgcdc_sdk::checkpoint_store::{Entry, Put};
use pgcdc_sdk::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Versioned {
    version: u64,
    value: Option<Vec<u8>>,
}

/// Everything that is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<String, Versioned>);

/// Is this about what was asked, so that nothing was written?
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error.code.as_str(), "conflict" | "too-large")
}

impl Values {
    pub(crate) fn with_prefix(&self, prefix: &str) -> Vec<Entry> {
        let from_here = self.0.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let entry = |(key, stored): (&String, &Versioned)| {
            let value = stored.value.clone()?;
            Some(Entry { key: key.clone(), version: stored.version, value })
        };
        from_here.filter_map(entry).collect()
    }

    /// These values and those: all, or none and `conflict`.
    pub(crate) fn with(&self, puts: Vec<Put>) -> Result<Self> {
        let mut next = self.0.clone();
        for Put { key, expected_version, value } in puts {
            let before = next.get(&key);
            let seen = before.filter(|before| before.value.is_some()).map_or(0, |before| before.version);
            if seen != expected_version {
                let error = Error::conflict("a checkpoint was written by somebody else");
                return Err(error.with("key", key).with("expected", expected_version).with("found", seen));
            }
            let version = before.map_or(0, |before| before.version) + 1;
            next.insert(key, Versioned { version, value });
        }
        Ok(Self(next))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&(self.0.len() as u64).to_le_bytes());
        for (key, stored) in &self.0 {
            bytes(&mut out, key.as_bytes());
            out.extend_from_slice(&stored.version.to_le_bytes());
            match &stored.value {
                Some(value) => {
                    out.push(1);
                    bytes(&mut out, value);
                }
                None => out.push(0),
            }
        }
        out
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        Self::parse(body)
            .ok_or_else(|| Error::gone("the checkpoint file is whole, and not one that pgcdc wrote"))
    }

    fn parse(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let mut values = BTreeMap::new();
        for _ in 0..number(body)? {
            let key = String::from_utf8(taken(body)?.to_vec()).ok()?;
            let version = number(body)?;
            let value = match split(body, 1)? {
                [0] => None,
                [1] => Some(taken(body)?.to_vec()),
                _ => return None,
            };
            values.insert(key, Versioned { version, value });
        }
        body.is_empty().then_some(Self(values))
    }
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn split<'a>(body: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = body.split_at_checked(len)?;
    *body = tail;
    Some(head)
}

fn number(body: &mut &[u8]) -> Option<u64> {
    let (head, tail) = body.split_first_chunk::<8>()?;
    *body = tail;
    Some(u64::from_le_bytes(*head))
}

fn taken<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(number(body)?).ok()?;
    split(body, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, expected_version: u64, value: Option<&str>) -> Put {
        Put { key: key.into(), expected_version, value: value.map(|value| value.as_bytes().to_vec()) }
    }

    #[test]
    fn versions_count_and_are_never_used_again() {
        let values = Values::default().with(vec![put("a", 0, Some("1"))]).unwrap();
        let values = values.with(vec![put("a", 1, Some("2"))]).unwrap();
        assert_eq!(values.with_prefix("a")[0].version, 2);
        let values = values.with(vec![put("a", 2, None)]).unwrap();
        assert!(values.with_prefix("").is_empty());
        let values = values.with(vec![put("a", 0, Some("3"))]).unwrap();
        assert_eq!(values.with_prefix("a")[0].version, 4);
    }

    #[test]
    fn a_conflict_stores_nothing() {
        let values = Values::default().with(vec![put("a", 0, Some("1"))]).unwrap();
        let refused = values.with(vec![put("b", 0, Some("1")), put("a", 0, Some("2"))]).unwrap_err();
        assert_eq!(refused.code, "conflict");
        assert_eq!(values.with_prefix("").len(), 1);
    }

    #[test]
    fn bytes_are_read_back_and_bad_ones_refused() {
        let values = Values::default()
            .with(vec![put("a", 0, Some("1")), put("b", 0, None), put("", 0, Some(""))])
            .unwrap();
        let bytes = values.write();
        assert_eq!(Values::read(&bytes).unwrap(), values);
        for end in 0..bytes.len() {
            assert_eq!(Values::read(&bytes[..end]).unwrap_err().code, "gone");
        }
        assert!(Values::read(&[255; 64]).is_err());
    }
}
