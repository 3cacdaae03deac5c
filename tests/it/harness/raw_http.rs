//! Raw HTTP, for requests that no proper client sends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::app::DEADLINE;

/// A raw response.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Connects to the server of a URL.
pub async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends these bytes, and reads until the server closes the connection. `None` if it does so without a response.
///
/// The request must have `Connection: close`, or be one after which the server closes the connection.
pub async fn exchange(url: &str, request: impl AsRef<[u8]>) -> Option<RawAnswer> {
    let mut stream = connect(url).await;
    // The server may respond and close before it has read everything.
    let _ = stream.write_all(request.as_ref()).await;
    read_answer(stream).await
}

/// Reads until the server closes the connection. `None` if it does so without a response.
pub async fn read_answer(mut stream: TcpStream) -> Option<RawAnswer> {
    let answer = read_to_end(&mut stream, DEADLINE).await.expect("the server closes the connection in time");
    RawAnswer::parse(&answer)
}

/// Requests this target without normalization.
pub async fn get(url: &str, target: &str) -> RawAnswer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(url, request).await.expect("an answer")
}

async fn read_to_end(stream: &mut TcpStream, limit: Duration) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match timeout(limit, stream.read_to_end(&mut bytes)).await {
        // A reset after the response does not invalidate it.
        Ok(_) => Ok(bytes),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl RawAnswer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }
}
