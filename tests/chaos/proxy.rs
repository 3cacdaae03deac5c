//! A TCP proxy before Redis, through which every connection of m3a3 goes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How connections fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything gets through at once.
    Pass,
    /// Each chunk takes so many milliseconds, in both directions.
    Delay(u64),
    /// Connections are broken, and new ones too.
    Refuse,
    /// Connections stay, but nothing gets through until the mode ends.
    Silent,
    /// Commands reach Redis, but replies are lost; then the connections break.
    NoReplies,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    target: SocketAddr,
    /// Connections of an earlier epoch are broken.
    epoch: u64,
}

/// The proxy; it ends with the runtime.
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

    /// Changes how connections fare.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            // What was lost on them must not be followed by what comes later.
            let breaks = mode == Mode::Refuse || state.mode == Mode::NoReplies;
            state.epoch += u64::from(breaks);
            state.mode = mode;
        });
    }

    /// Sends connections there from now on, and breaks those to elsewhere.
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
