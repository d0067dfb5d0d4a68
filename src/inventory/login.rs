//! How a host is reached, with everything decided.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Become, Host, Inventory, Ssh};

/// What the inventory says of how to log in to a host; paths are expanded. What it leaves open others may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub address: Ipv4Addr,
    pub port: Option<u16>,
    pub user: Option<String>,
    /// The file of the private key.
    pub key: Option<PathBuf>,
    pub becoming: Option<Become>,
    /// Jump hosts, the first one first; an empty list is none, whatever others say.
    pub jump: Option<Vec<String>>,
    pub known_hosts: Option<PathBuf>,
    /// OpenSSH's configuration; `none` is none.
    pub config: Option<PathBuf>,
    pub connect_timeout: Option<Duration>,
    pub keepalive: Option<Duration>,
    /// The network namespace to connect from; the current one when absent.
    pub network_namespace: Option<String>,
}

impl Inventory {
    /// How to reach a host: its own settings, then the inventory's. `home` is what `~` stands for.
    pub fn login(&self, host: &Host, home: &Path) -> Login {
        let path = |field: fn(&Ssh) -> Option<&Path>| {
            pick(&host.ssh, &self.ssh, field).map(|path| expand_home(path, home))
        };
        let seconds = |field: fn(&Ssh) -> Option<&u32>| {
            pick(&host.ssh, &self.ssh, field).map(|seconds| Duration::from_secs((*seconds).into()))
        };
        Login {
            address: host.address,
            port: pick(&host.ssh, &self.ssh, |ssh| ssh.port.as_ref()).copied(),
            user: pick(&host.ssh, &self.ssh, |ssh| ssh.user.as_ref()).cloned(),
            key: path(|ssh| ssh.key.as_deref()),
            becoming: pick(&host.ssh, &self.ssh, |ssh| ssh.becoming.as_ref()).copied(),
            jump: pick(&host.ssh, &self.ssh, |ssh| ssh.jump.as_ref()).map(|jump| jump.0.clone()),
            known_hosts: path(|ssh| ssh.known_hosts.as_deref()),
            config: path(|ssh| ssh.config.as_deref()),
            connect_timeout: seconds(|ssh| ssh.connect_timeout.as_ref()),
            keepalive: seconds(|ssh| ssh.keepalive.as_ref()),
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
    fn what_is_left_open_stays_open() {
        assert_eq!(
            login("{}", "{}"),
            Login {
                address: Ipv4Addr::new(10, 0, 0, 1),
                port: None,
                user: None,
                key: None,
                becoming: None,
                jump: None,
                known_hosts: None,
                config: None,
                connect_timeout: None,
                keepalive: None,
                network_namespace: None,
            }
        );
    }

    #[test]
    fn a_host_overrides_key_by_key() {
        let common = "{user: admin, port: 2222, key: ~/k, known_hosts: known, network_namespace: lab, jump: [a, b], \
                      config: ~/c, connect_timeout: 5, keepalive: 6, become: sudo}";
        let all = Login {
            address: Ipv4Addr::new(10, 0, 0, 1),
            port: Some(2222),
            user: Some("admin".into()),
            key: Some("/home/u/k".into()),
            becoming: Some(Become::Sudo),
            jump: Some(vec!["a".into(), "b".into()]),
            known_hosts: Some("known".into()),
            config: Some("/home/u/c".into()),
            connect_timeout: Some(Duration::from_secs(5)),
            keepalive: Some(Duration::from_secs(6)),
            network_namespace: Some("lab".into()),
        };
        assert_eq!(login(common, "{}"), all);
        assert_eq!(
            login(common, "{user: root, key: /etc/k, jump: none, config: none, keepalive: 60}"),
            Login {
                user: Some("root".into()),
                key: Some("/etc/k".into()),
                jump: Some(Vec::new()),
                config: Some("none".into()),
                keepalive: Some(Duration::from_secs(60)),
                ..all
            }
        );
    }

    #[test]
    fn only_a_leading_tilde_is_the_home() {
        for (path, expanded) in [("~", "/home/u"), ("~/a", "/home/u/a"), ("a/~/b", "a/~/b"), ("/a", "/a")] {
            assert_eq!(expand_home(Path::new(path), Path::new("/home/u")), Path::new(expanded), "{path}");
        }
    }
}
