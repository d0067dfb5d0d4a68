//! How a host tells that a certificate has expired, with its openssl.

use std::{fs, process::Command};

use hoist::engine::{Context, Library, Templates};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

#[test]
fn one_certificate_that_has_expired_among_others_is_found() {
    let root = tempfile::tempdir().unwrap();
    for (name, year) in [("holds.pem", 2200), ("also.pem", 2199), ("over.pem", 2020)] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(year, 1, 1));
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        fs::write(root.path().join(name), pem).unwrap();
    }
    fs::write(root.path().join("odd.pem"), "no certificate").unwrap();
    let text = Templates::new(Library::default()).file("security/hold.sh", &Context::default()).unwrap();
    let hold = |path: &str, files: &str| {
        let script = format!("{text}\nhold {files}");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script]).current_dir(&root).env("PATH", path);
        shell.output().unwrap().status.success()
    };
    let path = "/usr/bin:/bin";
    assert!(hold(path, "holds.pem also.pem"));
    assert!(hold(path, "missing.pem holds.pem"), "what is not there has not expired");
    for files in ["over.pem", "holds.pem over.pem", "over.pem holds.pem", "holds.pem odd.pem"] {
        assert!(!hold(path, files), "{files}");
        assert!(hold("/nowhere", files), "without openssl nobody can tell");
    }
}
