//! A network of a test's own.

use std::{fs::File, process::Command};

use nix::sched::{CloneFlags, setns};

use super::skip::skip;

/// A network namespace that ends with this value.
pub struct Namespace(pub String);

impl Namespace {
    /// Makes one with a loopback interface, or says why it cannot and returns nothing: then the test is skipped.
    pub fn create(purpose: &str) -> Option<Namespace> {
        let name = format!("hoist-{purpose}-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).status();
        if !made.is_ok_and(|status| status.success()) {
            skip("a network namespace cannot be made here");
            return None;
        }
        let namespace = Namespace(name);
        namespace.ip(&["link", "set", "lo", "up"]);
        Some(namespace)
    }

    /// Gives it an address of its own.
    pub fn address(&self, address: &str) {
        self.ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
    }

    pub fn ip(&self, arguments: &[&str]) {
        assert!(Command::new("ip").args(["-n", &self.0]).args(arguments).status().unwrap().success());
    }

    /// Does something inside; what is started there stays there.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let handle = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let inside = std::thread::spawn(move || {
            setns(handle, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        inside.join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).status().ok();
    }
}
