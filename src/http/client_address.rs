//! The address and the scheme of a client behind reverse proxies: by `Forwarded` (RFC 7239), or by `X-Forwarded-For`
//! and `X-Forwarded-Proto`.
//!
//! Any client can send these fields, and a proxy appends to them. So they are read only if the peer is a trusted proxy,
//! and from the right: each trusted address vouches for the entry that it has added, up to the first address that is
//! not trusted. An invalid entry ends the walk: it may be of a client, and so may be all before it.

mod forwarded;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use ipnet::IpNet;

/// The longest chain of trusted proxies: an attacker behind them chooses the length of the fields.
const MAX_HOPS: usize = 32;

/// The proxies whose fields are believed; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// An IPv4-mapped IPv6 address is written as IPv4.
    pub(crate) address: IpAddr,
    pub(crate) scheme: Scheme,
    /// Whether a trusted proxy has forwarded the request, so that the address may be one that the client claims.
    pub(crate) is_forwarded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// An entry of a forwarding field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    address: IpAddr,
    scheme: Option<Scheme>,
}

impl TrustedProxies {
    /// Proxies with an address in one of these networks.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// The client of a request on a connection with this scheme. `None` for a connection without an address, which TCP
    /// does not have.
    pub(crate) fn client(&self, request: &RequestHead, scheme: Scheme) -> Option<Client> {
        let peer = request.peer_addr?.ip().to_canonical();
        let direct = Client { address: peer, scheme, is_forwarded: false };
        Some(if self.trust(peer) { self.forwarded(direct, &request.headers) } else { direct })
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// A proxy sets one of the fields, and may pass on what the client says in the other one. If they name different
    /// clients, neither counts.
    fn forwarded(&self, direct: Client, headers: &HeaderMap) -> Client {
        let named = |name: &HeaderName| headers.contains_key(name);
        match (named(&header::FORWARDED), named(&header::X_FORWARDED_FOR)) {
            (false, false) => direct,
            (true, false) => self.by_forwarded(direct, headers),
            (false, true) => self.by_x_forwarded_for(direct, headers),
            (true, true) => {
                let client = self.by_forwarded(direct, headers);
                let is_agreed = client.address == self.by_x_forwarded_for(direct, headers).address;
                if is_agreed { client } else { Client { is_forwarded: true, ..direct } }
            }
        }
    }

    fn by_forwarded(&self, direct: Client, headers: &HeaderMap) -> Client {
        let lines = lines(headers, &header::FORWARDED);
        self.walk(direct, lines.iter().rev().flat_map(|line| forwarded::hops(line)))
    }

    fn by_x_forwarded_for(&self, direct: Client, headers: &HeaderMap) -> Client {
        let schemes = lines(headers, &header::X_FORWARDED_PROTO);
        let mut schemes = schemes.iter().rev().flat_map(|line| line.rsplit(',')).map(Scheme::parse);
        let addresses = lines(headers, &header::X_FORWARDED_FOR);
        let addresses = addresses.iter().rev().flat_map(|line| line.rsplit(',')).map(address);
        let hops = addresses.map(|address| Some(Hop { address: address?, scheme: schemes.next().flatten() }));
        self.walk(direct, hops)
    }

    /// Follows the entries, the last one first. A scheme is valid until the next one: many proxies set only their own.
    fn walk(&self, direct: Client, hops: impl Iterator<Item = Option<Hop>>) -> Client {
        let mut client = Client { is_forwarded: true, ..direct };
        for hop in hops.take(MAX_HOPS) {
            let Some(Hop { address, scheme }) = hop.filter(|_| self.trust(client.address)) else { break };
            client = Client { address, scheme: scheme.unwrap_or(client.scheme), ..client };
        }
        client
    }
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            text if text.eq_ignore_ascii_case("http") => Some(Self::Http),
            text if text.eq_ignore_ascii_case("https") => Some(Self::Https),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The lines of a field in their order. Bytes of a client that are not UTF-8 make its own entries invalid, not those
/// that a proxy has appended.
fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Cow<'a, str>> {
    headers.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes())).collect()
}

/// An IP address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`. Anything else, such as
/// `unknown` or `_hidden` of RFC 7239, is no address.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let is_complete = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| is_complete).map(|address| address.to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

/// RFC 7239, section 6: digits, or an obfuscated port such as `_x`.
fn is_port(text: &str) -> bool {
    text.starts_with('_') || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests;
