use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::AddressPolicy;

/// Networks that are not globally reachable unicast, by the IANA IPv4 Special-Purpose Address Registry, multicast
/// and the reserved class E. The two single addresses of 192.0.0.0/24 that are global host no miners.
const V4_REFUSED: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::BROADCAST, 32),
];

/// Global unicast, the only block that is handed out: all else (loopback, mapped, ULA, link-local, multicast) is not.
const V6_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What the IANA IPv6 Special-Purpose Address Registry takes out of global unicast: protocol assignments (Teredo,
/// ORCHID, benchmarking), documentation, and 6to4, which would reach whatever IPv4 address it holds.
const V6_REFUSED: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Translates to the IPv4 address in its last 32 bits, and is judged by it.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x0064, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether a miner's address may be called. A connection goes to exactly this address, so it is also the peer.
pub(super) fn is_allowed(policy: AddressPolicy, address: SocketAddr) -> bool {
    address.port() != 0
        && match policy {
            AddressPolicy::Any => true,
            AddressPolicy::Global => is_global(address.ip()),
        }
}

fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) if in_v6(v6, NAT64) => {
            let [.., a, b, c, d] = v6.octets();
            is_global_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(v6) => in_v6(v6, V6_UNICAST) && !V6_REFUSED.iter().any(|&network| in_v6(v6, network)),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    !V4_REFUSED.iter().any(|&(network, bits)| (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0)
}

fn in_v6(ip: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: AddressPolicy, address: &str) -> bool {
        is_allowed(policy, address.parse().unwrap())
    }

    #[test]
    fn globally_reachable_addresses_are_called() {
        for address in [
            "1.1.1.1:8091",
            "9.255.255.255:80",
            "11.0.0.0:80",
            "100.63.255.255:80",
            "100.128.0.0:80",
            "172.15.255.255:80",
            "172.32.0.0:80",
            "192.167.255.255:80",
            "198.17.255.255:80",
            "198.20.0.0:80",
            "223.255.255.255:80",
            "[2606:4700::1111]:8091",
            "[2001:4860:4860::8888]:80",
            "[2001:db7:ffff::1]:80",
            "[64:ff9b::1.1.1.1]:80",
        ] {
            assert!(check(AddressPolicy::Global, address), "{address}");
        }
    }

    #[test]
    fn every_other_address_is_refused() {
        for address in [
            "0.0.0.0:80",
            "0.1.2.3:80",
            "10.255.255.255:80",
            "100.64.0.1:80",
            "100.127.255.255:80",
            "127.0.0.1:8091",
            "169.254.169.254:80",
            "172.16.0.1:80",
            "172.31.255.255:80",
            "192.0.0.9:80",
            "192.0.2.1:80",
            "192.88.99.1:80",
            "192.168.1.1:80",
            "198.19.255.255:80",
            "198.51.100.7:80",
            "203.0.113.7:80",
            "224.0.0.1:80",
            "239.255.255.255:80",
            "240.0.0.1:80",
            "255.255.255.255:80",
            "1.1.1.1:0",
            "[::]:80",
            "[::1]:80",
            "[::ffff:1.1.1.1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::1.1.1.1]:80",
            "[64:ff9b::127.0.0.1]:80",
            "[64:ff9b::10.0.0.1]:80",
            "[64:ff9b:1::1.1.1.1]:80",
            "[100::1]:80",
            "[2001::1]:80",
            "[2001:2::1]:80",
            "[2001:20::1]:80",
            "[2001:db8::1]:80",
            "[2002:7f00:1::]:80",
            "[2002:101:101::1]:80",
            "[3fff:fff::1]:80",
            "[5f00::1]:80",
            "[fc00::1]:80",
            "[fd12:3456::1]:80",
            "[fe80::1]:80",
            "[fec0::1]:80",
            "[ff02::1]:80",
        ] {
            assert!(!check(AddressPolicy::Global, address), "{address}");
        }
    }

    #[test]
    fn the_operators_own_miners_may_live_anywhere() {
        assert!(check(AddressPolicy::Any, "127.0.0.1:8091"));
        assert!(check(AddressPolicy::Any, "[::1]:8091"));
        assert!(!check(AddressPolicy::Any, "127.0.0.1:0"));
    }
}
