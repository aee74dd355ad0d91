//! What a server's certificate says beyond what the TLS library reads. Pure: DER in, facts out.
//!
//! Invariant: bytes that cannot be read yield the cautious answer (no binding, no match).

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::{Decode, asn1::ObjectIdentifier};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Data of `tls-server-end-point` (RFC 5929): the certificate's hash by the function that signed it,
/// where MD5 and SHA-1 count as SHA-256. `None` where the signature names no single function, e.g. Ed25519.
pub fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    const SHA1_RSA: &str = "1.2.840.113549.1.1.5";
    const MD5_RSA: &str = "1.2.840.113549.1.1.4";
    const SHA1_ECDSA: &str = "1.2.840.10045.4.1";
    const SHA256: [&str; 2] = ["1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"];
    const SHA384: [&str; 2] = ["1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"];
    const SHA512: [&str; 2] = ["1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"];
    let certificate = Certificate::from_der(der).ok()?;
    let oid = certificate.signature_algorithm().oid.to_string();
    match oid.as_str() {
        SHA1_RSA | MD5_RSA | SHA1_ECDSA => Some(Sha256::digest(der).to_vec()),
        oid if SHA256.contains(&oid) => Some(Sha256::digest(der).to_vec()),
        oid if SHA384.contains(&oid) => Some(Sha384::digest(der).to_vec()),
        oid if SHA512.contains(&oid) => Some(Sha512::digest(der).to_vec()),
        _ => None,
    }
}

/// True if the certificate has no alternative names and its common name is `host`. libpq accepts that,
/// the TLS library does not, and self-made certificates often look so.
pub fn common_name_matches(der: &[u8], host: &str) -> bool {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let tbs = certificate.tbs_certificate();
    let named = match tbs.get_extension::<SubjectAltName>() {
        Ok(None) => false,
        Ok(Some((_, names))) => {
            names.0.iter().any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_)))
        }
        Err(_) => true,
    };
    if named {
        return false;
    }
    let mut names = tbs.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
    names.next().is_some_and(|name| name_matches(&String::from_utf8_lossy(name.value.value()), host))
}

/// A `*` stands for one whole left-most label, and never for a part of an address.
fn name_matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = pattern.strip_prefix("*.") else { return false };
    let Some((label, rest)) = host.split_once('.') else { return false };
    !label.is_empty()
        && suffix.contains('.')
        && rest.eq_ignore_ascii_case(suffix)
        && host.parse::<std::net::IpAddr>().is_err()
}

/// Is `now_s` (seconds since 1970) inside of the certificate's validity?
pub fn valid_at(der: &[u8], now_s: u64) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    (seconds(&validity.not_before)..=seconds(&validity.not_after)).contains(&now_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_one_label() {
        assert!(name_matches("*.b.c", "a.b.c") && name_matches("A.b", "a.B"));
        assert!(
            !name_matches("*.b.c", "b.c") && !name_matches("*.b.c", "x.a.b.c") && !name_matches("*.c", "b.c")
        );
        assert!(!name_matches("*.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn rubbish_is_no_certificate() {
        assert!(end_point(b"x").is_none() && !common_name_matches(b"", "h") && !valid_at(b"\x30\x80", 0));
    }
}
