//! TLS to Postgres: what a URL asks for in libpq's words, and how a certificate is looked at.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    config::SslMode,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect},
};
use tokio_rustls::TlsConnector;

use crate::{OpenError, url::Sections};

/// What makes connections that may be encrypted. Files are read anew for each connection: certificates are replaced
/// while a server runs.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    checks: Checks,
    roots: Option<String>,
    /// Files of the certificate that this program shows, and of its key.
    own: Option<(String, String)>,
}

/// What is asked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    Nothing,
    Authority,
    AuthorityAndName,
}

impl Tls {
    /// Reads what a URL says of TLS, in [libpq's words](https://www.postgresql.org/docs/current/libpq-ssl.html); tries the
    /// files that it names.
    pub(crate) fn of(sections: &Sections) -> Result<(SslMode, Self), OpenError> {
        let roots = sections.get("sslrootcert").map(str::to_owned);
        let (mode, checks) = match sections.get("sslmode").unwrap_or("prefer") {
            "disable" => (SslMode::Disable, Checks::Nothing),
            "prefer" => (SslMode::Prefer, Checks::Nothing),
            // As libpq has it: who names authorities wants them asked.
            "require" if roots.is_some() => (SslMode::Require, Checks::Authority),
            "require" => (SslMode::Require, Checks::Nothing),
            "verify-ca" => (SslMode::Require, Checks::Authority),
            "verify-full" => (SslMode::Require, Checks::AuthorityAndName),
            other => {
                let message =
                    format!("sslmode={other} is none of disable, prefer, require, verify-ca and verify-full");
                return Err(OpenError::Settings(message));
            }
        };
        let own = match (sections.get("sslcert"), sections.get("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.to_owned(), key.to_owned())),
            (None, None) => None,
            _ => return Err(OpenError::Settings("sslcert and sslkey belong together".to_owned())),
        };
        let tls = Self { checks, roots, own };
        if mode != SslMode::Disable {
            tls.config()?;
        }
        Ok((mode, tls))
    }

    fn config(&self) -> Result<ClientConfig, OpenError> {
        let provider = Arc::new(ring::default_provider());
        let settings = |error: rustls::Error| OpenError::Settings(format!("TLS: {error}"));
        let trust = match (self.checks, self.roots.as_deref()) {
            (Checks::Nothing, _) => Trust::Anyone,
            (_, None | Some("system")) => {
                Trust::System(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(settings)?)
            }
            (_, Some(file)) => Trust::roots(certificates(file)?).map_err(settings)?,
        };
        let verifier = Verifier {
            trust,
            checks_name: self.checks == Checks::AuthorityAndName,
            provider: provider.clone(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(settings)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.own {
            Some((certificate, key)) => {
                let unreadable = |error| OpenError::Settings(format!("sslkey {key}: {error}"));
                let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
                builder.with_client_auth_cert(certificates(certificate)?, private).map_err(settings)?
            }
            None => builder.with_no_client_auth(),
        };
        // Asked for since Postgres 17 where TLS begins at once; earlier ones pay it no heed.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let unreadable = |error| OpenError::Settings(format!("{file}: {error}"));
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(|certificates| certificates.collect())
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(OpenError::Settings(format!("{file}: no certificate in it")));
    }
    Ok(found)
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

/// Who may vouch for a server.
#[derive(Debug)]
enum Trust {
    Anyone,
    /// The authorities of this machine, which vouch for names.
    System(rustls_platform_verifier::Verifier),
    Roots {
        store: RootCertStore,
        given: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    fn roots(given: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for certificate in &given {
            store.add(certificate.clone())?;
        }
        Ok(Self::Roots { store, given })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Anyone => {}
            Trust::System(system) => {
                system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
            }
            Trust::Roots { store, given } => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                // A server's own certificate given as the authority says all; as an authority's it would be refused.
                if !given.contains(end_entity) {
                    let algorithms = self.provider.signature_verification_algorithms.all;
                    verify_server_cert_signed_by_trust_anchor(
                        &certificate,
                        store,
                        intermediates,
                        now,
                        algorithms,
                    )?;
                }
                if self.checks_name {
                    verify_server_name(&certificate, server_name)?;
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Connect;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connect, Self::Error> {
        // A Unix socket has no name, and TLS is not spoken there.
        let name = match domain {
            "" => None,
            name => Some(ServerName::try_from(name)?.to_owned()),
        };
        Ok(Connect { tls: self.clone(), name })
    }
}

/// One connection to be made.
pub(crate) struct Connect {
    tls: Tls,
    name: Option<ServerName<'static>>,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = self.name.ok_or("a server without a name")?;
            let connector = TlsConnector::from(Arc::new(self.tls.config()?));
            Ok(Encrypted(Box::new(connector.connect(name, stream).await?)))
        })
    }
}

/// A connection inside TLS.
pub(crate) struct Encrypted<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let hash = certificates.and_then(<[_]>::first).and_then(|certificate| end_point(certificate));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Returns the `tls-server-end-point` of a certificate (RFC 5929 section 4.1): its hash by the function of its
/// signature, by SHA-256 where that is MD5 or SHA-1. `None` for signatures that have no such function.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OBJECT IDENTIFIER, ... }, ... }
    let (whole, _) = der_value(certificate)?;
    let (_, rest) = der_value(whole)?;
    let (algorithm, _) = der_value(rest)?;
    let (identifier, _) = der_value(algorithm)?;
    let hash = match (identifier.strip_prefix(RSA), identifier.strip_prefix(ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Sha256::digest(certificate).to_vec(),
        (Some([12]), _) | (_, Some([3, 3])) => Sha384::digest(certificate).to_vec(),
        (Some([13]), _) | (_, Some([3, 4])) => Sha512::digest(certificate).to_vec(),
        _ => return None,
    };
    Some(hash)
}

/// Takes one value in DER; returns its content and what comes behind it.
fn der_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::split;

    #[test]
    fn files_that_are_not_there_are_named() {
        for (url, named) in [
            ("postgres://h/d?sslmode=verify-ca&sslrootcert=/no/such.crt", "/no/such.crt"),
            ("host=h sslmode=require sslcert=/no/such.crt sslkey=/no/such.key", "/no/such"),
            ("postgres://h/d?sslcert=/no/such.crt", "belong together"),
            ("postgres://h/d?sslmode=allow", "sslmode=allow"),
        ] {
            let error = Tls::of(&split(url).1).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_binding_follows_the_signature() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = pair.cert.der();
        assert_eq!(end_point(certificate), Some(Sha256::digest(certificate).to_vec()));
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(end_point(certificate.der()), Some(Sha384::digest(certificate.der()).to_vec()));
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(end_point(certificate.der()), None);
        for length in 0..40 {
            assert_eq!(end_point(&certificate.der()[..length]), None);
        }
    }
}
