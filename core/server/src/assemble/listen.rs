//! Where to listen, and with which certificate.

use btvep_gateway::{Certificate, CertificateError, FreshCertificate, ListenConfig};

use crate::config::{LoadError, Loaded};

/// Returns where to listen, with paths as seen from the working directory.
pub(crate) fn listen(loaded: &Loaded) -> ListenConfig {
    let resolver = loaded.resolver();
    let mut listen = loaded.config.listen.clone();
    if let Some(tls) = &mut listen.tls {
        tls.cert = resolver.path(&tls.cert);
        tls.key = resolver.path(&tls.key);
    }
    listen
}

/// Reads the certificate and its key; none without TLS.
///
/// # Errors
///
/// They cannot be read or used.
pub(crate) fn certificate(loaded: &Loaded) -> Result<Option<FreshCertificate>, LoadError> {
    let Some(tls) = listen(loaded).tls else { return Ok(None) };
    Certificate::read(&tls).map(Some).map_err(|error| {
        let key = match &error {
            CertificateError::Unreadable { path, .. } if *path != tls.key => "cert",
            CertificateError::Empty(_) => "cert",
            _ => "key",
        };
        loaded.source.error(&format!("listen.tls.{key}"), error.to_string())
    })
}
