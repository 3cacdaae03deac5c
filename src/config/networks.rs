//! Lists of IP addresses and networks.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::reader::{ParseError, quoted};

pub(super) const EXPECTED: &str =
    "IP addresses and networks separated by commas, such as \"127.0.0.1, 10.0.0.0/8, fd00::/8\"";
const NETWORK: &str = "an IP address, or a network such as \"10.0.0.0/8\" or \"fd00::/8\"";
/// The length of `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// Networks separated by commas; an address is a network of its own. IPv4-mapped IPv6 networks are written as IPv4.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, ParseError> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect()
}

fn network(text: &str) -> Result<IpNet, ParseError> {
    let parsed = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network: IpNet = parsed.ok_or_else(|| ParseError::new(quoted(text), NETWORK))?;
    if network.addr() != network.network() {
        let expected = format!("the network \"{}\", or the address \"{}\"", network.trunc(), network.addr());
        return Err(ParseError::new(quoted(text), expected));
    }
    Ok(canonical(network))
}

fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let bits = mapped.prefix_len().checked_sub(MAPPED_BITS);
    let unmapped =
        mapped.addr().to_ipv4_mapped().zip(bits).and_then(|(address, bits)| Ipv4Net::new(address, bits).ok());
    unmapped.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read() {
        for (text, expected) in [
            ("", &[][..]),
            (" , ", &[]),
            ("127.0.0.1", &["127.0.0.1/32"]),
            ("::1,10.0.0.0/8", &["::1/128", "10.0.0.0/8"]),
            ("fd00::/8, 0.0.0.0/0", &["fd00::/8", "0.0.0.0/0"]),
            ("::ffff:10.0.0.0/104, ::ffff:10.0.0.1", &["10.0.0.0/8", "10.0.0.1/32"]),
        ] {
            let networks: Vec<_> = networks(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(networks, expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error_that_names_it() {
        for wrong in ["localhost", "10.0.0.0/33", "10.0.0/8", "*", "[::1]", "127.0.0.1:80", "fe80::1%eth0"] {
            let error = networks(&format!("127.0.0.1, {wrong}")).unwrap_err();
            assert_eq!(error, ParseError::new(format!("{wrong:?}"), NETWORK), "{wrong}");
        }
        let expected = "the network \"10.0.0.0/8\", or the address \"10.0.0.1\"";
        assert_eq!(networks("10.0.0.1/8").unwrap_err(), ParseError::new("\"10.0.0.1/8\"", expected));
    }
}
