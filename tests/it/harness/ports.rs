//! Ports reserved for this process, for servers that are down or restart.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The number of ports reserved for a process.
const PORTS: u16 = 1_000;
/// The timeout of waiting for a port to become free.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reserves the ports after its own: a process that can bind it owns them, so that concurrent test runs use other
/// ports. They are below the range of ephemeral ports: otherwise a client that connects to a server which is down could
/// get the server's port as its own, and connect to itself.
static OWN: LazyLock<TcpListener> = LazyLock::new(|| {
    let mut blocks = (10_000..30_000).step_by(usize::from(PORTS) + 1);
    let own = blocks.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    own.expect("ports that no other tests use")
});

/// An address without a listener. It is probed by connecting: a listener of our own would be inherited by a process
/// that is being spawned, until its exec.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = OWN.local_addr().expect("a listener's address").port() + 1;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(address).is_err() {
            return address;
        }
    }
}

/// Listens on an address whose previous listener may just have closed (see [`free_address`]).
///
/// # Panics
/// After [`DEADLINE`].
pub fn listen(address: SocketAddr) -> TcpListener {
    let started = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && started.elapsed() < DEADLINE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            bound => return bound.unwrap_or_else(|error| panic!("cannot listen on {address}: {error}")),
        }
    }
}

/// A listener for Tokio.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn for_tokio(listener: TcpListener) -> tokio::net::TcpListener {
    listener.set_nonblocking(true).expect("a socket option");
    tokio::net::TcpListener::from_std(listener).expect("a runtime")
}
