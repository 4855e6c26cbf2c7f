//! A certificate authority of a test's own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    roots: RootCertStore,
}

/// Files with a chain and its key.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key), roots }
    }

    /// Writes a certificate for these names, and its key, into a folder, over what was there.
    pub fn issue(&self, names: &[&str], folder: &Path) -> Files {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = Files { certificate: folder.join("server.crt"), key: folder.join("server.key") };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// Writes its own certificate, for those who are to trust it.
    pub fn publish(&self, folder: &Path) -> PathBuf {
        let file = folder.join("root.pem");
        std::fs::write(&file, &self.pem).unwrap();
        file
    }

    pub fn roots(&self) -> RootCertStore {
        self.roots.clone()
    }
}
