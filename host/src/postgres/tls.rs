//! TLS towards a server, with libpq's `sslmode` meanings.
//!
//! | sslmode | certificate |
//! |---|---|
//! | allow, prefer, require | unchecked; checked like verify-ca if `sslrootcert` is given |
//! | verify-ca | signed by an authority of `sslrootcert`, or one of its certificates itself |
//! | verify-full | that, and it names the host |
//!
//! Invariants: the handshake's own signatures are always checked; TLS 1.2 is the least that is spoken.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::certificate;
use super::error::Error;
use super::params::{Host, Roots, Tls, TlsMode};
use super::transport::Transport;

/// A session key and certificates, read and ready; one for all attempts of one connect.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Reads the files that `tls` names. Blocking, and short.
    pub fn new(tls: &Tls) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = if tls.only_1_3 { &[&rustls::version::TLS13] } else { rustls::DEFAULT_VERSIONS };
        let verifier = Verifier::new(tls, provider.clone()).map_err(Error::params)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| Error::params(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = read_certificates(chain, "sslcert").map_err(Error::params)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| Error::params(format!("sslkey {}: {error}", key.display())))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| Error::params(format!("sslcert and sslkey: {error}")))?
            }
        };
        config.enable_sni = tls.server_name;
        Ok(Self(Arc::new(config)))
    }

    /// Asks the server for TLS and starts it; the bare transport comes back if the server has none.
    pub(super) async fn start(&self, mut bare: Transport, host: &Host) -> Result<Transport, Error> {
        const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let place = host.to_string();
        let io = |source| Error::Io { place: host.to_string(), doing: "asking for TLS", source };
        bare.write_all(&REQUEST).await.map_err(io)?;
        // One byte and no more: what a man in the middle sent behind it must not count as the server's.
        match bare.read_u8().await.map_err(io)? {
            b'S' => {}
            b'N' => return Ok(bare),
            b'E' => return Err(Error::Tls { place, message: "the server refused to talk about it".into() }),
            _ => {
                return Err(Error::protocol(
                    &place,
                    "this is not a PostgreSQL server: no answer to a TLS request",
                ));
            }
        }
        let name = match host {
            Host::Tcp { name, .. } => ServerName::try_from(name.clone()),
            Host::Unix { .. } => ServerName::try_from("localhost".to_owned()),
        };
        let name = name.map_err(|_| Error::Tls {
            place: place.clone(),
            message: "the host's name is no name that a certificate could carry".into(),
        })?;
        let stream = TlsConnector::from(self.0.clone()).connect(name, bare).await;
        match stream {
            Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                Err(Error::Tls { place, message: error.to_string() })
            }
            Err(source) => Err(Error::Io { place, doing: "starting TLS", source }),
        }
    }
}

/// Checks certificates as far as `sslmode` asks.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None: anything goes.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The trusted certificates themselves, of which a server may show one as its own.
    pinned: Vec<CertificateDer<'static>>,
    check_name: bool,
}

impl Verifier {
    fn new(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let check_name = tls.mode == TlsMode::VerifyFull;
        let (mut roots, mut pinned) = (RootCertStore::empty(), Vec::new());
        match &tls.roots {
            None => return Ok(Self { provider, chain: None, pinned, check_name }),
            Some(Roots::System) => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(Roots::File(path)) => {
                pinned = read_certificates(path, "sslrootcert")?;
                roots.add_parsable_certificates(pinned.iter().cloned());
            }
        }
        if roots.is_empty() {
            return Err(
                "sslrootcert names no usable certificate; give the file of the authority to trust".into()
            );
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let chain = Some(chain.build().map_err(|error| format!("sslrootcert: {error}"))?);
        Ok(Self { provider, chain, pinned, check_name })
    }

    /// A certificate that the operator put into `sslrootcert` and that the server shows as its own.
    fn check_pinned(
        &self,
        shown: &CertificateDer<'_>,
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if !certificate::valid_at(shown, Duration::from_secs(now.as_secs()).as_secs()) {
            return Err(CertificateError::Expired.into());
        }
        if !self.check_name {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(shown);
        match parsed.and_then(|parsed| rustls::client::verify_server_name(&parsed, host)) {
            Err(_) if certificate::common_name_matches(shown, &host.to_str()) => Ok(()),
            checked => checked,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if self.pinned.iter().any(|pinned| pinned == shown) {
            return self.check_pinned(shown, host, now).map(|()| ServerCertVerified::assertion());
        }
        // The library looks at the name last, so an error about it means that the chain holds.
        match chain.verify_server_cert(shown, between, host, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_name || certificate::common_name_matches(shown, &host.to_str()) => {
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn read_certificates(path: &std::path::Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Err(error) => Err(format!("{key} {}: {error}", path.display())),
        Ok(found) if found.is_empty() => {
            Err(format!("{key} {}: no certificate in PEM in it", path.display()))
        }
        Ok(found) => Ok(found),
    }
}
