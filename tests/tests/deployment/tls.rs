//! The public address over TLS: which versions and suites it speaks, what happens when its certificate is
//! renewed, and what the plain address beside it does.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::means::Means;
use portcullis::serve::{Running, start};
use portcullis::settings::Tls;
use portcullis::testing::Scratch;
use rustix::process::{Signal, getpid, kill_process};
use rustls::{ClientConfig, ClientConnection, StreamOwned, crypto::ring};

use crate::authority::{Authority, Files};
use crate::settings::settings;

/// A server with TLS, its certificate's files, and who vouches for them.
struct House {
    running: Option<Running>,
    authority: Authority,
    scratch: Scratch,
}

impl House {
    fn open() -> Self {
        let (scratch, authority) = (Scratch::new(), Authority::new());
        let Files { certificate, key } = authority.issue(&["localhost"], scratch.path());
        let mut settings = settings(&scratch);
        settings.tls = Some(Tls { redirect_port: Some(0), ..Tls::of(certificate, key) });
        let running = Some(start(settings, Means::system()).unwrap());
        Self { running, authority, scratch }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is dropped")
    }

    fn visit(&self) -> Visit {
        Visit::to(self.running().address, &self.authority)
    }

    /// What `openssl s_client` says when it is held to these options, and whether it got a connection.
    fn openssl(&self, options: &[&str]) -> (bool, String) {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-brief", "-connect", &self.running().address.to_string()]);
        let said = client.args(options).stdin(Stdio::null()).output().expect("openssl runs");
        let text = [said.stdout, said.stderr].concat();
        (said.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let ended = self.running.take().map(Running::stop);
        assert!(ended.is_some_and(|ended| ended.is_ok()) || std::thread::panicking(), "it ends well");
    }
}

/// One connection, kept open from request to request.
struct Visit(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Visit {
    fn to(address: SocketAddr, authority: &Authority) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut visit = Self(BufReader::new(StreamOwned::new(tls, tcp)));
        visit.ask("/healthz");
        visit
    }

    /// Asks over this connection; gives the head of the answer, which must be a 200.
    fn ask(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (head, _) = answer(&mut self.0);
        assert!(head.starts_with("http/1.1 200"), "{head}");
        head
    }

    /// What the server showed when the connection began.
    fn certificate(&self) -> Vec<u8> {
        self.0.get_ref().conn.peer_certificates().expect("the handshake is over")[0].to_vec()
    }
}

/// The head in small letters, and the body.
fn answer(from: &mut impl std::io::BufRead) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(from.read_line(&mut head).unwrap() > 0, "it hung up after {head:?}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    from.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn only_the_versions_and_suites_that_are_sound_get_in() {
    let house = House::open();
    let good = [
        "-tls1_3",
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
    ];
    for options in good {
        let options: Vec<_> = options.split(' ').collect();
        let (came_in, said) = house.openssl(&options);
        assert!(came_in && said.contains("Protocol version: TLSv1."), "{options:?}: {said}");
    }
    let bad = [
        ("-tls1_1 -cipher ALL@SECLEVEL=0", "alert"),
        ("-tls1 -cipher ALL@SECLEVEL=0", "alert"),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "handshake failure"),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-CCM", "handshake failure"),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", "handshake failure"),
        ("-tls1_2 -cipher AES128-GCM-SHA256", "handshake failure"),
    ];
    for (options, why) in bad {
        let options: Vec<_> = options.split(' ').collect();
        let (came_in, said) = house.openssl(&options);
        assert!(!came_in && said.contains(why), "{options:?}: {said}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let house = House::open();
    let mut old = house.visit();
    let before = old.certificate();
    house.authority.issue(&["localhost"], house.scratch.path());
    kill_process(getpid(), Signal::HUP).unwrap();
    let began = Instant::now();
    while house.visit().certificate() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "new connections still get the old one");
        std::thread::sleep(Duration::from_millis(20));
    }
    old.ask("/healthz");
    assert_eq!(old.certificate(), before);

    let renewed = house.visit().certificate();
    std::fs::write(house.scratch.path().join("server.crt"), "nonsense").unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(house.visit().certificate(), renewed, "a bad new file keeps the good one");
    old.ask("/healthz");
}

#[test]
fn https_is_promised_for_a_year() {
    let head = House::open().visit().ask("/healthz");
    assert!(head.contains("strict-transport-security: max-age=31536000; includesubdomains"), "{head}");
}

#[test]
fn a_key_that_is_not_the_certificates_starts_nothing() {
    let (scratch, other, authority) = (Scratch::new(), Scratch::new(), Authority::new());
    let ours = authority.issue(&["localhost"], scratch.path());
    let theirs = authority.issue(&["localhost"], other.path());
    let mut settings = settings(&scratch);
    settings.tls = Some(Tls::of(ours.certificate, theirs.key));
    let why = start(settings, Means::system()).unwrap_err().why;
    assert!(why.contains("is not this certificate's"), "{why}");
}

#[test]
fn the_plain_address_sends_readers_over_and_takes_no_secret() {
    let house = House::open();
    let plain = house.running().plain.expect("it was asked for");
    let ask = |request: &str| {
        let mut tcp = TcpStream::connect(plain).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp.write_all(request.as_bytes()).unwrap();
        answer(&mut BufReader::new(tcp))
    };
    let (head, _) = ask("GET /oauth/authorize?state=a HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let to =
        format!("location: https://localhost:{}/oauth/authorize?state=a\r\n", house.running().address.port());
    assert!(head.starts_with("http/1.1 308") && head.contains(&to), "{head}");
    let form = "grant_type=client_credentials&client_id=a&client_secret=hush";
    let (head, body) = ask(&format!(
        "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    assert!(head.starts_with("http/1.1 400") && !head.contains("location:"), "{head}");
    assert!(body.contains("replace the secrets that you sent") && !body.contains("hush"), "{body}");
}

#[test]
fn nobody_speaks_plain_http_to_the_secure_address() {
    let house = House::open();
    let mut tcp = TcpStream::connect(house.running().address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // Torn down in whichever way: an alert, an end or a reset.
    let _ = tcp.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
}
