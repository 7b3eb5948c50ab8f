use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora_core::listeners::tls::TlsSettings;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::{GatewayError, TlsConfig};

/// The certificate that is shown to clients; it can be replaced while the server runs.
pub struct Certificate(ArcSwap<CertifiedKey>);

/// A certificate that was read, belongs to its key, and is not shown yet.
#[derive(Debug)]
pub struct FreshCertificate(Arc<CertifiedKey>);

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read, or holds something else.
    #[error("cannot read `{}`: {error}; expected a file in PEM form", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// The file holds no certificate.
    #[error("`{}` holds no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    /// Certificate and key do not belong together.
    #[error("this is not the key of the certificate in `{}`; name the one it was made with", .0.display())]
    Mismatch(PathBuf),
    /// Certificate or key are of a kind that is not supported.
    #[error("the certificate in `{}` cannot be used with its key: {error}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// They cannot be read or used.
    pub fn load(config: &TlsConfig) -> Result<Arc<Self>, CertificateError> {
        let FreshCertificate(first) = Self::read(config)?;
        Ok(Arc::new(Self(ArcSwap::new(first))))
    }

    /// Reads files without showing them to anybody yet.
    ///
    /// # Errors
    ///
    /// They cannot be read or used.
    pub fn read(config: &TlsConfig) -> Result<FreshCertificate, CertificateError> {
        Ok(FreshCertificate(Arc::new(read(&config.cert, &config.key)?)))
    }

    /// Shows another one from the next handshake on; connections that are open keep what they were shown.
    pub fn replace(&self, FreshCertificate(fresh): FreshCertificate) {
        self.0.store(fresh);
    }

    /// Returns settings for a listener that shows this certificate and offers HTTP/2.
    pub(crate) fn settings(self: &Arc<Self>) -> Result<TlsSettings, GatewayError> {
        // The paths are not read where a resolver is set.
        let mut settings = TlsSettings::intermediate("", "").map_err(GatewayError::Pingora)?;
        settings.set_cert_resolver(self.clone());
        settings.enable_h2();
        Ok(settings)
    }
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| CertificateError::Unreadable { path, error }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(unreadable(cert))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty(cert.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch(cert.to_owned()),
        error => CertificateError::Unusable { path: cert.to_owned(), error },
    })
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, TlsConfig) {
        let folder = tempfile::tempdir().unwrap();
        let config = TlsConfig { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        (folder, config)
    }

    fn write(config: &TlsConfig) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&config.cert, made.cert.pem()).unwrap();
        std::fs::write(&config.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
        let (_folder, config) = files();
        assert!(matches!(Certificate::load(&config), Err(CertificateError::Unreadable { .. })));
        write(&config);
        let certificate = Certificate::load(&config).unwrap();
        let first = certificate.0.load().cert.clone();
        write(&config);
        certificate.replace(Certificate::read(&config).unwrap());
        assert_ne!(certificate.0.load().cert, first);
        std::fs::write(&config.cert, "nonsense").unwrap();
        assert!(matches!(Certificate::read(&config), Err(CertificateError::Empty(_))));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (_folder, config) = files();
        write(&config);
        let (_other, theirs) = files();
        write(&theirs);
        let mixed = TlsConfig { cert: config.cert, key: theirs.key };
        assert!(matches!(Certificate::load(&mixed), Err(CertificateError::Mismatch(_))));
    }
}
