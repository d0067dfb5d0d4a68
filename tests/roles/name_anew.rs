//! How the API server gets a certificate with other names, in the shells that hosts have: the old one is there until the new
//! one is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hoist::engine::{Context, Library, Templates};

/// What kubeadm does there: it takes a certificate that it finds.
const KUBEADM: &str =
    "pki=$root/kubernetes/pki\n[ -e $pki/ca.key ] && [ ! -e $pki/apiserver.crt ] || exit 1\n";

/// An API server that sees the new certificate when it has been asked three times.
const KUBECTL: &str = r#"#!/bin/sh
server='' name=''
while [ $# -gt 1 ]; do
    case $1 in --server) server=$2 ;; --tls-server-name) name=$2 ;; esac
    shift
done
echo "$server $name" >> asked
[ "$(grep -c 10.0.0.100 asked)" -gt 3 ] || [ "$name" != 10.0.0.100 ] || {
    echo "Unable to connect to the server: x509: certificate is valid for 127.0.0.1, not $name" >&2
    exit 1
}
"#;

/// An API server that does not run.
const SILENT: &str = "#!/bin/sh\necho \"$@\" >> asked\necho 'connection refused' >&2\nexit 1\n";

fn script(root: &Path, function: &str) -> String {
    let text = Templates::new(Library::default()).file("kubeadm/name-anew.sh", &Context::default()).unwrap();
    let text = text.replace("/etc/kubernetes", root.join("kubernetes").to_str().unwrap());
    format!("{text}\n{function}")
}

fn put(path: &Path, program: &str) {
    fs::write(path, program).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(shell: &str, kubeadm: &str) -> (bool, PathBuf, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let pki = root.path().join("kubernetes/pki");
    // A run before was killed.
    for folder in [&pki, &root.path().join("bin"), &root.path().join("kubernetes/.pki")] {
        fs::create_dir_all(folder).unwrap();
    }
    for name in [
        "ca.crt",
        "ca.key",
        "sa.key",
        "apiserver.crt",
        "apiserver.key",
        "../.pki/apiserver.crt",
        "../api-names",
    ] {
        fs::write(pki.join(name), "old").unwrap();
    }
    let program = format!("#!/bin/sh\nroot={}\n{KUBEADM}{kubeadm}", root.path().display());
    put(&root.path().join("bin/kubeadm"), &program);
    let status = Command::new(shell)
        .args(["-c", &script(root.path(), "name_anew 10.0.0.1:6443")])
        .env("PATH", format!("{}/bin:/usr/bin:/bin", root.path().display()))
        .status()
        .unwrap();
    (status.success(), pki, root)
}

/// What the wait for the names says and asks for.
fn served(shell: &str, kubectl: &str, names: &str) -> (Output, String) {
    let root = tempfile::tempdir().unwrap();
    for folder in ["bin", "kubernetes"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    put(&root.path().join("bin/kubectl"), kubectl);
    // Seconds are no part of what is tested.
    put(&root.path().join("bin/sleep"), "#!/bin/sh\n");
    fs::write(root.path().join("kubernetes/api-names"), names).unwrap();
    let output = Command::new(shell)
        .args(["-c", &script(root.path(), "names_served 10.0.0.1:6443")])
        .current_dir(root.path())
        .env("PATH", format!("{}/bin:/usr/bin:/bin", root.path().display()))
        .output()
        .unwrap();
    (output, fs::read_to_string(root.path().join("asked")).unwrap_or_default())
}

#[test]
fn who_asks_at_once_finds_the_new_names() {
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        for (kubectl, times) in [(KUBECTL, 4), (SILENT, 1)] {
            let (output, asked) = served(shell, kubectl, "127.0.0.1\n10.0.0.100\n");
            assert!(output.status.success(), "{shell} {output:?}");
            assert!(asked.contains("https://10.0.0.1:6443"), "{asked}");
            assert_eq!(asked.matches("10.0.0.100").count(), times, "{shell} {asked}");
        }
    }
}

#[test]
fn a_name_that_is_never_served_is_an_error_that_says_which() {
    let never =
        "#!/bin/sh\necho 'x509: certificate is valid for localhost, not lb.example.org' >&2\nexit 1\n";
    let (output, _) = served("/bin/sh", never, "lb.example.org\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("without lb.example.org"), "{said}");
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
