//! The way to PostgreSQL: in the clear, or by TLS to a server that proves its name.
//!
//! libpq has modes in between. `prefer` and `allow` give way to anybody who cuts TLS out, so they are refused;
//! `require` and `verify-ca` accept other servers' certificates there and mean `verify-full` here.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::{Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::{Fault, Postgres};

/// Where the database is, and how to get there.
#[derive(Clone)]
pub(crate) struct Wire {
    to: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Wire {
    /// `root` are the authorities that may vouch for the database (PEM); without them the system's may.
    pub(crate) fn new(url: &str, root: Option<&Path>, patience: Duration) -> Result<Self, Fault> {
        let (url, mode) = without_mode(url);
        let secure = is_secure(mode.as_deref(), root)?;
        // What the parser says could repeat the password.
        let mut to: Config = url.parse().map_err(|_| wrong("the address of PostgreSQL does not read"))?;
        to.ssl_mode(if secure { SslMode::Require } else { SslMode::Disable });
        to.connect_timeout(patience);
        // A database that vanishes without a word is given up in seconds and not in hours.
        // The system counts whole seconds here.
        let quiet = patience.max(Duration::from_secs(1));
        to.keepalives_idle(quiet).keepalives_interval(quiet).keepalives_retries(2);
        to.tcp_user_timeout(patience * 2);
        let tls = secure.then(|| Ok::<_, Fault>(MakeRustlsConnect::new(trusting(root)?))).transpose()?;
        Ok(Self { to, tls })
    }

    pub(crate) async fn connect(&self) -> ConnectionResult<Postgres> {
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.to.connect(tls).await.map_err(bad)?;
                Postgres::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.to.connect(NoTls).await.map_err(bad)?;
                Postgres::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

/// The address without `sslmode`, of which the driver knows only half, and what that said.
fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (modes, others): (Vec<_>, Vec<_>) =
        query.split('&').partition(|option| option.starts_with("sslmode="));
    let mode = modes.last().and_then(|option| option.strip_prefix("sslmode=")).map(str::to_owned);
    let rest = if others.is_empty() { front.to_owned() } else { format!("{front}?{}", others.join("&")) };
    (rest, mode)
}

fn is_secure(mode: Option<&str>, root: Option<&Path>) -> Result<bool, Fault> {
    match mode {
        None => Ok(root.is_some()),
        Some("require" | "verify-ca" | "verify-full") => Ok(true),
        Some("disable") if root.is_none() => Ok(false),
        Some("disable") => Err(wrong("sslmode=disable and a root certificate contradict each other")),
        Some(_) => {
            Err(wrong("sslmode must be verify-full or disable; what lies between protects from nobody"))
        }
    }
}

fn trusting(root: Option<&Path>) -> Result<ClientConfig, Fault> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(file) => {
            let unreadable = |why: &dyn std::fmt::Display| wrong(format!("{}: {why}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))? {
                let certificate = certificate.map_err(|e| unreadable(&e))?;
                roots.add(certificate).map_err(|e| unreadable(&e))?;
            }
        }
        // One that does not read is not missed until a server shows it.
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    if roots.is_empty() {
        return Err(wrong("there is no root certificate to check PostgreSQL's with"));
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(wrong)?.with_root_certificates(roots).with_no_client_auth())
}

fn wrong(why: impl std::fmt::Display) -> Fault {
    Fault::Connection(why.to_string())
}

/// With its cause, which the driver does not print: whose certificate, or which rule of the database's.
fn bad(why: Error) -> ConnectionError {
    let cause = why.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    ConnectionError::BadConnection(format!("{why}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(url: &str) -> Result<SslMode, String> {
        let wire = Wire::new(url, None, Duration::from_secs(1)).map_err(|e| e.to_string())?;
        Ok(wire.to.get_ssl_mode())
    }

    #[test]
    fn an_address_says_whether_the_way_is_protected() {
        assert_eq!(mode_of("postgres://me@db/books"), Ok(SslMode::Disable));
        assert_eq!(mode_of("postgres://me@db/books?sslmode=disable"), Ok(SslMode::Disable));
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("postgres://me@db/books?application_name=a&sslmode={mode}");
            assert_eq!(mode_of(&url), Ok(SslMode::Require), "{mode}");
        }
    }

    #[test]
    fn modes_that_give_way_are_refused() {
        for mode in ["prefer", "allow", "", "VERIFY-FULL"] {
            let why = mode_of(&format!("postgres://me@db/books?sslmode={mode}")).unwrap_err();
            assert!(why.contains("sslmode must be verify-full"), "{why}");
        }
    }

    #[test]
    fn the_rest_of_the_address_stays() {
        let (url, mode) = without_mode("postgres://me:hush@db/books?sslmode=require&options=-c%20x%3D1");
        assert_eq!(url, "postgres://me:hush@db/books?options=-c%20x%3D1");
        assert_eq!(mode.as_deref(), Some("require"));
        assert_eq!(without_mode("postgres://db/books?sslmode=disable").0, "postgres://db/books");
    }

    #[test]
    fn a_password_in_an_address_that_does_not_read_is_not_repeated() {
        let why = mode_of("postgres://me:hush@db:port/books").unwrap_err();
        assert!(why.contains("does not read") && !why.contains("hush"), "{why}");
    }

    #[test]
    fn a_root_certificate_means_tls_and_must_be_there() {
        let missing = Path::new("/nowhere/root.pem");
        let open = |url| Wire::new(url, Some(missing), Duration::from_secs(1)).err().map(|e| e.to_string());
        assert!(open("postgres://db/books").unwrap().contains("/nowhere/root.pem"));
        assert!(open("postgres://db/books?sslmode=disable").unwrap().contains("contradict"));
    }
}
