//! Jump hosts as people write them.

use std::fmt;

use super::target::endpoint;

/// `[USER@]HOST[:PORT]`, with brackets around IPv6 addresses; or the same as a URI, as OpenSSH takes it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// What a shell could take for something else, and what separates the parts.
const UNUSABLE: &str = "@/[]'\"`$\\;&<>|(){},";

impl Hop {
    /// Nothing when the text is not of that form.
    pub(super) fn parse(text: &str) -> Option<Hop> {
        let text = text.strip_prefix("ssh://").map_or(text, |uri| uri.trim_end_matches('/'));
        let (user, server) = match text.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_owned()), server),
            None => (None, text),
        };
        let (host, port) = match server.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None if server.matches(':').count() > 1 => (server, ""),
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?),
        };
        let usable = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && !text.contains(|c: char| c.is_whitespace() || c.is_control() || UNUSABLE.contains(c))
        };
        let valid = usable(host) && user.as_deref().is_none_or(usable);
        valid.then(|| Hop { user, host: host.to_owned(), port })
    }
}

/// Without the user: as it is called in messages.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => f.write_str(&endpoint(&self.host, port)),
            None => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops() {
        for (text, user, host, port) in [
            ("bastion", None, "bastion", None),
            ("bastion.example.lan:2222", None, "bastion.example.lan", Some(2222)),
            ("admin@bastion", Some("admin"), "bastion", None),
            ("a.b@10.0.0.1:22", Some("a.b"), "10.0.0.1", Some(22)),
            ("[fd00::1]:2222", None, "fd00::1", Some(2222)),
            ("admin@[fd00::1]", Some("admin"), "fd00::1", None),
            ("fd00::1", None, "fd00::1", None),
            ("ssh://admin@bastion:22/", Some("admin"), "bastion", Some(22)),
        ] {
            let hop = Hop { user: user.map(str::to_owned), host: host.into(), port };
            assert_eq!(Hop::parse(text), Some(hop), "{text}");
        }
        for text in [
            "",
            "@h",
            "u@",
            "h:",
            "h:x",
            "h:0",
            "h:65536",
            "[::1",
            "[::1]22",
            "-oProxyCommand=x",
            "u@-h",
            "a b",
            "h;x",
            "a,b",
            "$(x)",
            "u@h@",
            "http://h",
        ] {
            assert_eq!(Hop::parse(text), None, "{text}");
        }
    }
}
