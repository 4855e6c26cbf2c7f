//! What one caller may take of the server: time, bytes, connections and the place in the line for passwords.
//! Real sockets, because the caller here is one that does not play by HTTP's manners.

use std::time::{Duration, Instant};

use portcullis_tests::client::{BACKEND, STOREFRONT};
use portcullis_tests::{Ground, Town};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(8);

async fn knock(town: &Town) -> TcpStream {
    let address = town.issuer().strip_prefix("http://").expect("a town speaks plain HTTP");
    TcpStream::connect(address).await.expect("the server listens")
}

/// Everything that comes until the server closes, and how long that took.
async fn until_closed(mut socket: TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, socket.read_to_end(&mut heard));
    // A reset is a way of closing as well.
    let _ = read.await.expect("the server closes the connection");
    (String::from_utf8_lossy(&heard).into_owned(), began.elapsed())
}

/// What comes first, up to the end of a packet; empty when the server closes.
async fn first(socket: &mut TcpStream) -> String {
    let mut heard = vec![0; 4096];
    let read =
        tokio::time::timeout(SOON, socket.read(&mut heard)).await.expect("the server answers or closes");
    String::from_utf8_lossy(&heard[..read.unwrap_or(0)]).into_owned()
}

pub async fn a_head_that_drips_in_is_not_waited_for(ground: &Ground) {
    let town = Town::open_with(ground, |settings| settings.limits.head_ms = 300).await;
    let mut socket = knock(&town).await;
    socket.write_all(b"POST /oauth/token HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
    let (heard, took) = until_closed(socket).await;
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{heard}");
    assert!(took < Duration::from_secs(7), "{took:?}");
}

pub async fn a_body_that_drips_in_is_not_waited_for(ground: &Ground) {
    let town = Town::open_with(ground, |settings| settings.limits.body_ms = 300).await;
    for path in
        ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/authorize/sign-in", "/guards/report"]
    {
        let mut socket = knock(&town).await;
        // The account of a guard, so that its report is heard at all.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Basic c2hvcDpodXNoLWd1YXJk\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\ngrant_type="
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let heard = first(&mut socket).await;
        assert!(heard.starts_with("HTTP/1.1 408"), "{path}: {heard}");
    }
}

pub async fn a_body_that_is_too_large_is_not_read(ground: &Ground) {
    let town = Town::open(ground).await;
    let mut socket = knock(&town).await;
    let head = "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    // More than the limit, and far less than what was announced.
    let _ = socket.write_all(&[b' '; 100_000]).await;
    assert!(first(&mut socket).await.starts_with("HTTP/1.1 413"));
}

pub async fn too_many_headers_are_refused(ground: &Ground) {
    let town = Town::open(ground).await;
    for (count, size) in [(200, 10), (40, 8000)] {
        let mut socket = knock(&town).await;
        let headers: String = (0..count).map(|n| format!("x-{n}: {}\r\n", "a".repeat(size))).collect();
        let _ = socket.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await;
        let heard = first(&mut socket).await;
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 4"), "{heard}");
    }
    town.client_token(&BACKEND).await;
}

pub async fn an_address_holds_so_many_connections_and_no_more(ground: &Ground) {
    let town = Town::open_with(ground, |settings| settings.limits.connections = 4).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut socket = knock(&town).await;
        socket.write_all(ask).await.unwrap();
        assert!(first(&mut socket).await.starts_with("HTTP/1.1 200"));
        held.push(socket);
    }
    for _ in 0..3 {
        let mut socket = knock(&town).await;
        let _ = socket.write_all(ask).await;
        assert_eq!(first(&mut socket).await, "");
    }
    held.pop();
    let began = Instant::now();
    loop {
        let mut socket = knock(&town).await;
        let _ = socket.write_all(ask).await;
        if first(&mut socket).await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(began.elapsed() < SOON, "a seat that was given back stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn a_flood_of_logins_does_not_starve_honest_ones(ground: &Ground) {
    let town = Town::open_with(ground, |settings| {
        // Slow enough that everybody would wait, and a line that the flood alone would fill.
        (settings.passwords.memory_kib, settings.passwords.workers, settings.passwords.queue) =
            (19_456, 1, 8);
    })
    .await;
    let town = std::sync::Arc::new(town);
    let flood: Vec<_> = (0..100)
        .map(|_| {
            let town = town.clone();
            tokio::spawn(
                async move { town.password(&STOREFRONT, "mallory@example.com", "wrong").await.status },
            )
        })
        .collect();
    let honest = town.password(&STOREFRONT, "jane@example.com", "hush-jane").await;
    assert_eq!(honest.status, 200, "{honest:?}");
    let mut seen = Vec::new();
    for one in flood {
        seen.push(one.await.expect("a login is answered"));
    }
    seen.sort_unstable();
    let count = |status: u16| seen.iter().filter(|one| **one == status).count();
    assert_eq!((count(400), count(429)), (5, 95), "{seen:?}");
}
