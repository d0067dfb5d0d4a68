//! Which machine to connect to, as whom, and how much to trust.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

/// A machine to connect to over SSH.
///
/// The place for what is not supported yet: jump hosts and `~/.ssh/config` change what is dialled and with what,
/// and so become fields here that `ssh::connect` reads.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name the inventory gives it.
    pub name: String,
    /// DNS name or IP address; also the name it is looked up under in known_hosts.
    pub address: String,
    pub port: u16,
    pub user: String,
    /// Private keys to log in with. When empty: `id_ed25519`, `id_ecdsa` and `id_rsa` of `~/.ssh` that exist.
    pub keys: Vec<PathBuf>,
    pub agent: Agent,
    pub r#become: Become,
    /// Where host keys are looked up.
    pub known_hosts: Vec<PathBuf>,
    /// The Linux network namespace (a name in `/run/netns`) to connect from, when not that of this process.
    pub network_namespace: Option<String>,
    /// The most time for each step of connecting: TCP, key exchange, one login attempt, starting the shell.
    pub connect_timeout: Duration,
    /// After this long without a sign of life the host is asked for one; after three such questions without an
    /// answer the connection counts as lost.
    pub keepalive: Duration,
}

/// Which ssh-agent to ask for keys.
#[derive(Debug, Clone, Default)]
pub enum Agent {
    /// The one that `SSH_AUTH_SOCK` names, if it answers.
    #[default]
    Auto,
    /// None.
    Off,
    /// The one at this socket.
    Socket(PathBuf),
}

/// How the login becomes root.
#[derive(Debug, Clone)]
pub enum Become {
    /// The user is root already.
    Root,
    /// By `sudo`: with this password, or without asking for any.
    Sudo { password: Option<SecretString> },
}

impl Target {
    /// A target with the defaults of OpenSSH: port 22, keys and known hosts of `~/.ssh`, agent if there is one.
    pub fn new(name: impl Into<String>, address: impl Into<String>, user: impl Into<String>) -> Target {
        let user = user.into();
        let r#become = if user == "root" { Become::Root } else { Become::Sudo { password: None } };
        Target {
            name: name.into(),
            address: address.into(),
            port: 22,
            user,
            keys: Vec::new(),
            agent: Agent::Auto,
            r#become,
            known_hosts: default_known_hosts(),
            network_namespace: None,
            connect_timeout: Duration::from_secs(15),
            keepalive: Duration::from_secs(15),
        }
    }

    /// The address with its port, as messages show it.
    pub(crate) fn endpoint(&self) -> String {
        endpoint(&self.address, self.port)
    }
}

/// `ADDRESS:PORT`, with brackets around IPv6 addresses.
pub(crate) fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Where OpenSSH looks up host keys: the user's file first, then the machine's.
pub fn default_known_hosts() -> Vec<PathBuf> {
    let user = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
    user.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
}
