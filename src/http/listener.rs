//! The listener of a server, alone on its port or in turn with its successor.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, bind, listen, shutdown, socket_with};

/// The length of the accept queue: after a restart, thousands of clients may reconnect at once.
const BACKLOG: i32 = 4096;
/// The thread that accepts connections has left the listener alone by then; else it would log an error.
const PAUSE: Duration = Duration::from_millis(10);

/// A bound address. It accepts no connections before the server starts, so that none waits for a server whose start
/// fails.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    reuses_port: bool,
}

impl Listener {
    /// Binds an address. With `reuse_port`, another process may listen on it as well, if it does the same and belongs to
    /// the same user: all new connections go to the one that started last.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        if reuse_port {
            set_socket_reuseport(&socket, true)?;
        }
        bind(&socket, &address)?;
        if !reuse_port {
            // Reports an address in use now, before the database is opened.
            listen(&socket, BACKLOG)?;
        }
        Ok(Self { socket: TcpListener::from(socket), reuses_port: reuse_port })
    }

    /// The bound address.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Listens.
    pub(super) fn open(self) -> io::Result<(TcpListener, Closer)> {
        if self.reuses_port {
            listen(&self.socket, BACKLOG)?;
            successor::take_new_connections(&self.socket);
        }
        let closer = Closer(self.socket.try_clone()?);
        Ok((self.socket, closer))
    }
}

/// Closes a listener that the server still holds.
pub(super) struct Closer(TcpListener);

impl Closer {
    /// Closes it, once the server has paused: later connections are refused, or go to the successor.
    pub(super) async fn close(self) {
        tokio::time::sleep(PAUSE).await;
        if let Err(error) = shutdown(&self.0, Shutdown::Read) {
            tracing::warn!(error = %error, "cannot close the listener before the connections");
        }
    }
}

#[cfg(target_os = "linux")]
mod successor {
    use std::net::TcpListener;

    use nix::libc::{BPF_K, BPF_RET, sock_filter, sock_fprog};
    use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

    /// Directs all new connections to the socket that listened second on the port, while there are two (socket(7),
    /// `SO_ATTACH_REUSEPORT_CBPF`). Otherwise the system would share them out, and those that wait for the first socket
    /// when it closes would be reset.
    pub(super) fn take_new_connections(socket: &TcpListener) {
        let mut instruction = sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: 1 };
        let program = sock_fprog { len: 1, filter: &raw mut instruction };
        if let Err(error) = setsockopt(socket, AttachReusePortCbpf, &program) {
            tracing::warn!(error = %error, "cannot take all new connections; a restart may reset some");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod successor {
    /// Only Linux can.
    pub(super) fn take_new_connections(_: &std::net::TcpListener) {}
}
