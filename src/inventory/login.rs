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
