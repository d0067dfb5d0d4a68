//! Hosts of their own: each a network namespace with an address, a name and a machine-id, and a server in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

use crate::support::{skip::skip, sshd::Sshd};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Hosts on one bridge, which is in a namespace of its own. All of it ends with this value.
pub struct Hosts {
    servers: Vec<Sshd>,
    names: Vec<String>,
    namespaces: Vec<String>,
    folder: tempfile::TempDir,
}

impl Hosts {
    /// Makes hosts of these names, with the addresses 10.7.0.11, 10.7.0.12 …, or says why it cannot. `config` are
    /// lines for their sshd_config.
    pub fn make(names: &[&str], config: &str) -> Option<Hosts> {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let namespace = format!("hoist-pf-{}-{number}", std::process::id());
        if !ip(&["netns", "add", &namespace]) {
            skip("a network namespace cannot be made here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let names = names.iter().map(|name| name.to_string()).collect();
        let mut hosts = Hosts { servers: Vec::new(), names, namespaces: vec![namespace], folder };
        hosts.bridge();
        for index in 0..hosts.names.len() {
            hosts.connect(index);
            let server = hosts.serve(index, config)?;
            hosts.servers.push(server);
        }
        Some(hosts)
    }

    fn switch(&self) -> &str {
        &self.namespaces[0]
    }

    fn bridge(&self) {
        for words in
            ["link add br0 type bridge", "addr add 10.7.0.1/24 dev br0", "link set br0 up", "link set lo up"]
        {
            must(&[&["-n", self.switch()], &words.split(' ').collect::<Vec<_>>()[..]].concat());
        }
    }

    fn connect(&mut self, index: usize) {
        let namespace = format!("{}-{index}", self.switch());
        must(&["netns", "add", &namespace]);
        let port = format!("port{index}");
        must(&[
            "-n",
            self.switch(),
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &namespace,
        ]);
        must(&["-n", self.switch(), "link", "set", &port, "master", "br0", "up"]);
        self.namespaces.push(namespace);
        self.ip(index, &format!("addr add {}/24 dev eth0", self.address(index)));
        self.ip(index, "link set lo up");
        self.ip(index, "link set eth0 up");
        self.ip(index, "route add default via 10.7.0.1");
    }

    pub fn address(&self, index: usize) -> String {
        format!("10.7.0.{}", 11 + index)
    }

    /// `ip …` in the namespace of a host.
    pub fn ip(&self, index: usize, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        must(&[&["-n", &self.namespaces[index + 1]], &words[..]].concat());
    }

    /// What `ip …` says in the namespace of a host.
    pub fn shows(&self, index: usize, words: &str) -> String {
        let output =
            Command::new("ip").args(["-n", &self.namespaces[index + 1]]).args(words.split(' ')).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Sets the size of packets that the bridge carries to a host. The host's own interface keeps 1500.
    pub fn narrow(&self, index: usize, mtu: &str) {
        must(&["-n", self.switch(), "link", "set", &format!("port{index}"), "mtu", mtu]);
    }

    /// Runs something in the network of a host.
    pub fn inside<T: Send + 'static>(&self, index: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        let network = fs::File::open(format!("/run/netns/{}", self.namespaces[index + 1])).unwrap();
        let thread = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap()
    }

    /// Whether a process whose command line matches the pattern is one of a host's own, and none of another test's:
    /// all that were started there share the server's view of the file systems.
    pub fn runs(&self, index: usize, pattern: &str) -> bool {
        let server = self.servers[index].process().to_string();
        let found = Command::new("pgrep").args(["--ns", &server, "--nslist", "mnt", "-f", pattern]).output();
        !found.unwrap().stdout.is_empty()
    }

    /// Takes a program away from a host.
    pub fn hide(&self, index: usize, program: &str) {
        let server = self.servers[index].process().to_string();
        let found =
            "for it in $(type -ap \"$1\"); do mount --bind /dev/null \"$(readlink -f \"$it\")\"; done";
        let mut command = Command::new("nsenter");
        command.args(["-t", &server, "-m", "bash", "-c", found, "bash", program]);
        assert!(command.status().unwrap().success(), "{program}");
    }

    /// Starts a server from inside of the host's namespaces, which it inherits.
    fn serve(&self, index: usize, config: &str) -> Option<Sshd> {
        let name = self.names[index].clone();
        let config = format!("ListenAddress {}\n{config}", self.address(index));
        let machine = self.folder.path().join(format!("machine-id-{name}"));
        fs::write(&machine, format!("{:032x}\n", 0xabc0 + index)).unwrap();
        // A name server that answers at once, with a refusal.
        let resolver = self.folder.path().join("resolv.conf");
        fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
        self.inside(index, move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).unwrap();
            fs::write("/proc/sys/kernel/hostname", &name).unwrap();
            // The server may listen on addresses that come later.
            fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1").unwrap();
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            // Shows the interfaces of the namespace that it is mounted in.
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).unwrap();
            mount(Some(&machine), "/etc/machine-id", none, MsFlags::MS_BIND, none).unwrap();
            mount(Some(&resolver), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).unwrap();
            // What this machine's login shells do, and how long it takes, is none of the hosts' business.
            if Path::new("/root/.bashrc").exists() {
                mount(Some("/dev/null"), "/root/.bashrc", none, MsFlags::MS_BIND, none).unwrap();
            }
            Sshd::with(&config)
        })
    }

    /// An inventory of all of them: the first is the control plane.
    pub fn inventory(&self) -> PathBuf {
        self.inventory_with("")
    }

    /// The same, with more in `cluster`.
    pub fn inventory_with(&self, extra: &str) -> PathBuf {
        let names = self.names.iter().enumerate();
        let hosts: Vec<_> = names.map(|(index, name)| (name.as_str(), index, self.address(index))).collect();
        self.inventory_of(extra, &hosts)
    }

    /// An inventory of hosts by name, the number of the server that stands for it, and address; `extra` goes into
    /// `cluster`. The first is the control plane.
    pub fn inventory_of(&self, extra: &str, hosts: &[(&str, usize, String)]) -> PathBuf {
        let mut text = format!(
            "cluster: {{name: test, kubernetes: 1.20.2{extra}}}\n\
             ssh: {{user: root, network_namespace: {}}}\nhosts:\n",
            self.switch()
        );
        let known_hosts = self.folder.path().join("known_hosts");
        let mut known = String::new();
        for (place, (name, index, address)) in hosts.iter().enumerate() {
            let server = &self.servers[*index];
            let port = server.port;
            for key in ["host_ed25519", "host_ecdsa"] {
                known += &format!("[{address}]:{port} {}", server.public(key));
            }
            let role = if place == 0 { "control-plane" } else { "worker" };
            let key = server.path("user");
            text += &format!(
                "  {name}: {{address: {address}, roles: [{role}], ssh: {{port: {port}, key: {}, known_hosts: {}}}}}\n",
                key.display(),
                known_hosts.display()
            );
        }
        fs::write(&known_hosts, known).unwrap();
        let path = self.folder.path().join("inventory.yaml");
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.servers.clear();
        for namespace in self.namespaces.iter().rev() {
            ip(&["netns", "del", namespace]);
        }
    }
}

/// Whether there is the ping that can send packets of a given size.
pub fn has_ping() -> bool {
    let there = ["/usr/bin/ping", "/bin/ping"].iter().any(|path| Path::new(path).exists());
    if !there {
        skip("there is no ping (Debian: iputils-ping)");
    }
    there
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn must(arguments: &[&str]) {
    assert!(ip(arguments), "ip {arguments:?}");
}
