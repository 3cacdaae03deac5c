//! Ports of this process's own, for servers that are not there, or go and come back.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How many ports a process has for its tests.
const PORTS: u16 = 1_000;
/// How long a port may take to be free again.
const DEADLINE: Duration = Duration::from_secs(20);

/// What stands before this process's ports: whoever can listen there has them, so that others who test at the same time
/// have others. They lie below those that the system gives to outgoing connections: otherwise a client that tries to reach
/// a server which is down could be given the server's own port, and connect to itself.
static OWN: LazyLock<TcpListener> = LazyLock::new(|| {
    let mut blocks = (10_000..30_000).step_by(usize::from(PORTS) + 1);
    let own = blocks.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    own.expect("ports that no other tests use")
});

/// Where nobody listens. It is looked at from outside: a listener of our own would live on in a process that is just being
/// started, until that has become another program.
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

/// Listens, where another listener may just have ended (see [`free_address`]).
///
/// # Panics
/// When the port does not become free in time.
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
/// Outside of a runtime.
pub fn for_tokio(listener: TcpListener) -> tokio::net::TcpListener {
    listener.set_nonblocking(true).expect("a socket option");
    tokio::net::TcpListener::from_std(listener).expect("a runtime")
}
