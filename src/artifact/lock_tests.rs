//! Lock files that are read, compared and refused.

use super::*;
use crate::artifact::packages;

pub(in crate::artifact) fn sample() -> Lock {
    Lock {
        kubernetes: "1.36.5".into(),
        architectures: vec![Architecture::Amd64],
        files: vec![File {
            name: "crictl".into(),
            version: "1.36.0".into(),
            architecture: Architecture::Amd64,
            place: Place::Host,
            url: "https://github.com/crictl.tar.gz".into(),
            sha256: "ab".repeat(32),
            size: 3,
            member: Some("crictl".into()),
        }],
        images: vec![Image {
            name: "pause".into(),
            reference: "registry.k8s.io/pause:3.10.2".into(),
            architecture: Architecture::Amd64,
            digest: format!("sha256:{}", "cd".repeat(32)),
            size: 5,
            everywhere: false,
        }],
        charts: Vec::new(),
        packages: Vec::new(),
    }
}

/// With what only some sites have.
pub(in crate::artifact) fn full_sample() -> Lock {
    let chart = Chart {
        name: "metallb".into(),
        version: "0.16.1".into(),
        url: "https://metallb.github.io/metallb-0.16.1.tgz".into(),
        sha256: "ef".repeat(32),
        size: 7,
    };
    Lock { charts: vec![chart], packages: vec![packages::sample()], ..sample() }
}

#[test]
fn the_file_is_the_contract() {
    insta::assert_snapshot!(sample().text().unwrap(), @r#"
        # Written by `hoist lock`: everything that the inventory's hosts need, pinned by its digest.
        # Keep it with the inventory. `hoist lock --update` writes it anew.
        kubernetes: "1.36.5"
        architectures:
        - amd64
        files:
        - name: crictl
          version: "1.36.0"
          architecture: amd64
          place: host
          url: https://github.com/crictl.tar.gz
          sha256: abababababababababababababababababababababababababababababababab
          size: 3
          member: crictl
        images:
        - name: pause
          reference: registry.k8s.io/pause:3.10.2
          architecture: amd64
          digest: sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
          size: 5
        "#);
}

#[test]
fn charts_and_packages_are_written_and_read_again() {
    let text = full_sample().text().unwrap();
    insta::assert_snapshot!("full_lock", text);
    assert_eq!(Lock::parse(&Source::new(NAME, text)).unwrap(), full_sample());
}

#[test]
fn a_package_that_is_needed_and_not_pinned_is_a_mistake() {
    let mut lock = full_sample();
    lock.packages[0].files.remove(0);
    let Err(Error::Mistakes(problems)) = Lock::parse(&Source::new(NAME, lock.text().unwrap())) else {
        panic!()
    };
    assert!(problems.to_json()[0]["message"].as_str().unwrap().contains("`libc6` for debian-12"));
}

#[test]
fn what_is_written_can_be_read_and_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = Lock::beside(&folder.path().join("office.yaml"));
    assert!(matches!(Lock::load(&path), Err(Error::NoLock { .. })));
    assert!(sample().write(&path, false).unwrap());
    assert_eq!(Lock::load(&path).unwrap(), sample());
    assert!(!sample().write(&path, false).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn another_lock_is_refused_until_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    sample().write(&path, false).unwrap();
    let mut new = sample();
    new.images.clear();
    let Err(Error::LockDiffers { differences, .. }) = new.write(&path, false) else { panic!() };
    assert_eq!(differences, ["image pause (amd64): not needed any more"]);
    assert_eq!(Lock::load(&path).unwrap(), sample(), "nothing was written");
    assert!(new.write(&path, true).unwrap());
    assert_eq!(Lock::load(&path).unwrap(), new);
}

proptest::proptest! {
    /// Among others digests that look like numbers to a reader of YAML.
    #[test]
    fn every_lock_can_be_read_again(
        sha256 in "[0-9a-f]{64}|[0-9]{64}|[0-9]{20}e[0-9]{43}|0{64}|0b[01]{62}",
        version in "[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?|[0-9]{1,5}|0x[0-9]|1e3|null|true|~",
        size in 1..u64::MAX,
    ) {
        let mut lock = sample();
        lock.files[0].sha256 = sha256;
        lock.files[0].version = version;
        lock.files[0].size = size;
        let text = lock.text().unwrap();
        proptest::prop_assert_eq!(Lock::parse(&Source::new(NAME, text)).unwrap(), lock);
    }
}

#[test]
fn a_mistake_has_its_place() {
    let text = sample().text().unwrap().replace(&"ab".repeat(32), "short");
    let Err(Error::Mistakes(problems)) = Lock::parse(&Source::new(NAME, text)) else { panic!() };
    assert_eq!(problems.list().len(), 1);
    assert_eq!(problems.to_json()[0]["line"], 12);
}

#[test]
fn an_entry_that_stands_twice_is_refused() {
    let mut twice = sample();
    twice.files.push(File { sha256: "00".repeat(32), ..twice.files[0].clone() });
    let answer = Lock::parse(&Source::new(NAME, twice.text().unwrap()));
    assert!(matches!(answer, Err(Error::Mistakes(_))), "{answer:?}");
}

#[test]
fn a_lock_for_another_version_is_refused() {
    let path = Path::new(NAME);
    assert!(sample().fits(path, &Version::new(1, 36, 5)).is_ok());
    assert!(matches!(sample().fits(path, &Version::new(1, 36, 4)), Err(Error::OtherVersion { .. })));
}

#[test]
fn hosts_fetch_what_they_get_as_it_was_released() {
    let mut lock = full_sample();
    assert!(lock.files[0].member.is_some() && !lock.charts.is_empty());
    let kubelet = ("12".repeat(32), "https://dl.k8s.io/kubelet".to_string());
    lock.files.push(File {
        name: "kubelet".into(),
        sha256: kubelet.0.clone(),
        url: kubelet.1.clone(),
        member: None,
        ..lock.files[0].clone()
    });
    let packages = lock.packages[0].files.iter().map(|package| (package.sha256.clone(), package.url.clone()));
    assert_eq!(lock.origins(), packages.chain([kubelet]).collect());
}
