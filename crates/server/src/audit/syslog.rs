//! Telling a syslog server: RFC 5424 messages over UDP (RFC 5426), TCP with octet counting (RFC 6587 section
//! 3.4.1) or TLS (RFC 5425). The text of a message is the row as JSON.
//!
//! A datagram holds so much and no more. A row that is larger is told by its number, hash, event and time, and
//! `cut` says how large it was: what it says is in the log.
//!
//! Syslog has no answers. Over TCP and TLS a batch has a connection of its own, and is taken when the server
//! has closed its side after ours, which it does when it has read all.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portcullis_store::AuditEntry;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use url::Url;

use super::export::{line, moment};
use super::sender::{Batch, NotTaken, Way};
use crate::settings::{Destination, Road};

/// Facility 13, "log audit", times eight, plus severity 5, "notice", or 4, "warning" (RFC 5424 section 6.2.1).
const NOTICE: u8 = 13 * 8 + 5;
const WARNING: u8 = 13 * 8 + 4;
/// What a UDP datagram can carry over IPv4 (RFC 768: 65,535 bytes with both headers); over IPv6 it is more.
const DATAGRAM: usize = 65_507;
/// Ours are far shorter.
const LONGEST_EVENT: usize = 64;
/// What a server that never closes its side is waited for.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Syslog {
    host: String,
    port: u16,
    patience: Duration,
    carrier: Carrier,
}

enum Carrier {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

impl Syslog {
    pub fn new(road: Road, url: &Url, to: &Destination) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let carrier = match road {
            Road::SyslogTls => Carrier::Tls(trust(to)?, ServerName::try_from(host.clone()).map_err(text)?),
            Road::SyslogTcp => Carrier::Tcp,
            _ => Carrier::Udp,
        };
        let port = url.port().ok_or("its address has no port")?;
        Ok(Self { host, port, patience: to.patience(), carrier })
    }

    fn datagrams(&self, messages: &[String]) -> std::io::Result<()> {
        let to = self.address()?;
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        for message in messages {
            socket.send_to(message.as_bytes(), to)?;
        }
        Ok(())
    }

    fn stream(&self, messages: &[String]) -> std::io::Result<()> {
        let frames: String = messages.iter().map(|text| format!("{} {text}", text.len())).collect();
        let mut socket = TcpStream::connect_timeout(&self.address()?, self.patience)?;
        socket.set_write_timeout(Some(self.patience))?;
        socket.set_read_timeout(Some(self.patience))?;
        match &self.carrier {
            Carrier::Tls(config, name) => {
                let session = ClientConnection::new(config.clone(), name.clone())
                    .map_err(|e| std::io::Error::other(e.to_string()))?;
                let mut stream = StreamOwned::new(session, socket);
                stream.write_all(frames.as_bytes())?;
                stream.conn.send_close_notify();
                stream.flush()?;
                until_closed(&mut stream.sock)
            }
            _ => {
                socket.write_all(frames.as_bytes())?;
                until_closed(&mut socket)
            }
        }
    }

    fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        let mut found = (self.host.as_str(), self.port).to_socket_addrs()?;
        found.next().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
    }
}

impl Way for Syslog {
    fn tell(&self, batch: &Batch, now: u64) -> Result<(), NotTaken> {
        let most = if let Carrier::Udp = self.carrier { DATAGRAM } else { usize::MAX };
        let rows = batch.entries.iter().map(|entry| row(entry, most));
        let statements = batch.statements.iter().map(|it| message(NOTICE, now, "audit.checkpoint", it));
        let messages: Vec<String> = rows.chain(statements).collect();
        let told = match self.carrier {
            Carrier::Udp => self.datagrams(&messages),
            _ => self.stream(&messages),
        };
        told.map_err(|e| NotTaken::Away(e.to_string()))
    }
}

/// Says that nothing more comes, and waits until the other side has seen it.
fn until_closed(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(FAREWELL))?;
    let mut said = [0; 512];
    loop {
        match socket.read(&mut said) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // It keeps its side open: the kernel over there has everything, more there is not to know.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

fn row(entry: &AuditEntry, most: usize) -> String {
    let record = &entry.record;
    let severity = if record.event.ends_with("refused") { WARNING } else { NOTICE };
    let whole = message(severity, record.at, &record.event, &line(entry).to_string());
    if whole.len() <= most {
        return whole;
    }
    let event: String = record.event.chars().take(LONGEST_EVENT).collect();
    let cut = json!({
        "seq": entry.seq, "hash": entry.hash, "event": event, "at": record.at, "cut": whole.len(),
    });
    message(severity, record.at, &event, &cut.to_string())
}

/// RFC 5424 section 6: header, no structured data, text.
fn message(priority: u8, at: u64, name: &str, text: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(32).collect();
    let name = if name.is_empty() { "-" } else { &name };
    let mut message = String::new();
    // Writing into a text cannot fail.
    let _ = write!(message, "<{priority}>1 {} - portcullis - {name} - {text}", moment(at));
    message
}

fn trust(to: &Destination) -> Result<Arc<ClientConfig>, String> {
    let file = to.ca.as_ref().ok_or("it needs the certificates that the server is known by")?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(text)?;
    for certificate in certificates {
        roots.add(certificate.map_err(text)?).map_err(text)?;
    }
    if roots.is_empty() {
        return Err(format!("{} holds no certificate in PEM form", file.display()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(text)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use portcullis_authority::ledger::AuditRecord;

    use super::*;

    fn batch() -> Batch {
        let record = |event: &str| AuditRecord { at: 7, event: event.into(), ..AuditRecord::default() };
        let entry = |seq, event: &str| AuditEntry { seq, record: record(event), hash: "h".into() };
        Batch {
            id: "x".into(),
            entries: vec![entry(1, "token.issued"), entry(2, "token.refused")],
            statements: vec!["a.b.c".into()],
            ..Batch::default()
        }
    }

    fn way(road: Road, address: std::net::SocketAddr) -> Syslog {
        let scheme = if road == Road::SyslogUdp { "syslog+udp" } else { "syslog+tcp" };
        let to = Destination::at(format!("{scheme}://{address}"));
        let (road, url) = to.road().expect("an address");
        Syslog::new(road, &url, &to).expect("a way")
    }

    #[test]
    fn a_row_is_an_rfc_5424_message_of_the_audit_facility() {
        let said = row(&batch().entries[1], usize::MAX);
        let (head, text) = said.split_once('{').expect("a text of JSON");
        assert_eq!(head, "<108>1 1970-01-01T00:00:07Z - portcullis - token.refused - ");
        let read: serde_json::Value = serde_json::from_str(&format!("{{{text}")).expect("it is JSON");
        assert_eq!((&read["seq"], &read["event"]), (&2.into(), &"token.refused".into()));
    }

    #[test]
    fn over_tcp_every_message_says_how_long_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = std::thread::spawn(move || {
            let mut heard = String::new();
            listener.accept().expect("somebody").0.read_to_string(&mut heard).expect("text");
            heard
        });
        way(Road::SyslogTcp, address).tell(&batch(), 9).expect("it is taken");
        let mut heard = server.join().expect("it ends");
        let mut messages = Vec::new();
        while let Some((length, rest)) = heard.split_once(' ') {
            let length: usize = length.parse().expect("a number");
            messages.push(rest[..length].to_owned());
            heard = rest[length..].to_owned();
        }
        assert_eq!(messages.len(), 3);
        assert!(messages[0].starts_with("<109>1 ") && messages[2].ends_with("audit.checkpoint - a.b.c"));
    }

    #[test]
    fn over_udp_every_message_is_a_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("it can wait");
        way(Road::SyslogUdp, socket.local_addr().expect("its address")).tell(&batch(), 9).expect("sent");
        let mut said = [0; 1024];
        let length = socket.recv(&mut said).expect("a datagram");
        assert!(said[..length].starts_with(b"<109>1 "));
    }

    #[test]
    fn a_row_that_no_datagram_carries_is_told_by_its_number_and_nothing_stops() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("it can wait");
        let mut large = batch();
        large.entries[0].record.detail = Some("x".repeat(70_000));
        way(Road::SyslogUdp, socket.local_addr().expect("its address")).tell(&large, 9).expect("sent");
        let mut said = [0; 2048];
        let length = socket.recv(&mut said).expect("the first");
        let first = String::from_utf8_lossy(&said[..length]);
        let (_, text) = first.split_once(" - token.issued - ").expect("head and text");
        let read: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
        assert_eq!((&read["seq"], &read["hash"]), (&1.into(), &"h".into()));
        assert!(read["cut"].as_u64().is_some_and(|bytes| bytes > 70_000), "{read}");
        let length = socket.recv(&mut said).expect("the second");
        assert!(String::from_utf8_lossy(&said[..length]).contains("token.refused"));
    }

    /// RFC 5425: TLS, and octet counting within.
    #[test]
    fn over_tls_the_same_frames_reach_a_server_that_is_known_and_no_other() {
        let (known, unknown) = (TlsServer::open(), TlsServer::open());
        let folder = crate::testing::Scratch::new();
        let ca = folder.path().join("syslog.pem");
        std::fs::write(&ca, &known.certificate).expect("a file");
        let way = |port: u16| {
            let mut to = Destination::at(format!("syslog+tls://127.0.0.1:{port}"));
            to.ca = Some(ca.clone());
            let (road, url) = to.road().expect("an address");
            assert_eq!(road, Road::SyslogTls);
            Syslog::new(road, &url, &to).expect("a way")
        };
        way(known.port).tell(&batch(), 9).expect("it is taken");
        let heard = known.heard().expect("the handshake succeeds");
        let (length, rest) = heard.split_once(' ').expect("a frame");
        let length: usize = length.parse().expect("a number");
        assert!(rest[..length].starts_with("<109>1 "), "{heard}");
        assert!(heard.ends_with("audit.checkpoint - a.b.c"), "{heard}");
        assert!(matches!(way(unknown.port).tell(&batch(), 9), Err(NotTaken::Away(_))));
        assert!(unknown.heard().is_err(), "nothing is said to a server that is not known");
    }

    /// A syslog server that takes one connection.
    struct TlsServer {
        port: u16,
        certificate: String,
        taking: std::thread::JoinHandle<std::io::Result<String>>,
    }

    impl TlsServer {
        fn open() -> Self {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
            let key =
                rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the usual versions")
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .expect("a certificate and its key");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("its address").port();
            let taking = std::thread::spawn(move || {
                let (socket, _) = listener.accept()?;
                let session =
                    rustls::ServerConnection::new(Arc::new(config)).map_err(std::io::Error::other)?;
                let mut heard = String::new();
                StreamOwned::new(session, socket).read_to_string(&mut heard).map(|_| heard)
            });
            Self { port, certificate: made.cert.pem(), taking }
        }

        fn heard(self) -> std::io::Result<String> {
            self.taking.join().expect("it ends")
        }
    }

    #[test]
    fn a_server_that_is_away_has_not_taken_anything() {
        let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        assert!(matches!(way(Road::SyslogTcp, gone).tell(&batch(), 9), Err(NotTaken::Away(_))));
    }
}
