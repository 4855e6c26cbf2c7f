//! As much of HTTP/1.1 as it takes to ask the same loopback server again and again over one connection, and
//! no more: answers have a length and are small. It costs less than what it measures.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Outcome;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A connection that is kept.
pub struct Wire {
    stream: TcpStream,
    heard: Vec<u8>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// A text in the JSON of the body.
    pub fn member(&self, name: &str) -> Outcome<String> {
        let body: Value = serde_json::from_slice(&self.body)?;
        Ok(body[name].as_str().ok_or_else(|| format!("no {name} in {body}"))?.to_owned())
    }
}

impl Wire {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        assert!(address.ip().is_loopback(), "benchmarks stay on this machine");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Vec::with_capacity(4096) })
    }

    /// Asks, and hears the whole answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.heard.clear();
        let head = loop {
            self.more().await?;
            if let Some(at) = self.heard.windows(4).position(|bytes| bytes == END_OF_HEAD) {
                break at;
            }
        };
        let (status, length) = read_head(&self.heard[..head])?;
        let start = head + END_OF_HEAD.len();
        while self.heard.len() < start + length {
            self.more().await?;
        }
        Ok(Answer { status, body: self.heard[start..].to_vec() })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.heard).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A `POST` of a form. Values must be letters, digits and the few signs that a form leaves alone.
pub fn form(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", value.replace('@', "%40"))).collect();
    let body = pairs.join("&");
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A `GET`, with a bearer token or without.
pub fn get(path: &str, bearer: Option<&str>) -> Vec<u8> {
    let authorization = bearer.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{authorization}\r\n").into_bytes()
}

fn read_head(head: &[u8]) -> io::Result<(u16, usize)> {
    let odd = || io::Error::other("an answer without a status or a length");
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(odd)?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    // 204 has no body and therefore no length (RFC 9110 section 8.6).
    let length = length.or((status == 204).then_some(0));
    Ok((status, length.ok_or_else(odd)?))
}
