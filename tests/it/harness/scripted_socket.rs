//! A Socket.IO server over WebSocket that the test controls, also to misbehave.

use std::net::SocketAddr;

use actix_http::ws::hash_key;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ports::{for_tokio, free_address, listen};
use super::within;

/// A listening server.
pub struct ScriptedSocket {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl ScriptedSocket {
    pub async fn start() -> Self {
        Self::on(free_address()).await
    }

    /// The same on an address that was used before.
    pub async fn on(address: SocketAddr) -> Self {
        let listener = for_tokio(listen(address));
        Self { address: listener.local_addr().unwrap(), listener }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts a client, and sends nothing.
    pub async fn accept_silently(&self) -> Peer {
        Peer { stream: within("a client connects", self.listener.accept()).await.unwrap().0 }
    }

    /// Accepts a client, and completes both handshakes except for the reply to the namespace connection. A heartbeat is
    /// due every `ping_interval_ms`, and may be half a second late.
    pub async fn accept_until_answer(&self, ping_interval_ms: u64) -> Peer {
        let mut peer = self.accept_silently().await;
        within("the client upgrades the connection", peer.upgrade()).await;
        let open = json!({
            "sid": "1", "upgrades": [], "pingInterval": ping_interval_ms, "pingTimeout": 500, "maxPayload": 1_000_000,
        });
        peer.send(&format!("0{open}")).await;
        within("the client connects the namespace", async { while peer.receive().await != "40" {} }).await;
        peer
    }

    /// Accepts a client, and sends this board.
    pub async fn accept(&self, board: &Value) -> Peer {
        let mut peer = self.accept_until_answer(600_000).await;
        peer.welcome(board).await;
        peer
    }
}

/// The server side of a connection.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects the namespace, and sends this board.
    pub async fn welcome(&mut self, board: &Value) {
        self.send(r#"40{"sid":"2"}"#).await;
        self.emit("current_leaderboard", board).await;
    }

    pub async fn emit(&mut self, event: &str, argument: &Value) {
        self.send(&format!("42{}", json!([event, argument]))).await;
    }

    /// Sends a raw packet: an Engine.IO type and its payload.
    pub async fn send(&mut self, packet: &str) {
        let mut frame = vec![0x81];
        match u8::try_from(packet.len()) {
            Ok(length) if length < 126 => frame.push(length),
            _ => {
                frame.push(126);
                frame.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend(packet.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Responds to any request with this HTTP text, and closes the connection.
    pub async fn answer(mut self, http: &str) {
        within("the client sends a request", self.stream.read_u8()).await.unwrap();
        self.stream.write_all(http.as_bytes()).await.unwrap();
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Waits until the client has closed the connection.
    pub async fn closed(mut self) {
        let mut sink = Vec::new();
        // A reset closes it as well.
        let _ = within("the client closes the connection", self.stream.read_to_end(&mut sink)).await;
    }

    async fn upgrade(&mut self) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(self.stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"), "{request}");
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        };
        let key = request.lines().find_map(header).unwrap();
        let accept = String::from_utf8(hash_key(key.as_bytes()).to_vec()).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }

    /// The next packet of the client; all of them are short.
    async fn receive(&mut self) -> String {
        within("the client sends a packet", async {
            let _opcode = self.stream.read_u8().await.unwrap();
            let length = self.stream.read_u8().await.unwrap() & 0x7f;
            let mut mask = [0; 4];
            self.stream.read_exact(&mut mask).await.unwrap();
            let mut payload = vec![0; usize::from(length)];
            self.stream.read_exact(&mut payload).await.unwrap();
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            String::from_utf8(payload).unwrap()
        })
        .await
    }
}
