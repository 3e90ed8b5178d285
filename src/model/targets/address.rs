//! What an address is, as far as it decides whether a request may go there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address is that is refused unless a rule opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// This host or this network: on most systems a way to the machine itself.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// A private network: RFC 1918, unique and site-local addresses, and those that providers share (100.64.0.0/10).
    Private,
    /// The network at hand.
    LinkLocal,
    /// Where clouds tell machines their credentials.
    Metadata,
    /// Many hosts.
    Multicast,
    /// All hosts of a network.
    Broadcast,
    /// For texts.
    Documentation,
    /// For measurements between devices.
    Benchmark,
    /// For nobody, or for protocols of the network itself.
    Reserved,
}

impl AddressClass {
    /// The word of a sentence that begins with the address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a metadata service",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "for documentation",
            Self::Benchmark => "for benchmarks",
            Self::Reserved => "reserved",
        }
    }

    /// What an address is; `None`: a public one. What it carries is another question ([`carried`]).
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

/// By the registry of special addresses (RFC 6890). The first one counts that holds an address.
const V4: [(Ipv4Net, AddressClass); 21] = [
    (v4(169, 254, 169, 254, 32), AddressClass::Metadata),
    // Of containers and of pods at Amazon.
    (v4(169, 254, 170, 2, 32), AddressClass::Metadata),
    (v4(169, 254, 170, 23, 32), AddressClass::Metadata),
    // Alibaba's and Azure's: the latter looks like a public one.
    (v4(100, 100, 100, 200, 32), AddressClass::Metadata),
    (v4(168, 63, 129, 16, 32), AddressClass::Metadata),
    (v4(0, 0, 0, 0, 8), AddressClass::Unspecified),
    (v4(127, 0, 0, 0, 8), AddressClass::Loopback),
    (v4(10, 0, 0, 0, 8), AddressClass::Private),
    (v4(172, 16, 0, 0, 12), AddressClass::Private),
    (v4(192, 168, 0, 0, 16), AddressClass::Private),
    (v4(100, 64, 0, 0, 10), AddressClass::Private),
    (v4(169, 254, 0, 0, 16), AddressClass::LinkLocal),
    (v4(192, 0, 2, 0, 24), AddressClass::Documentation),
    (v4(198, 51, 100, 0, 24), AddressClass::Documentation),
    (v4(203, 0, 113, 0, 24), AddressClass::Documentation),
    (v4(198, 18, 0, 0, 15), AddressClass::Benchmark),
    (v4(192, 0, 0, 0, 24), AddressClass::Reserved),
    (v4(192, 88, 99, 0, 24), AddressClass::Reserved),
    (v4(224, 0, 0, 0, 4), AddressClass::Multicast),
    (v4(255, 255, 255, 255, 32), AddressClass::Broadcast),
    (v4(240, 0, 0, 0, 4), AddressClass::Reserved),
];

/// The same for IPv6. What no line holds is public only within 2000::/3.
const V6: [(Ipv6Net, AddressClass); 12] = [
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), AddressClass::Metadata),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), AddressClass::Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), AddressClass::Loopback),
    (v6(0xfc00, 0, 0, 7), AddressClass::Private),
    (v6(0xfec0, 0, 0, 10), AddressClass::Private),
    // NAT64 of a network of one's own: where it leads, only that network knows.
    (v6(0x64, 0xff9b, 1, 48), AddressClass::Private),
    (v6(0xfe80, 0, 0, 10), AddressClass::LinkLocal),
    (v6(0xff00, 0, 0, 8), AddressClass::Multicast),
    (v6(0x2001, 0xdb8, 0, 32), AddressClass::Documentation),
    (v6(0x3fff, 0, 0, 20), AddressClass::Documentation),
    (v6(0x2001, 2, 0, 48), AddressClass::Benchmark),
    (v6(0x2001, 0, 0, 23), AddressClass::Reserved),
];

const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 32);
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const COMPATIBLE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96);
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
const TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96);

fn of_v4(address: Ipv4Addr) -> Option<AddressClass> {
    V4.iter().find(|(net, _)| net.contains(&address)).map(|&(_, class)| class)
}

fn of_v6(address: Ipv6Addr) -> Option<AddressClass> {
    let known = V6.iter().find(|(net, _)| net.contains(&address)).map(|&(_, class)| class);
    known.or((!GLOBAL_V6.contains(&address)).then_some(AddressClass::Reserved))
}

/// The IPv4 addresses that an IPv6 address carries: one goes there who goes to it. Empty for those that carry none.
///
/// Teredo carries two, its server and its client.
pub(super) fn carried(address: IpAddr) -> impl Iterator<Item = IpAddr> + Clone {
    let IpAddr::V6(address) = address else { return [None, None].into_iter().flatten() };
    let bits = address.to_bits();
    let at = |shift: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(low_32(bits >> shift))));
    let found = if address.is_unspecified() || address.is_loopback() {
        [None, None]
    } else if [MAPPED, COMPATIBLE, TRANSLATED, NAT64].iter().any(|net| net.contains(&address)) {
        [at(0), None]
    } else if SIX_TO_FOUR.contains(&address) {
        [at(80), None]
    } else if TEREDO.contains(&address) {
        [at(64), Some(IpAddr::V4(Ipv4Addr::from_bits(!low_32(bits))))]
    } else {
        [None, None]
    };
    found.into_iter().flatten()
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
fn low_32(bits: u128) -> u32 {
    bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_address_has_its_class_and_its_neighbours_have_none() {
        let class = |text: &str| AddressClass::of(text.parse().unwrap()).map_or("public", AddressClass::as_str);

        for (addresses, expected) in [
            ("0.0.0.0 0.255.255.255 ::", "unspecified"),
            ("127.0.0.1 127.255.255.255 ::1", "loopback"),
            ("10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255", "private"),
            ("100.64.0.0 100.127.255.255 fc00:: fdff:: fec0:: feff:: 64:ff9b:1::1", "private"),
            ("169.254.0.0 169.254.255.255 fe80:: febf::", "link-local"),
            ("169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 fd00:ec2::254", "a metadata service"),
            ("224.0.0.1 239.255.255.255 ff00:: ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff:fff::1", "for documentation"),
            ("198.18.0.0 198.19.255.255 2001:2::1", "for benchmarks"),
            ("192.0.0.8 192.88.99.1 240.0.0.0 255.255.255.254 100::1 5f00::1 4000::1 2001:10::1", "reserved"),
            ("1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0", "public"),
            ("169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255", "public"),
            ("192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2001:db9::1 2606::1", "public"),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(class(address), expected, "{address}");
            }
        }
    }

    #[test]
    fn an_address_of_ipv6_tells_the_one_of_ipv4_that_it_carries() {
        let carries = |text: &str| -> Vec<String> {
            carried(text.parse().unwrap()).map(|address: IpAddr| address.to_string()).collect()
        };

        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::1",
            "2002:7f00:1:9:a::b",
        ] {
            assert_eq!(carries(text), ["127.0.0.1"], "{text}");
        }
        // The client's is written with each bit turned.
        assert_eq!(carries("2001:0:a9fe:a9fe:0:0:80ff:fffe"), ["169.254.169.254", "127.0.0.1"]);
        for text in ["127.0.0.1", "::1", "::", "2606::7f00:1", "fe80::7f00:1", "64:ff9b:1::7f00:1"] {
            assert!(carries(text).is_empty(), "{text}");
        }
    }
}
