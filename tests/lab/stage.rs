//! What the tests against real nodes share: a lab of their own, and what it must not leave behind.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

pub const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// A lab that nobody else uses. It is taken down when a test fails, so that the next one starts clean.
pub struct Lab {
    pub name: &'static str,
    /// Two labs at once would see each other's traces.
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// The lab of this name, down; nothing where the machine cannot run one.
    pub fn open(name: &'static str) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        if !possible() {
            return None;
        }
        let lab = Self { name, _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner) };
        lab.ok(&["down"]);
        Some(lab)
    }

    /// `hoist lab …`, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HOIST);
        command.args(["lab", "--lab", self.name]).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        eprintln!("hoist lab {}: {}", arguments.join(" "), output.status);
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What it prints; it must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "hoist lab {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command on a node.
    pub fn on(&self, node: &str, command: &str) -> Output {
        self.run(&["ssh", node, "--", command])
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "--output", "json"])).unwrap()
    }

    /// What tells the boots of a node apart. Containers share the machine's boot_id, so it is when the node's first
    /// process began.
    pub fn boot(&self, node: &str) -> Option<String> {
        let output = self.on(node, "cut -d' ' -f22 /proc/1/stat");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Asks a node to reboot, and waits until it has.
    pub fn reboot(&self, node: &str) {
        let first = self.boot(node).unwrap();
        self.on(node, "systemctl reboot");
        wait(&format!("{node} comes back from its reboot"), || {
            self.boot(node).is_some_and(|boot| boot != first)
        });
    }

    /// What systemd-nspawn keeps of the nodes that run: by their disks and their machines' names.
    pub fn marks(&self) -> Vec<PathBuf> {
        let nspawn = Path::new("/run/systemd/nspawn");
        let nodes = self.folder().join("nodes");
        let mut marks = Vec::new();
        for item in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read_to_string(item.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&str> = command.split_terminator('\0').collect();
            let machine = words.iter().find_map(|word| word.strip_prefix("--machine="));
            let disk = words.last().filter(|disk| Path::new(disk).starts_with(&nodes));
            if let (Some(machine), Some(disk)) = (machine, disk) {
                let disk = fs::metadata(disk).unwrap();
                marks.push(nspawn.join("propagate").join(machine));
                marks.push(nspawn.join(format!("locks/inode-{}:{}", disk.dev(), disk.ino())));
            }
        }
        assert!(marks.iter().all(|mark| mark.exists()), "{marks:?}");
        marks
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        let cache = env::var_os("HOIST_CACHE").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| env::home_dir().unwrap().join(".cache/hoist"));
        cache.join("lab/labs").join(self.name)
    }

    /// Takes it down, and nothing is left: none of the marks, and no trace that was not there before.
    pub fn close(&self, before: &BTreeSet<String>, marks: &[PathBuf]) {
        self.ok(&["down"]);
        let mut left: Vec<_> = self.traces().difference(before).cloned().collect();
        left.extend(marks.iter().filter(|mark| mark.exists()).map(|mark| mark.display().to_string()));
        assert!(left.is_empty(), "{left:#?}");
    }

    /// What the lab could leave on the machine, except what belongs to labs of other names.
    pub fn traces(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
            found.extend(line.contains(self.name).then(|| format!("mount {line}")));
        }
        for item in fs::read_dir("/proc").unwrap().flatten() {
            let command =
                fs::read_to_string(item.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            // Our own hoist children have ended; this test itself does not carry the lab's name.
            found.extend(
                command.contains(self.name).then(|| format!("process {} {command}", item.path().display())),
            );
        }
        for (folder, ours) in [("/run/netns", self.name), ("/sys/class/net", "")] {
            let Ok(items) = fs::read_dir(folder) else { continue };
            let names = items.flatten().map(|item| item.path().display().to_string());
            found.extend(names.filter(|name| name.contains(ours)));
        }
        for device in fs::read_dir("/sys/block").unwrap().flatten() {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            found.extend(file.contains(self.name).then(|| format!("loop device of {file}")));
        }
        for root in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = root.path().join(self.name);
            found.extend(group.exists().then(|| format!("control group {}", group.display())));
        }
        found.extend(
            fs::exists(format!("/sys/fs/cgroup/{}", self.name)).unwrap().then(|| "control group".to_owned()),
        );
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            self.run(&["down"]);
        }
    }
}

/// What a command said, without the line breaks that depend on the width of names.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits until something is so, a minute at most.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the machine can do this; where it should be able to, not being able is a failure.
pub fn possible() -> bool {
    let reason = if !nix::unistd::geteuid().is_root() {
        "not root"
    } else if Command::new("systemd-nspawn").arg("--version").output().is_err() {
        "no systemd-nspawn"
    } else {
        return true;
    };
    assert!(env::var("CI").as_deref() != Ok("true"), "the lab cannot be tested here: {reason}");
    eprintln!("skipped: {reason}");
    false
}
