//! PEM files made into the server side of TLS.

use std::io;
use std::path::Path;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The server side of TLS with this certificate chain and key.
///
/// # Errors
/// A file that cannot be read or does not hold what it should.
pub fn server(certificates: &Path, key: &Path) -> io::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|why| wrong(certificates, &why))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|why| wrong(key, &why))?;
    ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|why| wrong(certificates, &why))
}

fn wrong(file: &Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", file.display()))
}
