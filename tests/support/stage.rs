//! Where a story on real nodes takes place: a lab of its own, an inventory of it, and everything that was said.

#![allow(dead_code, reason = "each kind uses a part of it")]

use std::{
    cell::RefCell,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// One run of a program that has ended.
pub struct Ran {
    command: String,
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn exits(self, expected: i32) -> Ran {
        assert_eq!(self.exit, Some(expected), "{self}");
        self
    }

    /// Fails unless both outputs together contain it. Lines may be broken and indented in any way.
    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        let flat =
            |text: &str| text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(
            flat(&format!("{} {}", self.stdout, self.stderr)).contains(words),
            "expected {words:?} in {self}"
        );
        self
    }

    #[track_caller]
    pub fn within(self, seconds: u64) -> Ran {
        assert!(self.took < Duration::from_secs(seconds), "expected at most {seconds} s: {self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ran { command, exit, stdout, stderr, took } = self;
        write!(f, "$ {command}\nexit {exit:?} after {:.1} s\n{stdout}\n{stderr}", took.as_secs_f64())
    }
}

/// The lab is down when this goes, however the test ends.
pub struct Stage {
    lab: &'static str,
    /// The inventory that others are made from.
    sample: &'static str,
    folder: tempfile::TempDir,
    /// Everything that hoist printed so far.
    heard: RefCell<String>,
}

impl Stage {
    /// A lab of this name, not the default one, so that somebody's own stays as it is; and `inventory.yaml`, which is
    /// `sample` for it.
    pub fn new(lab: &'static str, sample: &'static str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        // Somebody who is not root must be able to come here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Stage { lab, sample, folder, heard: RefCell::default() };
        stage.inventory("inventory.yaml", &[]);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lab's inventory with these replacements, each of which must have its place.
    pub fn inventory(&self, name: &str, edits: &[(&str, &str)]) -> PathBuf {
        let mut text = self.sample.to_owned();
        let (cache, namespace) = (cache(), format!("network_namespace: {}", self.lab));
        let usual = [
            ("network_namespace: hoist-lab", namespace.as_str()),
            ("~/.cache/hoist", cache.to_str().unwrap()),
        ];
        for (from, to) in usual.iter().chain(edits) {
            assert!(text.contains(from), "{from:?} is not in the inventory");
            text = text.replace(from, to);
        }
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HOIST);
        command.args(arguments).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK");
        command.env("HOIST_LAB", self.lab).env("XDG_STATE_HOME", self.path("state"));
        command.env("HOIST_INVENTORY", self.path("inventory.yaml"));
        command
    }

    /// Runs hoist on this lab to its end.
    pub fn hoist(&self, arguments: &[&str]) -> Ran {
        self.run(self.command(arguments))
    }

    pub fn run(&self, mut command: Command) -> Ran {
        let begun = Instant::now();
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        self.hear(&stdout);
        self.hear(&stderr);
        Ran {
            command: format!("{command:?}"),
            exit: output.status.code(),
            stdout,
            stderr,
            took: begun.elapsed(),
        }
    }

    pub fn hear(&self, text: &str) {
        self.heard.borrow_mut().push_str(text);
    }

    pub fn heard(&self) -> String {
        self.heard.borrow().clone()
    }

    /// Runs a command on a node as root; what it printed. Nobody's output but the test's: it is not listened to.
    #[track_caller]
    pub fn on(&self, node: &str, command: &str) -> String {
        let output = self.command(&["lab", "ssh", node, "--", command]).output().unwrap();
        assert!(output.status.success(), "{node}: {command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a command on a node succeeds; a node that does not answer is a no.
    pub fn holds_on(&self, node: &str, command: &str) -> bool {
        self.command(&["lab", "ssh", node, "--", command]).output().unwrap().status.success()
    }

    /// The real kubectl, from inside the lab's network, with what `hoist kubeconfig` wrote.
    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        let (kubectl, config) =
            (cache().join("artifacts/kubernetes-1.20.2/kubectl"), self.path("kubeconfig"));
        let mut command = self.command(&["lab", "exec", "--"]);
        command.arg(kubectl).arg("--kubeconfig").arg(config).args(arguments);
        self.run(command)
    }

    /// Boots a node anew, and waits until it is as the inventory says.
    pub fn reboot(&self, node: &str) {
        let boot = "cat /proc/sys/kernel/random/boot_id";
        let before = self.on(node, boot);
        // The connection may end before the answer comes.
        self.holds_on(node, "systemctl reboot");
        until("it has booted anew", 60, || {
            self.holds_on(node, &format!("[ \"$({boot})\" != {} ]", before.trim()))
        });
        // Until its kubelet has spoken, the cluster has of it what was true before.
        let after = self.on(node, boot);
        let says = "jsonpath={.status.nodeInfo.bootID} {.status.conditions[?(@.type==\"Ready\")].status}";
        until("its node is ready again", 180, || {
            self.kubectl(&["get", "node", node, "-o", says]).stdout == format!("{} True", after.trim())
        });
        until("it is as it should be", 120, || self.hoist(&["plan"]).exit == Some(0));
    }

    /// A step of the story: says its name and how long it took.
    pub fn step<T>(&self, name: &str, play: impl FnOnce() -> T) -> T {
        eprint!("  {name:<76}");
        let begun = Instant::now();
        let done = play();
        eprintln!("{:7.1} s", begun.elapsed().as_secs_f64());
        done
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let down = self.command(&["lab", "down"]).output().unwrap();
        if !down.status.success() {
            eprintln!("the lab is not down: {}", String::from_utf8_lossy(&down.stderr));
        }
    }
}

/// Where the lab keeps its artifacts and keys.
pub fn cache() -> PathBuf {
    let named = env::var_os("HOIST_CACHE").map(PathBuf::from);
    named.unwrap_or_else(|| env::home_dir().unwrap().join(".cache/hoist"))
}

/// The lab's known host keys.
pub fn known_hosts() -> PathBuf {
    cache().join("lab/ssh/known_hosts")
}

/// Looks again and again until it is so; fails after `limit` seconds.
#[track_caller]
pub fn until(what: &str, limit: u64, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(limit);
    while !so() {
        assert!(Instant::now() < deadline, "not within {limit} s: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Runs a program that must succeed; what it printed.
#[track_caller]
pub fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
