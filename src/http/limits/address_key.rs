//! The part of an address that a limit counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of IPv4 addresses behind a NAT64 gateway: the well-known prefix (RFC 6052, section 2.1), without the
/// address.
const NAT64: u128 = 0x0064_ff9b << 96;

/// An IPv4 address, or the /64 network of an IPv6 address: a single client has the whole network, and can use as many
/// addresses as it likes. An IPv6 address that embeds an IPv4 address counts as this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey(IpAddr);

impl AddressKey {
    /// The key of a canonical address.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) if address.to_bits() >> 32 == NAT64 >> 32 => {
                Ipv4Addr::from_bits(address.to_bits() as u32).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client_have_one_key() {
        let key = |text: &str| AddressKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn a_client_behind_a_nat64_gateway_is_its_ipv4_address() {
        let key = |text: &str| AddressKey::of(text.parse().unwrap());
        assert_eq!(key("64:ff9b::192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("64:ff9b::192.0.2.1"), key("64:ff9b::192.0.2.2"));
        // Another prefix.
        assert_eq!(key("64:ff9b:0:0:1::192.0.2.1"), key("64:ff9b::1:0:0:0"));
    }
}
