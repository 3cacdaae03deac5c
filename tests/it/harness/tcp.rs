//! The system's TCP connections over IPv4, from proc_pid_net_tcp(5).

use std::net::{IpAddr, SocketAddr};

/// One end of an established connection.
pub struct End {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// Bytes that were written and have not reached the peer's buffer.
    pub unsent: u64,
}

/// Both ends of every established connection.
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
    // The address is printed in the byte order of the machine.
    let host = u32::from_str_radix(host, 16).ok()?.to_ne_bytes();
    Some((IpAddr::from(host), u16::from_str_radix(port, 16).ok()?).into())
}
