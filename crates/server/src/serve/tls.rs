//! TLS 1.2 and 1.3 with ring, from PEM files that may be renewed while the server runs. A connection keeps
//! the certificate that it began with; the next one gets the new one.
//!
//! What is offered is the provider's own list, every suite of which has forward secrecy and authenticated
//! encryption; a test says so, because a provider may change its mind.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use portcullis_authority::refusal::Trouble;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use x509_cert::der::Decode as _;

use crate::settings::Tls;

/// How often the files are looked at. Whoever renews them may say so at once with SIGHUP.
const GLANCE: Duration = Duration::from_secs(30);

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// What the files looked like when they were last read, whether or not they were any good.
    seen: Mutex<Stamp>,
}

/// Changes whenever one of the two files does. `None` where a file cannot be looked at.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    /// # Errors
    /// Trouble naming the file, or saying that certificate and key do not belong together.
    pub fn open(files: &Tls) -> Result<Arc<Self>, Trouble> {
        let provider = Arc::new(ring::default_provider());
        // The stamp is taken first, so that a change in between is found at the next glance.
        let seen = Mutex::new(stamp(files));
        let current = ArcSwap::from_pointee(read(files, &provider)?);
        Ok(Arc::new(Self { files: files.clone(), provider, current, seen }))
    }

    /// # Errors
    /// Trouble when the provider offers none of the versions.
    pub fn config(self: &Arc<Self>) -> Result<ServerConfig, Trouble> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| Trouble::new("tls", e))?;
        Ok(builder.with_no_client_auth().with_cert_resolver(self.clone()))
    }

    /// The last moment of the certificate that is shown, since 1970; `None` if it does not say so in a way
    /// that we read.
    pub fn valid_until(&self) -> Option<Duration> {
        let current = self.current.load();
        let certificate = x509_cert::Certificate::from_der(current.end_entity_cert().ok()?).ok()?;
        Some(certificate.tbs_certificate.validity.not_after.to_unix_duration())
    }

    /// Reads the files if they have changed since they were last read.
    fn glance(&self) {
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamp(&self.files) {
            self.renew();
        }
    }

    /// Takes over what is in the files; if that is no good, the certificate of before stays.
    fn renew(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp(&self.files);
        match read(&self.files, &self.provider) {
            Ok(renewed) => {
                self.current.store(Arc::new(renewed));
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "the new certificate is no good; the one of before stays in use");
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Keeps what is shown as new as its files. SIGHUP is heard from now on, and before anybody is told that the
/// server is ready: its default would end the process, also where there is no certificate to read again.
///
/// # Errors
/// Trouble when the signal cannot be heard.
pub fn keep_fresh(certificates: Vec<Arc<Certificates>>) -> Result<JoinHandle<()>, Trouble> {
    let mut told = signal(SignalKind::hangup()).map_err(|e| Trouble::new("SIGHUP", e))?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = told.recv() => certificates.iter().for_each(|it| it.renew()),
                () = tokio::time::sleep(GLANCE) => certificates.iter().for_each(|it| it.glance()),
            }
        }
    }))
}

fn read(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, Trouble> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| trouble(&files.certificate, e))?;
    if chain.is_empty() {
        return Err(trouble(&files.certificate, "there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| trouble(&files.key, e))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| match e {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let key = files.key.display();
            trouble(&files.certificate, format!("the key in {key} is not this certificate's"))
        }
        other => trouble(&files.certificate, other),
    })
}

fn stamp(files: &Tls) -> Stamp {
    let look = |file: &Path| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    [look(&files.certificate), look(&files.key)]
}

fn trouble(file: &Path, why: impl std::fmt::Display) -> Trouble {
    Trouble::new("tls", format!("{}: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use rustls::{CipherSuite, SupportedCipherSuite};

    /// Writes a certificate for this name, and its key.
    fn write(files: &Tls, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn files(scratch: &Scratch) -> Tls {
        Tls::of(scratch.path().join("chain.pem"), scratch.path().join("key.pem"))
    }

    fn leaf(certificates: &Certificates) -> Vec<u8> {
        certificates.current.load().cert[0].to_vec()
    }

    #[test]
    fn every_suite_has_forward_secrecy_and_authenticated_encryption() {
        let scratch = Scratch::new();
        let files = files(&scratch);
        write(&files, "auth.example.com");
        let config = Certificates::open(&files).unwrap().config().unwrap();
        let offered = &config.crypto_provider().cipher_suites;
        assert!(!offered.is_empty());
        for suite in offered {
            match suite {
                SupportedCipherSuite::Tls13(_) => {}
                SupportedCipherSuite::Tls12(_) => assert!(is_sound(suite.suite()), "{suite:?}"),
            }
        }
    }

    /// What RFC 9325 section 4.2 recommends for TLS 1.2, and ChaCha20.
    fn is_sound(suite: CipherSuite) -> bool {
        matches!(
            suite,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    }

    #[test]
    fn it_says_until_when_the_certificate_is_valid() {
        let scratch = Scratch::new();
        let files = files(&scratch);
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, seconds) in [(2031, 1_924_992_000), (2051, 2_556_144_000)] {
            // X.509 writes years from 2050 on in another way (RFC 5280 section 4.1.2.5).
            let mut wish = rcgen::CertificateParams::new(["auth.example.com".to_owned()]).unwrap();
            wish.not_after = rcgen::date_time_ymd(year, 1, 1);
            std::fs::write(&files.certificate, wish.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(&files.key, key.serialize_pem()).unwrap();
            let certificates = Certificates::open(&files).unwrap();
            assert_eq!(certificates.valid_until(), Some(Duration::from_secs(seconds)), "{year}");
        }
    }

    #[test]
    fn a_changed_file_is_noticed_and_an_unchanged_one_is_not_read() {
        let scratch = Scratch::new();
        let files = files(&scratch);
        write(&files, "auth.example.com");
        let certificates = Certificates::open(&files).unwrap();
        let held = certificates.current.load_full();
        certificates.glance();
        assert!(Arc::ptr_eq(&held, &certificates.current.load_full()), "nothing has changed");
        // Another name makes another length, so that the clock of the file system plays no part.
        write(&files, "renewed.auth.example.com");
        certificates.glance();
        assert_ne!(held.cert[0].to_vec(), leaf(&certificates));
    }

    #[test]
    fn a_bad_new_file_leaves_the_good_one_in_use() {
        let scratch = Scratch::new();
        let files = files(&scratch);
        write(&files, "auth.example.com");
        let certificates = Certificates::open(&files).unwrap();
        let good = leaf(&certificates);
        for bad in ["", "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&files.certificate, bad).unwrap();
            certificates.renew();
            assert_eq!(leaf(&certificates), good, "{bad:?}");
        }
        std::fs::remove_file(&files.key).unwrap();
        certificates.glance();
        assert_eq!(leaf(&certificates), good);
        write(&files, "renewed.auth.example.com");
        certificates.glance();
        assert_ne!(leaf(&certificates), good);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_in_a_sentence() {
        let scratch = Scratch::new();
        let (ours, theirs) = (files(&scratch), Tls::of(scratch.path().join("a"), scratch.path().join("b")));
        write(&ours, "auth.example.com");
        write(&theirs, "auth.example.com");
        let mixed = Tls::of(ours.certificate, theirs.key);
        let why = Certificates::open(&mixed).unwrap_err().why;
        assert!(why.contains("is not this certificate's"), "{why}");
    }
}
