//! What preflight asks of one host beyond its facts: one script, one typed result.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::Ipv4Net;

use crate::transport::{Error, Host, Script, quote};

/// What was seen of a host, beyond its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Kind and public key of each.
    pub ssh_host_keys: Vec<String>,
    /// Its name as an iSCSI initiator.
    pub iscsi: String,
    /// Its qualified name for NVMe over fabrics.
    pub nvme: String,
    /// The DUIDs that DHCP clients keep, as they write them.
    pub dhcp: Vec<String>,
    /// What its own name in the inventory resolves to there.
    pub own_name: Vec<IpAddr>,
    pub localhost: Vec<IpAddr>,
    /// What a name resolves to that exists nowhere.
    pub wildcard: Option<Lookup>,
    /// The name servers in /etc/resolv.conf.
    pub nameservers: Vec<String>,
    /// The search domains in /etc/resolv.conf.
    pub search: Vec<String>,
    /// What a comment in /etc/resolv.conf says of who writes it.
    pub resolv_author: String,
    /// The name servers that systemd-resolved asks.
    pub resolved: Vec<String>,
    /// The search domains that systemd-resolved knows.
    pub resolved_search: Vec<String>,
    pub disks: Vec<Disk>,
    /// Files and services that bring swap back at the next boot.
    pub swap_in: Vec<String>,
    /// Whether systemd is told to start no swap of its own units.
    pub swap_masked: bool,
    /// Kernel modules, and whether each is there or can be loaded.
    pub modules: Vec<(String, bool)>,
    /// Enabled cgroup controllers.
    pub controllers: Vec<String>,
    /// Whether the kernel filters system calls; `None` when it did not say.
    pub seccomp: Option<bool>,
    /// Whether the kernel describes its types (BTF).
    pub btf: Option<bool>,
    /// Whether SELinux enforces; `None` without SELinux.
    pub selinux: Option<bool>,
    /// How many connections the kernel keeps track of; `None` before it does so at all.
    pub conntrack: Option<u64>,
    /// Which of the units that matter are active; `None` when systemd did not answer.
    pub active: Option<Vec<String>>,
    /// Whether the kernel's clock is synchronised; `None` when systemd did not answer.
    pub synchronized: Option<bool>,
    /// Firewall programs that are switched on but no unit shows.
    pub firewalls: Vec<String>,
    /// Rules by which packets are dropped unless another rule lets them in.
    pub drops: Vec<String>,
    /// Rules that drop or reject packets.
    pub rules: Vec<String>,
    /// Tables of rules that the host has no program to read.
    pub unread: Vec<String>,
    /// By interface, and for `all`: whether packets are dropped whose answer would take another way (ip-sysctl,
    /// `rp_filter`): 1 is strict, 2 loose.
    pub reverse_path: Vec<(String, u8)>,
    /// What NetworkManager is told to keep its hands off.
    pub unmanaged: Vec<String>,
    /// Whether multipathd is told to keep its hands off some devices.
    pub blacklist: bool,
    /// Files of clusters.
    pub traces: Vec<String>,
    /// Whether haproxy has the configuration of hoist's balancer.
    pub balances: bool,
    /// Who listens on ports that are needed.
    pub listeners: Vec<Listener>,
    /// Packages that are not fully installed.
    pub broken: Vec<String>,
    /// Locks of the package manager: file and process.
    pub locked: Vec<String>,
    /// For what a proxy is set: `packages`, `environment`, `containerd`.
    pub proxies: Vec<String>,
    pub routes: Vec<Route>,
    /// The address that packets to the internet would carry; `None` without a default route.
    pub outward: Option<Ipv4Addr>,
    pub sshd: SshServer,
    /// The PATH that sudo gives programs, empty where it leaves it alone; `None` where there is no sudo that tells.
    pub sudo_path: Option<String>,
}

/// What the SSH server allows, as `sshd -T` says; `None` where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshServer {
    /// From how many connections that have not logged in yet some are refused: the first number of `MaxStartups`.
    pub startups: Option<u32>,
    /// How many shells and commands one connection may have at a time.
    pub sessions: Option<u32>,
    /// Whether the client's name is looked up at each login.
    pub looks_up: Option<bool>,
}

/// What a lookup came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Address(IpAddr),
    Nothing,
    TimedOut,
}

/// The file system that a folder is on, or will be on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    pub folder: String,
    pub size_kib: u64,
    pub free_kib: u64,
    /// 0 for file systems that have no fixed number of them.
    pub inodes: u64,
    pub inodes_free: u64,
    pub options: Vec<String>,
    /// Such as `ext4`; empty where the host did not tell.
    pub kind: String,
}

/// A port that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
    /// Unknown for processes that ended meanwhile and for those outside of a container.
    pub process: Option<String>,
}

/// A route of the main table; the default routes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub network: Ipv4Net,
    pub via: Option<Ipv4Addr>,
    pub device: String,
}

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What a host knows at once.
    Quick,
    /// Also what name servers and services have to be asked for.
    Whole,
}

impl Depth {
    fn timeout(self) -> Duration {
        match self {
            Depth::Quick => Duration::from_secs(15),
            // Long enough for name servers that do not answer.
            Depth::Whole => Duration::from_secs(90),
        }
    }
}

/// Asks a host. `name` is its name in the inventory, `ports` those that it will need, `volumes` its folder of volumes.
///
/// # Errors
/// When the host is lost, or the script does not end.
pub async fn ask(
    host: &dyn Host,
    name: &str,
    ports: &[u16],
    volumes: Option<&str>,
    depth: Depth,
) -> Result<Survey, Error> {
    let text = script(name, ports, volumes.unwrap_or_default(), depth);
    let output = host.run(Script::new(text).timeout(depth.timeout())).await?;
    Ok(Survey::parse(&output.whole(host.name(), "the examination")?))
}

fn script(name: &str, ports: &[u16], volumes: &str, depth: Depth) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("{port:04X}")).collect();
    let quick = if depth == Depth::Quick { "yes" } else { "" };
    let probe = include_str!("probe.sh");
    let (name, ports, volumes) = (quote(name), quote(&ports.join("|")), quote(volumes));
    format!("name={name} ports={ports} volumes={volumes} quick={quick}\n{probe}")
}

impl Survey {
    /// Reads the answer of the script. Lines it does not know are passed over.
    pub fn parse(answer: &str) -> Survey {
        let mut survey = Survey::default();
        let mut sockets: Vec<(&str, Listener)> = Vec::new();
        for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
            let text = || value.to_owned();
            let yes = || Some(matches!(value, "yes" | "1"));
            match key {
                "ssh_host_key" => survey.ssh_host_keys.push(text()),
                "iscsi" => survey.iscsi = text(),
                "nvme" => survey.nvme = text(),
                "dhcp" => survey.dhcp.push(text()),
                "own_name" => survey.own_name.extend(value.parse::<IpAddr>()),
                "localhost" => survey.localhost.extend(value.parse::<IpAddr>()),
                "wildcard" => survey.wildcard = Lookup::parse(value),
                "resolv" => resolver(value, &mut survey.nameservers, &mut survey.search),
                "resolv_author" => survey.resolv_author = text(),
                "resolved" => resolver(value, &mut survey.resolved, &mut survey.resolved_search),
                "disk" => survey.disks.extend(Disk::parse(value)),
                "swap_in" => survey.swap_in.push(text()),
                "swap_masked" => survey.swap_masked = true,
                "module" => {
                    let module = value.split_once(' ');
                    survey.modules.extend(module.map(|(name, there)| (name.to_owned(), there == "yes")));
                }
                "controllers" => survey.controllers.extend(value.split_whitespace().map(str::to_owned)),
                "seccomp" => survey.seccomp = yes(),
                "btf" => survey.btf = yes(),
                "selinux" => survey.selinux = yes(),
                "conntrack" => survey.conntrack = value.parse().ok(),
                "active" => survey.active.get_or_insert_default().push(text()),
                "asked" => _ = survey.active.get_or_insert_default(),
                "synchronized" => survey.synchronized = yes(),
                "firewall" => survey.firewalls.push(text()),
                "drops" => survey.drops.push(value.trim().to_owned()),
                "rule" => survey.rules.push(value.trim().to_owned()),
                "rp_filter" => survey.reverse_path.extend(
                    value
                        .split_once(' ')
                        .and_then(|(name, mode)| Some((name.to_owned(), mode.parse().ok()?))),
                ),
                "unmanaged" => survey.unmanaged.push(text()),
                "blacklist" => survey.blacklist = true,
                "unread" => survey.unread.push(text()),
                "trace" => survey.traces.push(text()),
                "balances" => survey.balances = true,
                "listens" => sockets.extend(socket(value)),
                "holds" => {
                    if let Some((inode, process)) = value.split_once(' ') {
                        let held = sockets.iter_mut().filter(|(socket, _)| *socket == inode);
                        held.for_each(|(_, listener)| listener.process = Some(process.to_owned()));
                    }
                }
                "broken" => survey.broken.push(text()),
                "locked" => survey.locked.push(text()),
                "proxy" => survey.proxies.push(text()),
                "route" => survey.routes.extend(Route::parse(value)),
                "outward" => {
                    survey.outward = word_after(value, "src").and_then(|address| address.parse().ok())
                }
                "sshd_maxstartups" => {
                    let first = value.split(':').next().unwrap_or(value);
                    survey.sshd.startups = first.parse().ok();
                }
                "sshd_maxsessions" => survey.sshd.sessions = value.parse().ok(),
                "sshd_usedns" => survey.sshd.looks_up = yes(),
                "sudo_path" => survey.sudo_path = Some(text()),
                _ => {}
            }
        }
        survey.listeners = sockets.into_iter().map(|(_, listener)| listener).collect();
        survey
    }

    /// The file system for a folder.
    pub fn disk(&self, folder: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.folder == folder)
    }

    pub fn is_active(&self, unit: &str) -> bool {
        self.active.iter().flatten().any(|active| active == unit)
    }
}

/// Reads a line of resolv.conf(5).
fn resolver(line: &str, servers: &mut Vec<String>, search: &mut Vec<String>) {
    let mut words = line.split_whitespace().map(str::to_owned);
    match words.next().as_deref() {
        Some("nameserver") => servers.extend(words.next()),
        // The last of these lines wins.
        Some("search" | "domain") => *search = words.collect(),
        _ => {}
    }
}

impl Lookup {
    fn parse(text: &str) -> Option<Lookup> {
        match text {
            "none" => Some(Lookup::Nothing),
            "timeout" => Some(Lookup::TimedOut),
            address => address.parse().ok().map(Lookup::Address),
        }
    }
}

impl Disk {
    /// Reads `FOLDER SIZE FREE INODES INODES_FREE OPTIONS TYPE`; file systems without inodes say `-`.
    fn parse(text: &str) -> Option<Disk> {
        let [folder, size, free, inodes, inodes_free, mount] =
            text.splitn(6, ' ').collect::<Vec<_>>().try_into().ok()?;
        let (options, kind) = mount.split_once(' ').unwrap_or((mount, ""));
        Some(Disk {
            folder: folder.to_owned(),
            size_kib: size.parse().ok()?,
            free_kib: free.parse().ok()?,
            inodes: inodes.parse().unwrap_or(0),
            inodes_free: inodes_free.parse().unwrap_or(0),
            options: options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect(),
            kind: kind.trim().to_owned(),
        })
    }

    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }
}

/// As people write it: `10.0.0.0/8 via 192.0.2.1 on eth0`.
impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let via = self.via.map(|via| format!(" via {via}")).unwrap_or_default();
        write!(formatter, "{}{via} on {}", self.network, self.device)
    }
}

impl Route {
    /// Reads a line of `ip -o route`.
    fn parse(line: &str) -> Option<Route> {
        let kinds = ["unreachable", "blackhole", "prohibit", "throw"];
        let line = kinds.iter().find_map(|kind| line.strip_prefix(kind)).unwrap_or(line).trim_start();
        let destination = line.split(' ').next()?;
        let network: Ipv4Net = match destination.parse() {
            Ok(network) => network,
            Err(_) => destination.parse::<Ipv4Addr>().ok()?.into(),
        };
        let via = word_after(line, "via").and_then(|address| address.parse().ok());
        Some(Route { network, via, device: word_after(line, "dev").unwrap_or_default().to_owned() })
    }
}

fn word_after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find(|word| *word == key)?;
    words.next()
}

/// Reads `ADDRESS:PORT INODE` as the kernel writes it: in hexadecimal, addresses in little-endian words, as on
/// every architecture that hoist installs.
fn socket(text: &str) -> Option<(&str, Listener)> {
    let (local, inode) = text.split_once(' ')?;
    let (address, port) = local.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    let address = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((inode, Listener { address, port, process: None }))
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
