//! A real OpenSSH server on 127.0.0.1, with keys and a configuration of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use hoist::transport::{Agent, Target};

use super::skip::skip;

/// Where Debian, Fedora and others put the server: it wants to be started by its absolute path.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];

/// A running server; it ends with this value.
pub struct Sshd {
    dir: tempfile::TempDir,
    child: Child,
    pub port: u16,
    log: Arc<Mutex<String>>,
}

impl Sshd {
    /// Starts a server, or says why it cannot and returns nothing: then the test is skipped.
    pub fn start() -> Option<Sshd> {
        Sshd::with("")
    }

    /// Starts a server with additional lines of sshd_config, which win over the usual ones. `DIR` is its folder.
    pub fn with(config: &str) -> Option<Sshd> {
        Sshd::prepared(config, |_| {})
    }

    /// The same, with something to do in its folder, where its keys are, before it starts.
    pub fn prepared(config: &str, prepare: impl FnOnce(&Path)) -> Option<Sshd> {
        let Some(program) = PROGRAMS.iter().find(|program| Path::new(program).exists()) else {
            skip("there is no sshd (Debian: openssh-server)");
            return None;
        };
        if !nix::unistd::geteuid().is_root() {
            skip("only a server of root's gives root shells");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for (name, kind) in [("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("user", "ed25519")] {
            keygen(&dir.path().join(name), kind, "");
        }
        fs::copy(dir.path().join("user.pub"), dir.path().join("authorized_keys")).unwrap();
        prepare(dir.path());
        let config = config.replace("DIR", &dir.path().display().to_string());
        // The unprivileged process of the server lives there.
        fs::create_dir_all("/run/sshd").unwrap();
        // Somebody else may take the port between our choosing it and the server's binding to it.
        for _ in 0..20 {
            let port = free_port();
            // What root's own shell does at a login, in its .bashrc, is not what is tested.
            let text = format!(
                "{config}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host_ed25519\nHostKey {0}/host_ecdsa\n\
                 AuthorizedKeysFile {0}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n\
                 PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 MaxStartups 100\nSubsystem sftp internal-sftp\n\
                 Match User root\nSetEnv HOME={0}\n",
                dir.path().display()
            );
            fs::write(dir.path().join("sshd_config"), text).unwrap();
            let config = dir.path().join("sshd_config");
            let mut command = Command::new(program);
            command.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            let log = Arc::default();
            if listening(&mut child, &log) {
                return Some(Sshd { dir, child, port, log });
            }
            child.kill().ok();
            child.wait().unwrap();
        }
        panic!("sshd does not start");
    }

    /// The folder with the keys, for other files of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The server's own process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A target with the key that the server accepts and the host keys that it has, as root.
    pub fn target(&self) -> Target {
        self.write_known_hosts(&["host_ed25519", "host_ecdsa"]);
        Target {
            port: self.port,
            keys: vec![self.path("user")],
            agent: Agent::Off,
            known_hosts: vec![self.path("known_hosts")],
            connect_timeout: Duration::from_secs(10),
            ..Target::new("cp1", "127.0.0.1", "root")
        }
    }

    /// Writes `known_hosts` with the public halves of these keys for this server.
    pub fn write_known_hosts(&self, keys: &[&str]) {
        let lines = keys.iter().map(|key| format!("[127.0.0.1]:{} {}", self.port, self.public(key)));
        fs::write(self.path("known_hosts"), lines.collect::<String>()).unwrap();
    }

    /// The public half of a key, a line.
    pub fn public(&self, key: &str) -> String {
        fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap()
    }

    /// How many logins the server has let in.
    pub fn logins(&self) -> usize {
        self.log.lock().unwrap().lines().filter(|line| line.starts_with("Accepted ")).count()
    }

    /// Makes a key.
    pub fn keygen(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = self.path(name);
        keygen(&path, kind, passphrase);
        path
    }

    /// Lets a user in with this key too.
    pub fn authorize(&self, key: &str) {
        let authorized = self.path("authorized_keys");
        let text = fs::read_to_string(&authorized).unwrap() + &self.public(key);
        fs::write(authorized, text).unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Makes a key in a file.
pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(path);
    assert!(command.status().unwrap().success());
}

/// Makes `KEY-cert.pub`, signed by `authority`; the options are those of ssh-keygen.
pub fn certify(authority: &Path, key: &Path, options: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-I", "test"]).args(options).arg("-s").arg(authority).arg(key.with_extension("pub"));
    assert!(command.status().unwrap().success());
}

/// Waits for the server to say that it listens, and goes on reading its log so that it never blocks.
fn listening(child: &mut Child, kept: &Arc<Mutex<String>>) -> bool {
    let (log, kept) = (BufReader::new(child.stderr.take().unwrap()), kept.clone());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if line.starts_with("Server listening") {
                sender.send(()).ok();
            }
            if std::env::var_os("SSHD_LOG").is_some() {
                eprintln!("sshd: {line}");
            }
            *kept.lock().unwrap() += &(line + "\n");
        }
    });
    receiver.recv_timeout(Duration::from_secs(10)).is_ok()
}
