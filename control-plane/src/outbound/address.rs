//! Addresses that are never called, whatever name resolves to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where cloud providers serve credentials over IPv6, in an otherwise ordinary private range.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether no service of a user is there: link-local addresses, where cloud providers serve credentials, and those that
/// are not of one host.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_forbidden_v4(v4),
            None => {
                v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
                    || v6 == METADATA
            }
        },
    }
}

fn is_forbidden_v4(v4: Ipv4Addr) -> bool {
    // 0.0.0.0/8 reaches the host itself.
    v4.octets()[0] == 0 || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
}

/// The IPv4 address behind one of IPv6: mapped, compatible, translated (64:ff9b::/96) or 6to4 (2002::/16).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0x2002, _) => Some(of(b, c)),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => Some(of(g, h)),
        (0, 0) if (c, d, e) == (0, 0, 0) && f == 0xffff => Some(of(g, h)),
        // `::` and `::1` are addresses of IPv6.
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0) && (g, h) > (0, 1) => Some(of(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_service_of_a_user_is_not_called() {
        let forbidden = [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0.0.0.0",
        ];
        for address in forbidden {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
        let allowed = [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "93.184.216.34",
            "::1",
            "fd00::7",
            "2606:2800:220:1::1",
            "::ffff:10.0.0.7",
        ];
        for address in allowed {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
    }
}
