//! TLS 1.2 and 1.3 with ring, from PEM files.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

use portcullis_authority::refusal::Trouble;

use crate::settings::Tls;

/// # Errors
/// Trouble naming the file.
pub fn config(files: &Tls) -> Result<ServerConfig, Trouble> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| trouble(&files.certificate, e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| trouble(&files.key, e))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| trouble(&files.certificate, e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| trouble(&files.certificate, e))
}

fn trouble(file: &Path, why: impl std::fmt::Display) -> Trouble {
    Trouble::new("tls", format!("{}: {why}", file.display()))
}
