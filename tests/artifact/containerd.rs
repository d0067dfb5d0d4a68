//! What hosts do with an image's archive: a real containerd imports it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use hoist::artifact::{self, Architecture, Index};
use tempfile::TempDir;

use super::{images::wanted, registry::Registry, skip::skip, source};

/// A containerd of the test's own; it ends with this value.
struct Containerd {
    folder: TempDir,
    child: Child,
}

impl Containerd {
    /// Starts one, or says why it cannot and returns nothing: then the test is skipped.
    fn start() -> Option<Containerd> {
        if !Path::new("/usr/bin/containerd").exists() {
            skip("there is no containerd (Debian: containerd)");
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            skip("only root's containerd can unpack images");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display();
        // Nothing but images is needed, and none of the machine's own containers.
        let config = format!(
            "version = 2\nroot = \"{home}/root\"\nstate = \"{home}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{home}/socket\"\n\
             [ttrpc]\naddress = \"{home}/ttrpc\"\n"
        );
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut command = Command::new("/usr/bin/containerd");
        command.arg("--config").arg(folder.path().join("config.toml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let containerd = Containerd { folder, child };
        for _ in 0..100 {
            if containerd.ctr(&["version"]).status.success() {
                return Some(containerd);
            }
            sleep(Duration::from_millis(200));
        }
        panic!("containerd does not start");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn ctr(&self, words: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--connect-timeout", "5s", "-n", "k8s.io"])
            .args(words);
        command.output().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn an_archive_is_imported_under_its_name_and_digest() {
    let (Some(registry), Some(containerd)) = (Registry::start(), Containerd::start()) else { return };
    let architecture =
        if std::env::consts::ARCH == "aarch64" { Architecture::Arm64 } else { Architecture::Amd64 };
    let wanted = wanted(architecture);
    registry.push(&wanted.images[0].reference, &["amd64", "arm64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let lock = artifact::pin(&source, &wanted).await.unwrap();
    artifact::fetch(&source, &lock, &|_| ()).await.unwrap();
    artifact::stage(&source.store, &lock, folder.path()).unwrap();
    let index = Index::load(folder.path(), "1.36.5").unwrap();

    let archive = index.images[0].path.to_str().unwrap();
    let native = ["--snapshotter", "native"];
    let output =
        containerd.ctr(&[&["images", "import", "--digests=false"][..], &native, &[archive]].concat());
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(containerd.ctr(&["images", "list"]).stdout).unwrap();
    let line = listed.lines().find(|line| line.starts_with(&wanted.images[0].reference)).unwrap();
    assert!(line.contains(&index.images[0].digest), "{line}");
}
