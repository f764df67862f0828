//! Which addresses may be fetched from, where somebody else says what is fetched.
//!
//! Whoever may write an address into a file could have the gateway ask what only the gateway can reach: another service of its
//! machine, the network behind it, the cloud's metadata. So nothing passes but globally reachable unicast addresses, asked
//! encrypted, and what a key of the configuration names. An address that carries another one in it (IPv4-mapped, NAT64) is
//! judged by that one; other such forms (IPv4-compatible, 6to4, Teredo) are of no use any more and pass not at all. Cloud
//! metadata, multicast and what is no address of a host pass never, whatever is named.
//!
//! The table is IANA's special-purpose registries as of 2026, with what stands outside of global unicast in IPv6. Knows no
//! names and opens nothing: [`remote::Fetcher`] asks it about every address before it connects to it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

/// A network: the addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// It is no address, or the number of its bits is none.
    #[error("it is no network")]
    Unreadable,
    /// It has bits after those that all its addresses share.
    #[error("it has bits beyond its first {0}")]
    BitsBeyond(u8),
}

/// Never passed: metadata of clouds, and what is no address of a host.
const NEVER: [(Network, &str); 11] = [
    (v4([0, 0, 0, 0], 8), "of this network itself (RFC 791)"),
    // AWS, Azure, Google and most others; AWS's containers at 169.254.170.2.
    (v4([169, 254, 0, 0], 16), "link-local (RFC 3927), where clouds keep their metadata"),
    (v4([168, 63, 129, 16], 32), "Azure's metadata"),
    (v4([100, 100, 100, 200], 32), "Alibaba's metadata"),
    (v4([192, 0, 0, 192], 32), "Oracle's metadata"),
    (v4([224, 0, 0, 0], 4), "multicast (RFC 1112)"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified (RFC 4291)"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local (RFC 4291)"),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), "AWS's metadata"),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), "Google's metadata"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast (RFC 4291)"),
];

/// Passed only where they are named.
const SPECIAL: [(Network, &str); 25] = [
    (v4([10, 0, 0, 0], 8), "private (RFC 1918)"),
    (v4([100, 64, 0, 0], 10), "shared by a provider's customers (RFC 6598)"),
    (v4([127, 0, 0, 0], 8), "loopback (RFC 1122)"),
    (v4([172, 16, 0, 0], 12), "private (RFC 1918)"),
    (v4([192, 0, 0, 0], 24), "kept for protocols (RFC 6890)"),
    (v4([192, 0, 2, 0], 24), "for documentation (RFC 5737)"),
    (v4([192, 88, 99, 0], 24), "a relay of 6to4 (RFC 7526)"),
    (v4([192, 168, 0, 0], 16), "private (RFC 1918)"),
    (v4([198, 18, 0, 0], 15), "for benchmarks (RFC 2544)"),
    (v4([198, 51, 100, 0], 24), "for documentation (RFC 5737)"),
    (v4([203, 0, 113, 0], 24), "for documentation (RFC 5737)"),
    (v4([240, 0, 0, 0], 4), "reserved (RFC 1112)"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback (RFC 4291)"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible (RFC 4291)"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a local translation to IPv4 (RFC 8215)"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discarded (RFC 6666)"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo (RFC 4380)"),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "for benchmarks (RFC 5180)"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "kept for protocols (RFC 2928)"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation (RFC 3849)"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4 (RFC 3056)"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "for documentation (RFC 9637)"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "a segment identifier (RFC 9602)"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local (RFC 4193)"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local (RFC 3879)"),
];

/// All that is handed out of IPv6 so far.
const GLOBAL_UNICAST: Network = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Addresses of IPv4 within IPv6: in a socket, and behind a translator.
const MAPPED: Network = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const TRANSLATED: Network = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// A guard of addresses that lets these networks through besides. `key` is that of the configuration that names them, for whoever
/// has to change it.
pub fn guard(named: Vec<Network>, key: &'static str) -> remote::Guard {
    Arc::new(move |address, encrypted| passes(address, encrypted, &named, key))
}

fn passes(address: IpAddr, encrypted: bool, named: &[Network], key: &str) -> Result<(), String> {
    let meant = meant(address);
    let among = |table: &[(Network, &'static str)]| {
        table.iter().find(|(network, _)| network.contains(meant)).map(|(_, what)| *what)
    };
    if let Some(what) = among(&NEVER) {
        return Err(format!("the address {address} is {what}, and is never asked"));
    }
    if named.iter().any(|network| network.contains(meant)) {
        return Ok(());
    }
    let beyond = || (meant.is_ipv6() && !GLOBAL_UNICAST.contains(meant)).then_some("not handed out to anybody");
    if let Some(what) = among(&SPECIAL).or_else(beyond) {
        return Err(format!("the address {address} is {what}, and in no network of `{key}`"));
    }
    if !encrypted {
        return Err(format!(
            "anybody on the way to {address} could answer an `http` address; use `https`, or name its network in `{key}`"
        ));
    }
    Ok(())
}

/// The address that a connection ends at.
fn meant(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) if MAPPED.contains(address) || TRANSLATED.contains(address) => {
            IpAddr::V4(Ipv4Addr::from_bits((six.to_bits() & u128::from(u32::MAX)) as u32))
        }
        other => other,
    }
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

const fn v4(address: [u8; 4], bits: u8) -> Network {
    let [a, b, c, d] = address;
    Network { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6(address: [u16; 8], bits: u8) -> Network {
    let [a, b, c, d, e, f, g, h] = address;
    Network { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// `10.1.0.0/16`, or one address.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Unreadable)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // A plain number only, without a sign.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| NotANetwork::Unreadable)?
            }
            Some(_) => return Err(NotANetwork::Unreadable),
            None => most,
        };
        if bits > most {
            return Err(NotANetwork::Unreadable);
        }
        let beyond = match address {
            IpAddr::V4(address) => address.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
            IpAddr::V6(address) => address.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
        };
        if beyond { Err(NotANetwork::BitsBeyond(bits)) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str, named: &[&str]) -> Result<(), String> {
        let named: Vec<Network> = named.iter().map(|network| network.parse().unwrap()).collect();
        guard(named, "a.key")(address.parse().unwrap(), true)
    }

    /// A range that does not pass, its first and last address, and what passes beside it: none where its neighbour is another
    /// such range.
    type Range = (&'static str, &'static str, &'static str, Option<&'static str>, Option<&'static str>);

    const RANGES: [Range; 41] = [
        ("this network", "0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
        ("private", "10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
        ("shared", "100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
        ("loopback", "127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
        ("Azure", "168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17")),
        ("link-local", "169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
        ("metadata", "169.254.169.254", "169.254.169.254", None, None),
        ("private", "172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
        ("protocols", "192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
        ("documentation", "192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
        ("6to4 relay", "192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
        ("private", "192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
        ("benchmarks", "198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
        ("documentation", "198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
        ("documentation", "203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
        ("multicast", "224.0.0.0", "239.255.255.255", Some("223.255.255.255"), None),
        ("reserved", "240.0.0.0", "255.255.255.255", None, None),
        ("unspecified", "::", "::", None, None),
        ("loopback", "::1", "::1", None, None),
        ("compatible", "::0.0.0.2", "::255.255.255.255", None, None),
        (
            "mapped private",
            "::ffff:10.0.0.0",
            "::ffff:10.255.255.255",
            Some("::ffff:9.255.255.255"),
            Some("::ffff:11.0.0.0"),
        ),
        (
            "mapped loopback",
            "::ffff:127.0.0.0",
            "::ffff:127.255.255.255",
            Some("::ffff:8.8.8.8"),
            Some("::ffff:128.0.0.0"),
        ),
        ("mapped metadata", "::ffff:169.254.0.0", "::ffff:169.254.255.255", None, Some("::ffff:169.255.0.0")),
        (
            "NAT64 private",
            "64:ff9b::10.0.0.0",
            "64:ff9b::10.255.255.255",
            Some("64:ff9b::9.255.255.255"),
            Some("64:ff9b::11.0.0.0"),
        ),
        ("NAT64 metadata", "64:ff9b::169.254.0.0", "64:ff9b::169.254.255.255", Some("64:ff9b::8.8.8.8"), None),
        ("local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, None),
        ("discarded", "100::", "100::ffff:ffff:ffff:ffff", None, None),
        ("below global unicast", "64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::")),
        (
            "Teredo",
            "2001::",
            "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            None,
        ),
        ("benchmarks", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", None, None),
        ("protocols", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2001:200::")),
        (
            "documentation",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("2001:db7:ffff::"),
            Some("2001:db9::"),
        ),
        ("6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
        ("documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe:ffff::"), Some("3fff:1000::")),
        ("above global unicast", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::"), None),
        ("segments", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("unique local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("AWS", "fd00:ec2::254", "fd00:ec2::254", None, None),
        ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ];

    #[test]
    fn no_special_range_passes_at_either_end_and_what_lies_beside_it_does() {
        for (what, first, last, before, after) in RANGES {
            for address in [first, last] {
                let refused = asked(address, &[]).expect_err(address);
                assert!(refused.contains(&address.parse::<IpAddr>().unwrap().to_string()), "{what}: {refused}");
            }
            for address in [before, after].into_iter().flatten() {
                assert_eq!(asked(address, &[]), Ok(()), "{what}: {address}");
            }
        }
        for address in ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::8.8.8.8", "2a00:1450::1"] {
            assert_eq!(asked(address, &[]), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_named_passes_and_nothing_beside_it_and_metadata_never() {
        let named = ["10.1.0.0/16", "fd00:1::/32", "127.0.0.1"];
        for address in
            ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1:ffff::1", "127.0.0.1"]
        {
            assert_eq!(asked(address, &named), Ok(()), "{address}");
        }
        for address in ["10.0.255.255", "10.2.0.0", "::ffff:10.2.0.0", "fd00:2::", "127.0.0.2", "::1"] {
            let refused = asked(address, &named).expect_err(address);
            assert!(refused.contains("in no network of `a.key`"), "{refused}");
        }
        let all = ["0.0.0.0/0", "::/0"];
        assert_eq!((asked("10.0.0.1", &all), asked("::1", &all)), (Ok(()), Ok(())));
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(asked(address, &all).expect_err(address).ends_with("and is never asked"), "{address}");
        }
    }

    #[test]
    fn only_what_is_named_is_asked_unencrypted() {
        let guard = guard(vec!["10.1.0.0/16".parse().unwrap()], "a.key");
        assert_eq!(guard("10.1.2.3".parse().unwrap(), false), Ok(()));
        let refused = guard("8.8.8.8".parse().unwrap(), false).unwrap_err();
        assert!(refused.contains("use `https`, or name its network in `a.key`"), "{refused}");
    }

    #[test]
    fn a_network_is_read_strictly_and_printed_as_it_was_written() {
        for text in ["10.1.0.0/16", "0.0.0.0/0", "::/0", "fd00::/8", "127.0.0.1/32", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.7".parse::<Network>().unwrap().to_string(), "10.0.0.7/32");
        for text in [
            "",
            "10.1/16",
            "10.1.0.0/33",
            "::/129",
            "10.1.0.0/",
            "10.1.0.0/+8",
            "10.1.0.0/-1",
            "10.1.0.0/999",
            "example.com",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Unreadable), "{text}");
        }
        assert_eq!("10.1.0.0/8".parse::<Network>(), Err(NotANetwork::BitsBeyond(8)));
        assert_eq!("fd00::1/64".parse::<Network>(), Err(NotANetwork::BitsBeyond(64)));
    }
}
