//! Names to addresses, IPv4 first: for networks that announce IPv6 and do not carry it, where each
//! connection would wait for an address that never answers.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks the system, and puts its IPv4 addresses before the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv4First;

impl Resolve for Ipv4First {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the connector's affair.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addrs: Addrs = Box::new(ipv4_first(found.collect()).into_iter());
            Ok(addrs)
        })
    }
}

fn ipv4_first(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addrs.sort_by_key(SocketAddr::is_ipv6); // a stable sort: the system's order stays otherwise
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_comes_first_and_the_order_stays_otherwise() {
        let addrs = ["[::1]:0", "10.0.0.2:0", "[::2]:0", "10.0.0.1:0"].map(|addr| addr.parse().unwrap());
        let ordered: Vec<String> = ipv4_first(addrs.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(ordered, ["10.0.0.2:0", "10.0.0.1:0", "[::1]:0", "[::2]:0"]);
    }

    #[tokio::test]
    async fn a_name_is_resolved_by_the_system() {
        let found = Ipv4First.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.map(|addr| addr.ip()).any(|ip| ip.is_loopback()));
    }
}
