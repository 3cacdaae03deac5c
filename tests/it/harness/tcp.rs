//! The system's list of its TCP connections over IPv4: proc_pid_net_tcp(5).

use std::net::{IpAddr, SocketAddr};

/// One end of a connection that is established.
pub struct End {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// Bytes that were written here and have not reached the other end's buffer.
    pub unsent: u64,
}

/// Both ends of every connection that is established.
pub fn established() -> Vec<End> {
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
    list.lines().skip(1).filter_map(end).collect()
}

fn end(line: &str) -> Option<End> {
    const ESTABLISHED: &str = "01";
    let mut fields = line.split_whitespace().skip(1);
    let (local, peer) = (address(fields.next()?)?, address(fields.next()?)?);
    let is_established = fields.next()? == ESTABLISHED;
    let (unsent, _) = fields.next()?.split_once(':')?;
    is_established.then_some(End { local, peer, unsent: u64::from_str_radix(unsent, 16).ok()? })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    // The address is printed as a number of the machine's own byte order.
    let host = u32::from_str_radix(host, 16).ok()?.to_ne_bytes();
    Some((IpAddr::from(host), u16::from_str_radix(port, 16).ok()?).into())
}
