//! Whose word counts about where a request came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layers::list;

/// The proxies in front of us. Empty: believe nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Vec<String>")]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Where a request came from: the peer, unless the peer is a trusted proxy; then the last address that
    /// the proxies name and that is not one of them. What stands before that address is hearsay. `hops` are
    /// what the header said, in the order in which it arrived, see [`ProxyHeader::hops`].
    pub fn client(&self, peer: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut nearest = peer.to_canonical();
        for hop in hops.iter().rev() {
            let Some(address) = hop.filter(|_| self.trusts(nearest)) else { break };
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

/// How proxies say whom they speak for. Only one can be right: a proxy that writes the one header passes the
/// other on as the client wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// A list of addresses.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl ProxyHeader {
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The hops that the header's values name, the nearest last; `None` for one that hides or does not read.
    pub fn hops<'a>(self, values: impl Iterator<Item = &'a str>) -> Vec<Option<IpAddr>> {
        match self {
            Self::XForwardedFor => values.flat_map(|value| value.split(',')).map(node).collect(),
            Self::Forwarded => {
                values.flat_map(|value| outside_quotes(value, ',')).map(forwarded_for).collect()
            }
        }
    }
}

/// The `for` of one element (RFC 7239 section 4). An element without one still is a hop.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut named = outside_quotes(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
    });
    let value = named.next()?;
    // Twice is not allowed, and says nothing certain.
    if named.next().is_some() {
        return None;
    }
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    node(quoted.unwrap_or(value))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bare)
}

/// Cuts at a sign that does not stand in a quoted string (RFC 9110 section 5.6.4). Where a quotation never ends,
/// a client has opened it to swallow what a proxy wrote after it: then there are no quotations at all.
fn outside_quotes(text: &str, sign: char) -> Vec<&str> {
    let (mut pieces, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == sign && !quoted => {
                pieces.push(&text[from..at]);
                from = at + sign.len_utf8();
            }
            _ => {}
        }
    }
    if quoted {
        return text.split(sign).collect();
    }
    pieces.push(&text[from..]);
    pieces
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
        told(ProxyHeader::XForwardedFor, list, peer, forwarded)
    }

    fn told(header: ProxyHeader, list: &[&str], peer: &str, values: &[&str]) -> String {
        let hops = header.hops(values.iter().copied());
        proxies(list).client(peer.parse().unwrap(), &hops).to_string()
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
    fn the_standard_header_is_read_as_rfc_7239_writes_it() {
        let list = &["10.0.0.0/8", "fd00::/8"];
        let says = |values: &[&str]| told(ProxyHeader::Forwarded, list, "10.1.1.1", values);
        assert_eq!(says(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), "192.0.2.60");
        assert_eq!(says(&["For=\"[2001:db8:cafe::17]:4711\""]), "2001:db8:cafe::17");
        assert_eq!(
            says(&["for=1.2.3.4, for=198.51.100.17;by=\"a,b;for=9.9.9.9\"", "for=10.2.2.2"]),
            "198.51.100.17"
        );
        assert_eq!(says(&["for=\"[2001:db8::1]\";proto=https"]), "2001:db8::1");
    }

    #[test]
    fn a_hop_that_hides_ends_what_can_be_believed() {
        let says = |values: &[&str]| told(ProxyHeader::Forwarded, &["10.0.0.0/8"], "10.1.1.1", values);
        for hidden in
            ["for=unknown", "for=_gazonk", "proto=https", "for=1.1.1.1;for=2.2.2.2", "for=\"1.1.1.1", "", "="]
        {
            assert_eq!(says(&["for=198.51.100.17", hidden]), "10.1.1.1", "{hidden}");
        }
    }

    #[test]
    fn an_open_quotation_does_not_swallow_what_the_proxy_wrote() {
        for front in ["for=\"", "for=1.1.1.1;by=\"\\", "x=\"a\", for=\"1.1.1.1", "\"\\\""] {
            for last in ["for=198.51.100.17", "for=\"198.51.100.17:80\";by=\"_a\""] {
                let value = format!("{front}, {last}");
                let said = told(ProxyHeader::Forwarded, &["10.0.0.0/8"], "10.1.1.1", &[&value]);
                assert_eq!(said, "198.51.100.17", "{value}");
            }
        }
    }

    #[test]
    fn each_header_is_deaf_to_the_others_form() {
        let list = &["10.0.0.0/8"];
        assert_eq!(told(ProxyHeader::Forwarded, list, "10.1.1.1", &["198.51.100.1"]), "10.1.1.1");
        assert_eq!(client(list, "10.1.1.1", &["for=198.51.100.1"]), "10.1.1.1");
        assert_eq!(client(list, "10.1.1.1", &["198.51.100.1:4711"]), "198.51.100.1");
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
