//! String formats: what `format` means in a schema, how it is checked and how it is called in messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{cron, duration};

/// One format.
pub(super) struct Format {
    name: &'static str,
    /// Completes "should be …".
    pub expected: &'static str,
    pub accepts: fn(&str) -> bool,
    /// A fix for what is not accepted, where one can be guessed.
    pub fix: fn(&str) -> Option<String>,
    /// What can take the place of a required value that is mistaken, for rules about other values.
    pub stand_in: Option<&'static str>,
}

/// The format of that name; `None` for names that only describe, such as `uint16`.
pub(super) fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

const FORMATS: &[Format] = &[
    Format {
        name: "ip",
        expected: "an IP address such as 192.168.18.201",
        accepts: |text| text.parse::<IpAddr>().is_ok(),
        fix: without_prefix,
        stand_in: None,
    },
    Format {
        name: "ipv4",
        expected: "an IPv4 address such as 192.168.18.201",
        accepts: |text| text.parse::<Ipv4Addr>().is_ok(),
        fix: |text| without_prefix(text).or_else(|| address_of(text)),
        stand_in: Some("0.0.0.0"),
    },
    Format {
        name: "ipv6",
        expected: "an IPv6 address such as fd00::1",
        accepts: |text| text.parse::<Ipv6Addr>().is_ok(),
        fix: without_prefix,
        stand_in: None,
    },
    Format {
        name: "network",
        expected: "a network such as 10.244.0.0/16",
        accepts: |text| text.parse::<IpNet>().is_ok_and(|network| network.trunc() == network),
        fix: whole_network,
        stand_in: None,
    },
    Format {
        name: "ipv4-network",
        expected: "an IPv4 network such as 10.244.0.0/16",
        accepts: |text| text.parse::<Ipv4Net>().is_ok_and(|network| network.trunc() == network),
        fix: whole_network,
        stand_in: None,
    },
    Format {
        name: "ipv4-range",
        expected: "an IPv4 network or range such as 192.168.18.230-192.168.18.239",
        accepts: |text| ipv4_range(text).is_some(),
        fix: whole_network,
        stand_in: None,
    },
    Format {
        name: "dns-label",
        expected: "a name of lower-case letters, digits and inner hyphens, at most 63 of them (RFC 1123)",
        accepts: is_dns_label,
        fix: as_dns_label,
        stand_in: Some("mistaken"),
    },
    Format {
        name: "mode",
        expected: "three or four octal digits such as \"0644\"",
        accepts: |text| (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7')),
        fix: |_| None,
        stand_in: None,
    },
    Format {
        name: "host",
        expected: "an IP address or a DNS name such as api.example.lan",
        accepts: |text| text.parse::<IpAddr>().is_ok() || is_dns_name(text),
        fix: without_prefix,
        stand_in: None,
    },
    Format {
        name: "jump-host",
        expected: "a jump host such as bastion.example.lan or admin@10.0.0.1:2222",
        accepts: is_jump_host,
        fix: |text| text.contains(',').then(|| String::from("write several as a list")),
        stand_in: None,
    },
    Format {
        name: "cron",
        expected: "a schedule of minute, hour, day of the month, month and day of the week such as \"0 2 * * *\"",
        accepts: |text| cron::mistake(text).is_none(),
        fix: cron::mistake,
        stand_in: None,
    },
    Format {
        name: "hours-or-duration",
        expected: "a time such as 8h or 30m, or whole hours such as 8",
        accepts: |text| duration::is_whole(text) || duration::is_duration(text),
        fix: |_| None,
        stand_in: None,
    },
    Format {
        name: "version",
        expected: "a version of three numbers such as 1.20.2",
        accepts: |text| semver::Version::parse(text).is_ok(),
        fix: |text| {
            let bare = text.strip_prefix('v').unwrap_or(text);
            if semver::Version::parse(bare).is_ok() {
                return Some(format!("write it without the `v`: \"{bare}\""));
            }
            let whole = format!("{bare}.0");
            let minor = semver::Version::parse(&whole).is_ok();
            minor.then(|| format!("write three numbers in quotes, such as \"{whole}\""))
        },
        stand_in: Some("0.0.0"),
    },
];

/// The first and the last address of `A.B.C.D/N` without host bits, or of `A.B.C.D-E.F.G.H`.
pub fn ipv4_range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first <= last).then_some((first, last));
    }
    let network: Ipv4Net = text.parse().ok()?;
    (network.trunc() == network).then(|| (network.network(), network.broadcast()))
}

/// RFC 1123 with the length limit of RFC 1035: what Kubernetes asks of a name.
fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn as_dns_label(text: &str) -> Option<String> {
    to_dns_label(text).map(|candidate| format!("`{candidate}` would do"))
}

/// The name that is nearest to a text and fit for a host, if there is one.
pub fn to_dns_label(text: &str) -> Option<String> {
    let candidate = text.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    is_dns_label(&candidate).then_some(candidate)
}

/// Labels joined by dots; the last one is not a number, so that a mistyped address is not taken for a name.
fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(is_dns_label)
        && text.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_err())
}

/// `[USER@]HOST[:PORT]`. The host may be an alias of an ssh_config, which takes more than DNS does; but nothing that
/// ssh or a shell could take for something else.
fn is_jump_host(text: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        !name.is_empty() && !name.starts_with('-') && name.chars().all(plain)
    };
    let (user, server) = text.rsplit_once('@').map_or((None, text), |(user, server)| (Some(user), server));
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').unwrap_or_default();
            (address.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (name, port) = server.split_at(server.find(':').unwrap_or(server.len()));
            (is_name(name), port)
        }
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    host && user.is_none_or(is_name) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn without_prefix(text: &str) -> Option<String> {
    let network: IpNet = text.parse().ok()?;
    Some(format!("an address has no prefix length: write {}", network.addr()))
}

fn address_of(text: &str) -> Option<String> {
    let named = text.contains('.') && is_dns_name(text);
    named.then(|| {
        format!("a name is no address: write the one that it leads to, see `getent ahostsv4 {text}`")
    })
}

fn whole_network(text: &str) -> Option<String> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(format!("{text} is an address inside a network: the network is {}", network.trunc()));
    }
    let address: IpAddr = text.parse().ok()?;
    Some(format!("add the length of the prefix, such as {address}/16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        for (name, good, bad) in [
            ("ip", &["10.0.0.1", "fd00::1"][..], &["10.0.0", "10.0.0.1/24", "a"][..]),
            ("ipv4", &["10.0.0.1"], &["fd00::1", "10.0.0.256", "010.0.0.1", ""]),
            ("ipv6", &["fd00::1"], &["10.0.0.1"]),
            ("network", &["10.0.0.0/8", "fd00::/8"], &["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33"]),
            ("ipv4-network", &["0.0.0.0/0", "10.244.0.0/16"], &["fd00::/8", "10.244.1.0/16"]),
            ("dns-label", &["a", "w1", "a-b", "1"], &["", "A", "a_b", "-a", "a-", "a.b", "é"]),
            ("host", &["10.0.0.1", "api.example.lan", "cp1", "1a.b"], &["10.0.0.256", "a..b", "a b", "Api"]),
            (
                "jump-host",
                &["b", "Bastion_1", "admin@b.example:22", "10.0.0.1:2222", "u.v@[fd00::1]", "[fd00::1]:22"],
                &[
                    "",
                    "a b",
                    "-o",
                    "u@",
                    "@b",
                    "b:",
                    "b:0",
                    "b:65536",
                    "a,b",
                    "$(b)",
                    "[b]",
                    "[fd00::1]22",
                    "none of",
                ],
            ),
            ("mode", &["644", "0644", "4755"], &["u=rw", "64", "0888", "00644", ""]),
            ("cron", &["0 2 * * *"], &["0 2 * *", "daily"]),
            (
                "hours-or-duration",
                &["8", "8h", "1h30m", "0.5h", "100ms"],
                &["", "h", "1d", "8 hours", "-1h", "0.5", "1h30"],
            ),
            ("version", &["1.20.2", "1.36.0-rc.1"], &["1.20", "v1.20.2", "latest", "1.20.02"]),
        ] {
            let format = named(name).expect(name);
            for text in good {
                assert!((format.accepts)(text), "{name} refuses {text:?}");
            }
            for text in bad {
                assert!(!(format.accepts)(text), "{name} accepts {text:?}");
            }
        }
        assert!(!is_dns_label(&"a".repeat(64)));
        assert!(is_dns_label(&"a".repeat(63)));
    }

    #[test]
    fn what_stands_in_is_accepted() {
        for format in FORMATS {
            assert!(format.stand_in.is_none_or(|text| (format.accepts)(text)), "{}", format.name);
        }
    }

    #[test]
    fn fixes_are_offered_where_they_can_be_guessed() {
        let fix = |name, text| (named(name).expect(name).fix)(text);
        assert_eq!(fix("version", "v1.20.2").as_deref(), Some("write it without the `v`: \"1.20.2\""));
        assert_eq!(fix("dns-label", "Node_1").as_deref(), Some("`node-1` would do"));
        assert_eq!(
            fix("ipv4-network", "10.244.1.0/16").as_deref(),
            Some("10.244.1.0/16 is an address inside a network: the network is 10.244.0.0/16")
        );
        assert_eq!(
            fix("ipv4", "10.0.0.1/24").as_deref(),
            Some("an address has no prefix length: write 10.0.0.1")
        );
        assert!(
            fix("ipv4", "cp1.example.lan").is_some_and(|fix| fix.contains("getent ahostsv4 cp1.example.lan"))
        );
        assert_eq!(fix("ipv4", "10.0.0.300"), None);
        for minor in ["1.20", "v1.20"] {
            assert_eq!(
                fix("version", minor).as_deref(),
                Some("write three numbers in quotes, such as \"1.20.0\"")
            );
        }
        assert_eq!(fix("version", "latest"), None);
        assert_eq!(fix("version", "1"), None);
    }
}
