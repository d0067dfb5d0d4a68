//! Several hosts on this machine: OpenSSH servers in a network namespace of their own, each with a /run, an /etc and
//! processes of its own, whose process 1 is called systemd.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};

use crate::skip::skip;

const SSHD: &str = "/usr/sbin/sshd";
const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// Roles in place of the built-in ones. Each leaves a file in the shared folder `vars.root`.
const ROLES: [(&str, &str); 12] = [
    ("base", "tasks: []"),
    ("containerd", "tasks: []"),
    ("kubernetes", "tasks: []"),
    ("bridge", "tasks: []"),
    ("hardening", "tasks: []"),
    ("hardened", "tasks: []"),
    ("watches", "tasks: []"),
    ("encryption", "tasks: []"),
    ("credentials", "tasks: []"),
    (
        "control-plane",
        "provides: {join: {run: \"printf 'token=marker%ssecret\\\\n' 4711\"}}
tasks:
  - name: the control plane is as it should be
    command: {run: \"echo x > '{{ vars.root }}/{{ host.name }}.touched'\", creates: '{{ vars.root }}/{{ host.name }}.touched'}",
    ),
    (
        "worker",
        "tasks:
  - name: prepared
    command: {run: \"echo x > '{{ vars.root }}/{{ host.name }}.prepared'\", creates: '{{ vars.root }}/{{ host.name }}.prepared'}
  - name: joined
    command:
      run: cat > '{{ vars.root }}/{{ host.name }}.joined'
      creates: '{{ vars.root }}/{{ host.name }}.joined'
      stdin: {template: join.txt}",
    ),
    (
        "note",
        "defaults: {text: hello, password: none}
tasks:
  - name: a note
    file: {path: '{{ vars.root }}/{{ host.name }}.note', content: \"{{ vars.text }}\\n\"}
  - name: a secret
    file: {path: '{{ vars.root }}/{{ host.name }}.secret', content: '{{ vars.password }}', mode: '0600', secret: true}",
    ),
];

pub struct Fleet {
    folder: tempfile::TempDir,
    /// The name of the network namespace.
    network: String,
    servers: Vec<Child>,
}

/// One run of the program that has ended.
pub struct Ran {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Fleet {
    /// Starts a host of each of these names, or says why it cannot and returns nothing: then the test is skipped.
    pub fn start(names: &[&str]) -> Option<Fleet> {
        let mut fleet = Fleet::without_servers(names)?;
        for index in 0..names.len() {
            fleet.serve(&address(index));
        }
        Some(fleet)
    }

    /// The same, before anything listens anywhere.
    pub fn without_servers(names: &[&str]) -> Option<Fleet> {
        if !nix::unistd::geteuid().is_root() || !Path::new(SSHD).exists() {
            skip("hosts on this machine need root and an sshd (Debian: openssh-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        static FLEETS: AtomicUsize = AtomicUsize::new(0);
        let network = format!("fleet-{}-{}", std::process::id(), FLEETS.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &network]);
        let fleet = Fleet { folder, network, servers: Vec::new() };
        ip(&["-n", &fleet.network, "link", "set", "lo", "up"]);
        for index in 0..names.len() {
            ip(&["-n", &fleet.network, "address", "add", &format!("{}/24", address(index)), "dev", "lo"]);
        }
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(fleet.path(key));
            assert!(keygen.status().unwrap().success());
        }
        symlink(SSHD, fleet.path("systemd")).unwrap();
        fs::create_dir(fleet.root()).unwrap();
        for (name, text) in ROLES {
            fleet.role(name, text);
        }
        fleet.write("roles/templates/join.txt", "{{ late.join.token }}");
        fleet.write(
            "artifacts/kubernetes-1.20.2/index.yaml",
            "kubernetes: 1.20.2\norigin: a test\nfiles: []\nimages: []\n",
        );
        fleet.inventory(names, "");
        Some(fleet)
    }

    /// Writes the inventory of these hosts; those whose name begins with `cp` are control planes.
    pub fn inventory(&self, names: &[&str], more: &str) {
        let mut known = String::new();
        let mut hosts = String::new();
        let key = fs::read_to_string(self.path("host.pub")).unwrap();
        for (index, name) in names.iter().enumerate() {
            let address = address(index);
            known.push_str(&format!("[{address}]:2222 {key}"));
            let role = if name.starts_with("cp") { "control-plane" } else { "worker" };
            hosts.push_str(&format!("  {name}: {{address: {address}, roles: [{role}]}}\n"));
        }
        self.write("known_hosts", &known);
        let here = self.folder.path().display();
        let text = format!(
            "cluster: {{name: fleet, kubernetes: \"1.20.2\"}}\n\
             ssh: {{port: 2222, key: {here}/user, known_hosts: {here}/known_hosts, network_namespace: {}}}\n\
             artifacts: {{folder: {here}/artifacts}}\nvars: {{root: {}{more}}}\nhosts:\n{hosts}",
            self.network,
            self.root().display()
        );
        self.write("inventory.yaml", &text);
    }

    fn serve(&mut self, address: &str) {
        let here = self.folder.path().display().to_string();
        let config = self.path(&format!("{address}.conf"));
        let text = format!(
            "ListenAddress {address}\nPort 2222\nHostKey {here}/host\nAuthorizedKeysFile {here}/user.pub\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin yes\nMaxStartups 100\n"
        );
        fs::write(&config, text).unwrap();
        // They share one network and its addresses, of which nobody may be told: no `ip`.
        let script = format!(
            "set -e; mkdir -p '{here}/{address}'; mount -t tmpfs none '{here}/{address}'; cd '{here}/{address}'; \
             mkdir up work; mount -t overlay -o lowerdir=/etc,upperdir=up,workdir=work overlay /etc; \
             sed -i '/^root:/s|:[^:]*:[^:]*$|:/:/bin/sh|' /etc/passwd; mount -t tmpfs none /run; mkdir /run/sshd; \
             printf %s '{address}' | md5sum | cut -c 1-32 >/etc/machine-id; \
             mount --bind /dev/null \"$(readlink -f \"$(command -v ip)\")\"; exec '{here}/systemd' -D -e -f '{}'",
            config.display()
        );
        let mut command = self.inside("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        let log = fs::File::create(self.path(&format!("{address}.log"))).unwrap();
        command.args(["sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.servers.push(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.enter(|| std::net::TcpStream::connect((address, 2222)).is_err()) {
            let log = fs::read_to_string(self.path(&format!("{address}.log"))).unwrap();
            assert!(Instant::now() < deadline, "{address} does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends a host with all that runs there, by its place in the list.
    pub fn stop(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts a host again that was ended. What it had in memory is gone, its /run and its /etc among it.
    pub fn boot(&mut self, index: usize) {
        self.serve(&address(index));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where roles leave their files.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The files that roles have left, in alphabetical order.
    pub fn left(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A role in place of a built-in one, or one of the test's own.
    pub fn role(&self, name: &str, text: &str) {
        self.write(&format!("roles/roles/{name}/role.yaml"), &format!("description: a test\n{text}\n"));
    }

    /// Runs a script on a host as root, by OpenSSH's client.
    pub fn on(&self, port: &str, index: usize, script: &str) {
        let mut ssh = self.inside("ssh");
        ssh.args(["-F", "none", "-p", port, "-i"]).arg(self.path("user"));
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", self.path("known_hosts").display()));
        let mut child = ssh.arg(address(index)).arg("sh").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{script}");
    }

    /// A program of this machine, in the network of the hosts.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.network)).arg(program);
        command
    }

    /// Does something in the network of the hosts, and so do the threads that it starts.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/run/netns/{}", self.network)).unwrap();
        let inside = || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HOIST);
        command.args(arguments).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK").env("NO_COLOR", "1");
        // Nor is what other tests and labs made in this machine's cache of any concern here.
        command
            .env("XDG_STATE_HOME", self.path("state"))
            .env("HOME", self.folder.path())
            .env_remove("HOIST_CACHE");
        command.env("HOIST_INVENTORY", self.path("inventory.yaml")).env("USER", "ada");
        command
    }

    /// Runs hoist with the roles of the test.
    pub fn hoist(&self, verb: &str, arguments: &[&str]) -> Ran {
        let roles = self.path("roles");
        Ran::of(self.command(&[&[verb, "--roles", roles.to_str().unwrap()], arguments].concat()))
    }

    /// The files of the state folder with this extension, oldest first.
    pub fn records(&self, extension: &str) -> Vec<PathBuf> {
        let Ok(runs) = fs::read_dir(self.path("state/hoist/fleet/runs")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = runs.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|found| found == extension));
        files.sort();
        files
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill().ok();
            server.wait().ok();
        }
        ip(&["netns", "delete", &self.network]);
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

impl Ran {
    pub fn of(mut command: Command) -> Ran {
        Ran::ended(command.output().unwrap())
    }

    pub fn ended(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { exit: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    pub fn exits(self, expected: i32) -> Ran {
        assert_eq!(self.exit, Some(expected), "{self}");
        self
    }

    /// Fails unless both outputs together contain it. Lines may be broken and indented in any way.
    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        assert!(self.flat().contains(words), "expected {words:?} in {self}");
        self
    }

    #[track_caller]
    pub fn says_nothing_of(self, words: &str) -> Ran {
        assert!(!self.flat().contains(words), "did not expect {words:?} in {self}");
        self
    }

    fn flat(&self) -> String {
        let text = format!("{} {}", self.stdout, self.stderr);
        text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n{}\n{}", self.exit, self.stdout, self.stderr)
    }
}

/// The address of a host, by its place in the list.
pub fn address(index: usize) -> String {
    format!("10.78.0.{}", index + 11)
}
