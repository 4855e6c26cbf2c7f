//! Whose word counts about where a request came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layers::list;

/// The proxies in front of us. Empty: believe nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Vec<String>")]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Where a request came from: the peer, unless the peer is a trusted proxy; then the last address in
    /// `X-Forwarded-For` that is not one. What stands before that address is hearsay. `forwarded` are the
    /// values of the header in the order in which they arrived.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> IpAddr {
        let told: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut nearest = peer.to_canonical();
        for hop in told.iter().rev() {
            if !self.trusts(nearest) {
                break;
            }
            let Ok(address) = hop.parse::<IpAddr>() else { break };
            nearest = address.to_canonical();
        }
        nearest
    }

    /// A proxy on the same machine.
    pub fn of_this_machine() -> Self {
        Self(vec![Network { address: Ipv4Addr::LOCALHOST.into(), bits: 32 }])
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it trusts the whole world.
    pub fn everybody(&self) -> bool {
        self.0.iter().any(|network| network.bits == 0)
    }
}

/// An address, or a block of them: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_front(u128::from(ours.to_bits()) << 96, u128::from(theirs.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same_front(ours.to_bits(), theirs.to_bits(), self.bits),
            _ => false,
        }
    }
}

fn same_front(left: u128, right: u128, bits: u8) -> bool {
    bits == 0 || (left ^ right) >> (128 - u32::from(bits)) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither an address nor a block such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').map_or((text, None), |(front, bits)| (front, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(widest), str::parse).map_err(|_| wrong())?;
        if bits > widest {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.bits)
    }
}

#[derive(Deserialize)]
struct Listed(#[serde(deserialize_with = "list")] Vec<String>);

impl TryFrom<Listed> for TrustedProxies {
    type Error = String;

    fn try_from(listed: Listed) -> Result<Self, String> {
        listed.0.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl From<TrustedProxies> for Vec<String> {
    fn from(proxies: TrustedProxies) -> Self {
        proxies.0.iter().map(Network::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(list: &[&str]) -> TrustedProxies {
        TrustedProxies(list.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn client(list: &[&str], peer: &str, forwarded: &[&str]) -> String {
        proxies(list).client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_where_it_comes_from() {
        assert_eq!(client(&[], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn only_the_last_untrusted_address_counts() {
        let list = &["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(list, "10.1.1.1", &["1.2.3.4, 198.51.100.1", "10.2.2.2"]), "198.51.100.1");
        assert_eq!(client(list, "::ffff:10.1.1.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(list, "10.1.1.1", &["nonsense"]), "10.1.1.1");
        assert_eq!(client(list, "10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn a_block_holds_what_its_front_says() {
        let holds =
            |block: &str, address: &str| block.parse::<Network>().unwrap().holds(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        for wrong in ["10.0.0.0/33", "::/129", "ten", "10.0.0.0/x", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
