//! Add-ons, as far as no cluster is needed.

use std::fs;

use super::{ask, inventory};

#[test]
fn who_only_looks_needs_no_secret_of_another_add_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("artifacts/kubernetes-1.36.2");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("index.yaml"), "kubernetes: 1.36.2\norigin: a test\nfiles: []\nimages: []\n")
        .unwrap();
    let text = "cluster: {name: a, kubernetes: 1.36.2}\nartifacts: {folder: ARTIFACTS}\n\
                hosts: {a: {address: 10.77.0.9, roles: [control-plane, worker]}}\nssh: {config: CONFIG}\n\
                addons: {registry: {host: r.lan, storage_class: fast, tls: false, users: {env: HOIST_TEST_NOT_SET}}}\n";
    // No packet leaves for the host.
    let (artifacts, config) = (folder.path().join("artifacts"), folder.path().join("config"));
    fs::write(&config, "Host *\n  ProxyCommand false\n").unwrap();
    let text = text.replace("ARTIFACTS", artifacts.to_str().unwrap());
    let file = inventory(folder.path(), &text.replace("CONFIG", config.to_str().unwrap()));
    let unset = "the environment variable HOIST_TEST_NOT_SET is not set";
    for verb in [&["list"][..], &["status"], &["diff"]] {
        let (exit, _, errors) = ask(&[&["addon"], verb, &["-i", &file]].concat());
        // It gets as far as the host, which does not answer.
        assert!(
            exit != 65 && !errors.contains(unset) && errors.contains("a cannot be used"),
            "{exit}: {errors}"
        );
    }
    let (exit, _, errors) = ask(&["plan", "-i", &file]);
    assert!(
        exit == 65 && errors.split_whitespace().collect::<Vec<_>>().join(" ").contains("HOIST_TEST_NOT_SET"),
        "{errors}"
    );
}
