//! Which machine to connect to, on which way, as whom, and how much to trust.

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;

/// A machine to connect to over SSH, with everything decided. [`Resolver`](super::Resolver) makes one of what an
/// inventory and OpenSSH's configuration say.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name the inventory gives it; a jump host's is the one it is reached by.
    pub name: String,
    /// DNS name or IP address, as seen from the last jump host when there is one.
    pub address: String,
    pub port: u16,
    pub user: String,
    /// The name it is looked up under in known_hosts, and that a certificate of its key must be valid for, when that
    /// is not the address.
    pub host_key_alias: Option<String>,
    /// Private keys to log in with; beside each its certificate, in `KEY-cert.pub`. When empty: `id_ed25519`,
    /// `id_ecdsa` and `id_rsa` of `~/.ssh` that exist.
    pub keys: Vec<PathBuf>,
    /// Whether `keys` are those of ssh_config: then one that cannot be used is passed over, as ssh does, and the usual
    /// ones are not tried, not even when there is none. Otherwise somebody wants just these, and they must do.
    pub keys_are_configured: bool,
    /// Further certificates for these keys and those of the agent.
    pub certificates: Vec<PathBuf>,
    /// Whether keys of the agent are used only when they are among `keys`.
    pub only_these_keys: bool,
    pub agent: Agent,
    /// The password to log in with, should no key do. When absent it comes from `HOIST_SSH_PASSWORD`, or is asked for.
    pub password: Option<SecretString>,
    /// Not used of jump hosts, where nothing is run.
    pub r#become: Become,
    /// Where host keys are looked up.
    pub known_hosts: Vec<PathBuf>,
    /// A file of public keys, one a line, that no host may have nor sign with (`RevokedHostKeys` of ssh_config).
    pub revoked_keys: Option<PathBuf>,
    pub route: Route,
    /// The Linux network namespace (a name in `/run/netns`) to connect from, when not that of this process. Only the
    /// first of several machines on the way is connected to from here.
    pub network_namespace: Option<String>,
    /// The most time for each step of connecting: TCP, key exchange, one login attempt, starting the shell.
    pub connect_timeout: Duration,
    /// After this long without a sign of life the host is asked for one; after three such questions without an
    /// answer the connection counts as lost.
    pub keepalive: Duration,
}

/// What carries the bytes to a target.
#[derive(Debug, Clone, Default)]
pub enum Route {
    /// A TCP connection.
    #[default]
    Direct,
    /// A connection from this machine, which may itself be behind another. All targets behind the same one share its
    /// connection.
    Jump(Arc<Target>),
    /// The standard input and output of this command for `sh`.
    Command(String),
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
    /// By `sudo`. When sudo wants a password and this is none, it comes from `HOIST_SUDO_PASSWORD`, or is asked for.
    Sudo { password: Option<SecretString> },
}

impl Become {
    /// What a user needs of whom nothing is said.
    pub fn of(user: &str) -> Become {
        if user == "root" { Become::Root } else { Become::Sudo { password: None } }
    }
}

impl Target {
    /// The default of [`Target::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
    /// The default of [`Target::keepalive`].
    pub const KEEPALIVE: Duration = Duration::from_secs(15);

    /// A target with the defaults of OpenSSH: port 22, keys and known hosts of `~/.ssh`, agent if there is one.
    pub fn new(name: impl Into<String>, address: impl Into<String>, user: impl Into<String>) -> Target {
        let user = user.into();
        let r#become = Become::of(&user);
        Target {
            name: name.into(),
            address: address.into(),
            port: 22,
            user,
            host_key_alias: None,
            keys: Vec::new(),
            keys_are_configured: false,
            certificates: Vec::new(),
            only_these_keys: false,
            agent: Agent::Auto,
            password: None,
            r#become,
            known_hosts: default_known_hosts(),
            revoked_keys: None,
            route: Route::Direct,
            network_namespace: None,
            connect_timeout: Target::CONNECT_TIMEOUT,
            keepalive: Target::KEEPALIVE,
        }
    }

    /// The jump hosts on the way, the first one first.
    pub fn jumps(&self) -> Vec<&Target> {
        match &self.route {
            Route::Jump(hop) => hop.jumps().into_iter().chain([&**hop]).collect(),
            Route::Direct | Route::Command(_) => Vec::new(),
        }
    }

    /// Name and port under which known_hosts have it. An alias stands there without a port, as OpenSSH writes it.
    pub(crate) fn recorded_as(&self) -> (&str, u16) {
        match &self.host_key_alias {
            Some(alias) => (alias, 22),
            None => (&self.address, self.port),
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
    [user_known_hosts(), global_known_hosts()].concat()
}

/// The user's own file of host keys.
pub(super) fn user_known_hosts() -> Vec<PathBuf> {
    std::env::home_dir().map(|home| home.join(".ssh/known_hosts")).into_iter().collect()
}

/// The machine's.
pub(super) fn global_known_hosts() -> Vec<PathBuf> {
    vec!["/etc/ssh/ssh_known_hosts".into()]
}
