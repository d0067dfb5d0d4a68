//! How a host is reached, with everything decided.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use super::{Become, Host, Inventory, Ssh};

/// What is needed to log in to a host; paths are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub address: Ipv4Addr,
    pub port: u16,
    pub user: String,
    /// The file of the private key.
    pub key: PathBuf,
    pub becoming: Become,
    pub known_hosts: PathBuf,
    /// The network namespace to connect from; the current one when absent.
    pub network_namespace: Option<String>,
}

impl Inventory {
    /// How to reach a host: its own settings, then the inventory's, then the defaults. `home` is what `~`
    /// stands for.
    pub fn login(&self, host: &Host, home: &Path) -> Login {
        let user = pick(&host.ssh, &self.ssh, |ssh| ssh.user.as_ref()).map_or("root", String::as_str);
        let key = pick(&host.ssh, &self.ssh, |ssh| ssh.key.as_deref());
        let known_hosts = pick(&host.ssh, &self.ssh, |ssh| ssh.known_hosts.as_deref());
        let becoming = pick(&host.ssh, &self.ssh, |ssh| ssh.becoming.as_ref());
        Login {
            address: host.address,
            port: pick(&host.ssh, &self.ssh, |ssh| ssh.port.as_ref()).copied().unwrap_or(22),
            user: user.to_owned(),
            key: expand_home(key.unwrap_or(Path::new("~/.ssh/id_ed25519")), home),
            becoming: becoming.copied().unwrap_or(if user == "root" { Become::Root } else { Become::Sudo }),
            known_hosts: expand_home(known_hosts.unwrap_or(Path::new("~/.ssh/known_hosts")), home),
            network_namespace: pick(&host.ssh, &self.ssh, |ssh| ssh.network_namespace.as_ref()).cloned(),
        }
    }
}

fn pick<'a, T: ?Sized>(
    own: &'a Ssh,
    common: &'a Ssh,
    field: impl Fn(&'a Ssh) -> Option<&'a T>,
) -> Option<&'a T> {
    field(own).or_else(|| field(common))
}

/// The path with a leading `~` replaced.
pub fn expand_home(path: &Path, home: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(ssh: &str, own: &str) -> Login {
        let text = format!(
            "cluster: {{name: a, kubernetes: 1.20.2}}\nssh: {ssh}\nhosts:\n  \
             a: {{address: 10.0.0.1, roles: [control-plane], ssh: {own}}}\n"
        );
        let inventory = crate::inventory::parse("test", &text).unwrap().inventory;
        inventory.login(&inventory.hosts["a"], Path::new("/home/u"))
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(
            login("{}", "{}"),
            Login {
                address: Ipv4Addr::new(10, 0, 0, 1),
                port: 22,
                user: "root".into(),
                key: "/home/u/.ssh/id_ed25519".into(),
                becoming: Become::Root,
                known_hosts: "/home/u/.ssh/known_hosts".into(),
                network_namespace: None,
            }
        );
    }

    #[test]
    fn a_host_overrides_key_by_key() {
        let common = "{user: admin, port: 2222, key: ~/k, known_hosts: known, network_namespace: lab}";
        let found = login(common, "{user: root, key: /etc/k}");
        assert_eq!(
            (found.user.as_str(), found.port, found.key.to_str(), found.becoming),
            ("root", 2222, Some("/etc/k"), Become::Root)
        );
        assert_eq!(
            (found.known_hosts.to_str(), found.network_namespace.as_deref()),
            (Some("known"), Some("lab"))
        );
        assert_eq!(login(common, "{}").becoming, Become::Sudo);
        assert_eq!(login(common, "{become: root}").becoming, Become::Root);
    }

    #[test]
    fn only_a_leading_tilde_is_the_home() {
        for (path, expanded) in [("~", "/home/u"), ("~/a", "/home/u/a"), ("a/~/b", "a/~/b"), ("/a", "/a")] {
            assert_eq!(expand_home(Path::new(path), Path::new("/home/u")), Path::new(expanded), "{path}");
        }
    }
}
