//! Raw RESP, to assert every byte of a reply.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::within;

/// A raw RESP connection.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Sends a command, its arguments separated by spaces and percent-encoded. Returns the raw reply.
    pub async fn ask(&mut self, command: &str) -> String {
        self.ask_for(command, 1).await
    }

    /// The same for a command with several replies.
    pub async fn ask_for(&mut self, command: &str, replies: usize) -> String {
        let words: Vec<Vec<u8>> = command.split(' ').map(decoded).collect();
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(&word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request).await.unwrap();
        let mut answers = String::new();
        for _ in 0..replies {
            answers.push_str(&self.reply().await);
        }
        answers
    }

    /// The next raw reply, decoded as Latin-1.
    pub async fn reply(&mut self) -> String {
        let (mut reply, mut waiting) = (Vec::new(), 1);
        while waiting > 0 {
            let start = reply.len();
            while !reply[start..].ends_with(b"\r\n") {
                reply.push(within("a reply", self.0.read_u8()).await.unwrap());
            }
            let header = String::from_utf8(reply[start..reply.len() - 2].to_vec()).unwrap();
            let size = || header[1..].parse::<i64>().unwrap();
            waiting -= 1;
            match header.as_bytes()[0] {
                b'*' | b'>' | b'~' => waiting += size().max(0),
                b'%' => waiting += 2 * size(),
                b'$' | b'=' if size() >= 0 => {
                    let mut bulk = vec![0; usize::try_from(size()).unwrap() + 2];
                    within("a reply", self.0.read_exact(&mut bulk)).await.unwrap();
                    reply.extend(bulk);
                }
                _ => {}
            }
        }
        reply.into_iter().map(char::from).collect()
    }
}

fn decoded(word: &str) -> Vec<u8> {
    let mut parts = word.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // A lone percent sign is an empty argument.
        let (code, rest) = part.split_at(part.len().min(2));
        bytes.extend(u8::from_str_radix(code, 16).ok());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
