//! The headers of a request.
//!
//! A channel's name is the database's to choose, so it is percent-encoded wherever it is not plain visible ASCII:
//! no name becomes a second header.

use std::collections::BTreeMap;
use std::fmt::Write;

use pgcdc_sdk::layout::json;
use pgcdc_sdk::{Body, Error, Result, crypto};

use crate::Options;

const USER_AGENT: &str = "pgcdc/1.0";

/// Are the operator's headers headers?
pub(crate) fn check(headers: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in headers {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(Error::misconfigured(format!("headers: `{}` is not a header's name", visible(name))));
        }
        if value.chars().any(|letter| letter.is_control() && letter != '\t') {
            return Err(Error::misconfigured(format!(
                "headers.{name}: a header's value has no control characters"
            )));
        }
    }
    Ok(())
}

/// All of them: those given, then the operator's in place of the same, then the signature.
pub(crate) async fn of(
    options: &Options,
    content_type: &str,
    own: Vec<(&str, String)>,
    body: &Body<'_>,
) -> Result<Vec<(String, String)>> {
    let mut headers = vec![
        ("Content-Type".to_owned(), content_type.to_owned()),
        ("User-Agent".to_owned(), USER_AGENT.to_owned()),
    ];
    headers.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in &options.headers {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    if let Some(key) = &options.signing_key {
        let digest = crypto::hmac_sha256_of(key, body.clone()).await?;
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case("X-PGCDC-Signature"));
        headers.push(("X-PGCDC-Signature".to_owned(), format!("sha256={}", hex(&digest))));
    }
    Ok(headers)
}

/// A hyphenated UUID.
pub(crate) fn uuid(id: [u8; 16]) -> String {
    text(|out| json::write_uuid(out, &id))
}

/// Plain visible ASCII, the rest percent-encoded.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    text(|out| json::write_hex(out, bytes))
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_cannot_break_out_of_its_header() {
        assert_eq!(visible("pgcdc:a\r\nX: 1%"), "pgcdc:a%0D%0AX:%201%25");
    }

    #[test]
    fn an_id_is_hyphenated() {
        assert_eq!(uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }

    #[test]
    fn bad_headers_are_refused() {
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z")] {
            let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(check(&headers).unwrap_err().code, "misconfigured", "{name:?}");
        }
    }
}
