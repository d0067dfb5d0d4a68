//! How the API server gets a certificate with other names, in the shells that hosts have: the old one is there until the new
//! one is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use hoist::engine::{Context, Library, Templates};

/// What kubeadm does there: it takes a certificate that it finds.
const KUBEADM: &str =
    "pki=$root/kubernetes/pki\n[ -e $pki/ca.key ] && [ ! -e $pki/apiserver.crt ] || exit 1\n";

fn run(shell: &str, kubeadm: &str) -> (bool, PathBuf, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let pki = root.path().join("kubernetes/pki");
    // A run before was killed.
    for folder in [&pki, &root.path().join("bin"), &root.path().join("kubernetes/.pki")] {
        fs::create_dir_all(folder).unwrap();
    }
    for name in ["ca.crt", "ca.key", "sa.key", "apiserver.crt", "apiserver.key", "../.pki/apiserver.crt"] {
        fs::write(pki.join(name), "old").unwrap();
    }
    let program = root.path().join("bin/kubeadm");
    fs::write(&program, format!("#!/bin/sh\nroot={}\n{KUBEADM}{kubeadm}", root.path().display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let library = Library::default();
    let text = Templates::new(library).file("kubeadm/name-anew.sh", &Context::default()).unwrap();
    let text = text.replace("/etc/kubernetes", root.path().join("kubernetes").to_str().unwrap());
    let status = Command::new(shell)
        .args(["-c", &format!("{text}\nname_anew")])
        .env("PATH", format!("{}/bin:/usr/bin:/bin", root.path().display()))
        .status()
        .unwrap();
    (status.success(), pki, root)
}

#[test]
fn a_new_certificate_takes_the_place_of_the_old_one_when_it_is_whole() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: only root has mount namespaces");
        return;
    }
    let (good, bad) = ("echo new > $pki/apiserver.key; echo new > $pki/apiserver.crt", "exit 3");
    let half = "echo new > $pki/apiserver.key; kill -9 $PPID";
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        for (kubeadm, made) in [(good, true), (bad, false), (half, false)] {
            let (done, pki, _root) = run(shell, kubeadm);
            assert_eq!(done, made, "{shell} {kubeadm}");
            for name in ["apiserver.crt", "apiserver.key"] {
                let content = fs::read_to_string(pki.join(name)).unwrap();
                assert_eq!(content.trim() == "new", made, "{shell} {kubeadm} {name}");
            }
            for name in ["ca.crt", "ca.key", "sa.key"] {
                assert_eq!(fs::read_to_string(pki.join(name)).unwrap(), "old", "{name}");
            }
            assert_eq!(pki.with_file_name(".pki").exists(), !made, "{shell} {kubeadm}");
        }
    }
}
