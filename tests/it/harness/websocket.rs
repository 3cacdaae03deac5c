//! WebSocket frames (RFC 6455), and Socket.IO over them.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw_http::{RawAnswer, connect, read_answer};
use super::within;

/// A frame's opcode.
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The upgrade request for this target; `change` edits its head.
pub fn request(target: &str, change: impl Fn(String) -> String) -> String {
    change(format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n"
    ))
}

/// A frame of a client, with the valid mask 0.
pub fn frame(is_last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode | if is_last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A websocket.
#[derive(Debug)]
pub struct Websocket<S = TcpStream>(pub S);

impl Websocket {
    /// Opens a websocket, or returns the refusal.
    pub async fn open(url: &str, target: &str) -> Result<Self, RawAnswer> {
        Self::request(url, &request(target, |head| head)).await
    }

    /// Opens a websocket with this request, or returns the refusal.
    pub async fn request(url: &str, request: &str) -> Result<Self, RawAnswer> {
        let mut stream = connect(url).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        within("an answer", stream.peek(&mut line)).await.unwrap();
        if &line != b"HTTP/1.1 101" {
            return Err(read_answer(stream).await.expect("an answer"));
        }
        Ok(Self::accepted(stream).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Websocket<S> {
    /// Opens a websocket on a connection, which the server must accept.
    pub async fn over(mut stream: S, target: &str) -> Self {
        stream.write_all(request(target, |head| head).as_bytes()).await.unwrap();
        Self::accepted(stream).await
    }

    /// Reads the head of the response.
    async fn accepted(mut stream: S) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the head", stream.read_u8()).await.unwrap());
        }
        assert!(String::from_utf8(head).unwrap().contains("Bz3qJYTGdOe8gUSpLosEdiLKDrk="), "the accepted key");
        Self(stream)
    }

    /// Sends a frame.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        // The server may close the connection to a hostile client before everything is sent.
        let _ = self.0.write_all(&frame(true, opcode, payload)).await;
    }

    /// Sends a text.
    pub async fn text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await;
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        within("a frame", async {
            let mut start = [0; 2];
            self.0.read_exact(&mut start).await.ok()?;
            let length = match start[1] {
                126 => u64::from(self.0.read_u16().await.ok()?),
                127 => self.0.read_u64().await.ok()?,
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.ok()?;
            Some((start[0] & 0x0f, payload))
        })
        .await
    }

    /// Reads until the server has closed the connection.
    pub async fn until_closed(&mut self) {
        within("the end of the connection", async { while self.frame().await.is_some() {} }).await;
    }
}

/// A Socket.IO client on a websocket.
pub struct SocketClient {
    pub websocket: Websocket,
}

impl SocketClient {
    /// Opens a session on a websocket, and connects to the main namespace.
    pub async fn connect(url: &str) -> Self {
        let mut client = Self::open(url).await;
        client.websocket.text("40").await;
        assert!(client.packet().await.unwrap().starts_with("40{\"sid\":"), "the namespace is connected");
        client
    }

    /// Opens a session on a websocket, without a namespace.
    pub async fn open(url: &str) -> Self {
        let websocket = Websocket::open(url, "/socket.io/?EIO=4&transport=websocket").await;
        let mut client = Self { websocket: websocket.unwrap_or_else(|answer| panic!("{answer:?}")) };
        assert!(client.packet().await.unwrap().starts_with("0{\"sid\":"), "the session is open");
        client
    }

    /// The next packet except pings, which are answered; `None` at the end.
    pub async fn packet(&mut self) -> Option<String> {
        within("a packet", async {
            loop {
                match self.websocket.frame().await? {
                    (TEXT, payload) if payload == b"2" => self.websocket.text("3").await,
                    (TEXT, payload) => return Some(String::from_utf8(payload).unwrap()),
                    (CLOSE, _) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await
    }

    /// The next event and its argument; `None` at the end.
    pub async fn event(&mut self) -> Option<(String, Value)> {
        let packet = self.packet().await?;
        Some(event(&packet).unwrap_or_else(|| panic!("no event: {packet}")))
    }

    /// Reads until this update arrives, and counts the updates before it.
    pub async fn until_update(&mut self, argument: &Value) -> usize {
        let mut before = 0;
        loop {
            let (name, got) = self.event().await.expect("an update before the end");
            if name == "update_leaderboard" {
                if got == *argument {
                    return before;
                }
                before += 1;
            }
        }
    }
}

/// An event packet's name and its one argument.
pub fn event(packet: &str) -> Option<(String, Value)> {
    let (name, argument): (String, Value) = serde_json::from_str(packet.strip_prefix("42")?).ok()?;
    Some((name, argument))
}
