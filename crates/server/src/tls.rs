//! TLS for the listeners, by a certificate and a key that may be replaced while the server runs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a listener speaks inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    Http,
    Grpc,
}

/// A certificate with its key. Connections that are open when it is replaced keep what they began with.
#[derive(Debug)]
pub struct Tls {
    configs: RwLock<Configs>,
}

#[derive(Debug)]
struct Configs {
    http: Arc<ServerConfig>,
    grpc: Arc<ServerConfig>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text of the certificate is not PEM.
    #[error("certificate: not PEM: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// The text of the certificate holds none.
    #[error("certificate: no certificate in it")]
    NoCertificate,
    /// The text of the key is not PEM, or holds no key.
    #[error("key: no private key in PEM: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// The two cannot be used, mostly because they do not belong together.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// Reads a certificate with its chain, the server's own first, and its private key, both as PEM.
    ///
    /// # Errors
    /// [`TlsError`] when either cannot be used.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { configs: RwLock::new(read(certificate, key)?) })
    }

    /// Puts another certificate in the place of the one before, for connections to come.
    ///
    /// # Errors
    /// [`TlsError`] when either cannot be used; the one before stays.
    pub fn replace_pem(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let configs = read(certificate, key)?;
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = configs;
        Ok(())
    }

    pub(crate) fn config(&self, inner: Inner) -> Arc<ServerConfig> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(match inner {
            Inner::Http => &configs.http,
            Inner::Grpc => &configs.grpc,
        })
    }
}

fn read(certificate: &[u8], key: &[u8]) -> Result<Configs, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    let config = |protocol: &[u8]| {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok::<_, rustls::Error>(Arc::new(config))
    };
    Ok(Configs { http: config(b"http/1.1")?, grpc: config(b"h2")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_certificate_with_its_own_key_is_taken() {
        let pair = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (pair(), pair());
        let tls = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert!(matches!(
            tls.replace_pem(certificate.as_bytes(), other.as_bytes()),
            Err(TlsError::Unusable(_))
        ));
        assert!(matches!(tls.replace_pem(b"", key.as_bytes()), Err(TlsError::NoCertificate)));
        assert!(matches!(tls.replace_pem(certificate.as_bytes(), b""), Err(TlsError::Key(_))));
        assert!(Tls::from_pem(key.as_bytes(), certificate.as_bytes()).is_err());
        assert!(!format!("{:?}", Tls::from_pem(b"x", key.as_bytes())).contains("PRIVATE"));
    }
}
