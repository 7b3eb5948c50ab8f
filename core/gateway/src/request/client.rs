use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More proxies than this in a row are not believed.
const HOPS: usize = 32;

/// Returns the client's address: who connects, or, behind trusted proxies, the last one whom none of them is.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(client) {
        return client;
    }
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim);
    for hop in hops.filter(|hop| !hop.is_empty()).take(HOPS) {
        // What is no address was not written by a proxy that is trusted.
        let Some(address) = address(hop) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Reads `1.2.3.4`, `1.2.3.4:5`, `::1` and `[::1]:5`.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        assert_eq!(client(peer.parse().unwrap(), &headers, &trusted), expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn strangers_are_not_believed() {
        check("9.9.9.9", &["1.1.1.1"], "9.9.9.9");
        check("9.9.9.9", &[], "9.9.9.9");
    }

    #[test]
    fn trusted_proxies_name_their_client() {
        check("10.0.0.1", &["1.1.1.1"], "1.1.1.1");
        check("::ffff:10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7");
        check("::1", &["1.1.1.1:80"], "1.1.1.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn what_a_client_claims_beyond_the_first_stranger_does_not_count() {
        check("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.0.0.2"], "1.1.1.1");
        check("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }
}
