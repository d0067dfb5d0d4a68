//! Users that exist for one test.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::support::skip::skip;

/// A user with a home folder and a login shell; it ends with this value.
pub struct TestUser {
    pub name: String,
    pub home: tempfile::TempDir,
    sudoers: Option<PathBuf>,
}

impl TestUser {
    /// Makes a user, or says why it cannot and returns nothing: then the test is skipped.
    pub fn create(purpose: &str) -> Option<TestUser> {
        if !nix::unistd::geteuid().is_root() {
            skip("only root can make a user");
            return None;
        }
        // Tests run at the same time, in one process and in several.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("hoist-{purpose}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let home = tempfile::tempdir().unwrap();
        let mut useradd = Command::new("useradd");
        // Not a locked password: OpenSSH refuses those users.
        useradd.args(["--no-create-home", "--shell", "/bin/bash", "--password", "*", "--home-dir"]);
        match useradd.arg(home.path()).arg(&name).status() {
            Ok(status) if status.success() => {}
            other => {
                skip(&format!("useradd does not work: {other:?}"));
                return None;
            }
        }
        let user = TestUser { name, home, sudoers: None };
        let id = nix::unistd::User::from_name(&user.name).unwrap().unwrap();
        nix::unistd::chown(user.home.path(), Some(id.uid), Some(id.gid)).unwrap();
        Some(user)
    }

    pub fn set_password(&self, password: &str) {
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        writeln!(chpasswd.stdin.take().unwrap(), "{}:{password}", self.name).unwrap();
        assert!(chpasswd.wait().unwrap().success());
    }

    /// Gives the user these lines of sudoers, with `USER` for the name. Returns false when there is no sudo.
    pub fn sudoers(&mut self, lines: &str) -> bool {
        let folder = std::path::Path::new("/etc/sudoers.d");
        if !folder.is_dir() || !std::path::Path::new("/usr/bin/sudo").exists() {
            skip("there is no sudo");
            return false;
        }
        let file = folder.join(&self.name);
        // Not readable while it is incomplete: sudo passes over names with a dot.
        let draft = folder.join(format!("{}.new", self.name));
        std::fs::write(&draft, lines.replace("USER", &self.name) + "\n").unwrap();
        std::fs::set_permissions(&draft, std::os::unix::fs::PermissionsExt::from_mode(0o440)).unwrap();
        std::fs::rename(&draft, &file).unwrap();
        self.sudoers = Some(file);
        true
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        if let Some(file) = &self.sudoers {
            std::fs::remove_file(file).ok();
        }
        // Also when something of the user still runs: `userdel` alone would refuse.
        let removed = Command::new("userdel").arg("--force").arg(&self.name).output();
        if !removed.is_ok_and(|output| output.status.success()) {
            eprintln!("the user {} could not be removed", self.name);
        }
    }
}
