//! Which addresses an endpoint may resolve to. Pure.
//!
//! What the operator typed is the grant: a name may resolve to public and private ranges; to loopback only if
//! `localhost` or a loopback address was typed; to link-local and metadata addresses only if that very address was typed.
//! An address that embeds another (v4-mapped, NAT64, 6to4) is judged by what it embeds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("a loopback address, and neither `localhost` nor a loopback address was typed")]
    Loopback,
    #[error("a link-local or metadata address, and that address was not typed")]
    LinkLocal,
    #[error("no address of one host")]
    NotOneHost,
}

/// Judges one resolved address of the endpoint whose host was typed as `typed` (an IPv6 one without brackets).
pub(crate) fn check(typed: &str, resolved: IpAddr) -> Result<(), Denied> {
    let address = embedded(resolved);
    let typed_address = typed.parse::<IpAddr>().ok().map(embedded);
    if is_nobody(address) {
        return Err(Denied::NotOneHost);
    }
    if is_link_local(address) {
        return if typed_address == Some(address) { Ok(()) } else { Err(Denied::LinkLocal) };
    }
    let loopback_typed =
        typed.eq_ignore_ascii_case("localhost") || typed_address.is_some_and(|typed| typed.is_loopback());
    if address.is_loopback() && !loopback_typed {
        return Err(Denied::Loopback);
    }
    Ok(())
}

fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        _ if v6.is_loopback() || v6.is_unspecified() => address,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] >= 240
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    /// Metadata services of large clouds outside of the link-local ranges.
    const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80 || v6 == METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(typed: &str, resolved: &str) -> Result<(), Denied> {
        check(typed, resolved.parse().unwrap())
    }

    #[test]
    fn a_name_reaches_public_and_private_hosts() {
        for address in
            ["93.184.216.34", "10.1.2.3", "192.168.0.9", "172.16.0.1", "2606:2800:220::1", "fd12::1"]
        {
            assert_eq!(judge("hooks.example.com", address), Ok(()), "{address}");
        }
    }

    #[test]
    fn loopback_has_to_be_typed() {
        for address in
            ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
        {
            assert_eq!(judge("hooks.example.com", address), Err(Denied::Loopback), "{address}");
            assert_eq!(judge("localhost", address), Ok(()), "{address}");
            assert_eq!(judge("127.0.0.1", address), Ok(()), "{address}");
        }
    }

    #[test]
    fn metadata_is_reached_only_by_its_own_address() {
        for address in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200"]
        {
            assert_eq!(judge("hooks.example.com", address), Err(Denied::LinkLocal), "{address}");
            assert_eq!(judge("localhost", address), Err(Denied::LinkLocal), "{address}");
            assert_eq!(judge(address, address), Ok(()), "{address}");
        }
    }

    #[test]
    fn nobody_lives_at_these() {
        for address in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "250.0.0.1"] {
            assert_eq!(judge(address, address), Err(Denied::NotOneHost), "{address}");
        }
    }
}
