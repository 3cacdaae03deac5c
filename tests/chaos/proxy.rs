//! A TCP proxy for all connections to Redis.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The treatment of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forward without delay.
    Pass,
    /// Delay each chunk by so many milliseconds, in both directions.
    Delay(u64),
    /// Close connections, and reject new ones.
    Refuse,
    /// Keep connections open, but forward nothing until the mode ends.
    Silent,
    /// Forward commands and drop replies, then close the connections.
    NoReplies,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    target: SocketAddr,
    /// Connections of an earlier epoch are closed.
    epoch: u64,
}

/// The proxy, which ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Starts on a free port.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State { mode: Mode::Pass, target, epoch: 0 });
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(connection(client, seen.clone()));
            }
        });
        Self { address, state }
    }

    /// Changes the mode.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            // After lost replies, later replies on the same connection would be misattributed.
            let closes = mode == Mode::Refuse || state.mode == Mode::NoReplies;
            state.epoch += u64::from(closes);
            state.mode = mode;
        });
    }

    /// Changes the target, and closes connections to another one.
    pub fn target(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.epoch += u64::from(state.target != target);
            state.target = target;
        });
    }
}

async fn connection(client: TcpStream, state: watch::Receiver<State>) {
    let State { mode, target, epoch } = *state.borrow();
    if mode == Mode::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut broken = state.clone();
    tokio::select! {
        () = copy(from_client, to_server, state.clone(), false) => {}
        () = copy(from_server, to_client, state, true) => {}
        _ = broken.wait_for(|state| state.epoch != epoch) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, is_reply: bool) {
    let mut chunk = vec![0; 16 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
        if state.wait_for(|state| state.mode != Mode::Silent).await.is_err() {
            return;
        }
        let mode = state.borrow().mode;
        match mode {
            Mode::Delay(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            Mode::NoReplies if is_reply => continue,
            _ => {}
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}
