//! Archives, unpacked for real.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// A `.tar.gz` of these files; the task that unpacks it into `folder/to`.
fn archive(folder: &Path, name: &str, files: &[(&str, &str, u32)]) -> Task {
    let path = folder.join(name);
    let encoder =
        flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    for (name, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        // Whoever packed it is nobody on the host.
        header.set_uid(4711);
        header.set_gid(4711);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let sha256 = sha256(&fs::read(&path).unwrap());
    task(
        "archive",
        json!({"source": path.to_str().unwrap(), "sha256": sha256, "path": at("to"), "list": at("share/list")}),
    )
}

async fn differs(host: &Local, task: &Task) -> bool {
    task.diff(&observe(host, std::slice::from_ref(task)).await).is_some()
}

#[tokio::test]
async fn an_archive_is_unpacked_and_replaced_as_a_whole() {
    if !is_root() {
        eprintln!("skipped: not root");
        return;
    }
    let (folder, host) = (tempfile::tempdir().unwrap(), Local::open("here").await.unwrap());
    let at = |name: &str| folder.path().join("to").join(name);
    let first = archive(
        folder.path(),
        "1.tar.gz",
        &[("./bin/tool", "one", 0o755), ("./bin/old", "old", 0o755), ("./two words", "x", 0o644)],
    );
    converges(&host, &first).await;
    assert_eq!(fs::read_to_string(at("two words")).unwrap(), "x");
    let tool = fs::metadata(at("bin/tool")).unwrap();
    assert_eq!(tool.permissions().mode() & 0o777, 0o755);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&tool), 0, "root's, whoever packed it");

    // What somebody changes or removes is put back; what is not the archive's stays.
    fs::write(at("bin/own"), "own").unwrap();
    fs::write(at("bin/tool"), "broken").unwrap();
    assert!(differs(&host, &first).await);
    converges(&host, &first).await;
    assert_eq!(fs::read_to_string(at("bin/tool")).unwrap(), "one");
    fs::remove_file(at("bin/old")).unwrap();
    converges(&host, &first).await;

    // Another release: what it does not have any more goes.
    let second = archive(folder.path(), "2.tar.gz", &[("bin/tool", "two", 0o755), ("bin/new", "new", 0o755)]);
    assert!(differs(&host, &second).await);
    converges(&host, &second).await;
    assert_eq!(fs::read_to_string(at("bin/tool")).unwrap(), "two");
    let mut left: Vec<String> = fs::read_dir(at("bin"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["new", "own", "tool"]);
    let beside: Vec<_> = fs::read_dir(at("")).unwrap().collect();
    assert_eq!(beside.len(), 1, "nothing temporary stays: {beside:?}");
    assert!(differs(&host, &first).await, "back again would be a change");
}

#[tokio::test]
async fn an_archive_that_cannot_be_unpacked_changes_nothing() {
    if !is_root() {
        eprintln!("skipped: not root");
        return;
    }
    let (folder, host) = (tempfile::tempdir().unwrap(), Local::open("here").await.unwrap());
    let good = archive(folder.path(), "1.tar.gz", &[("tool", "one", 0o755)]);
    converges(&host, &good).await;
    // One that leads out of the folder, one with nothing, one that is cut, one whose file is a folder on the host.
    fs::create_dir_all(folder.path().join("to/taken")).unwrap();
    let climbing = {
        let work = folder.path().join("work");
        fs::create_dir_all(work.join("in")).unwrap();
        fs::write(work.join("out"), "out").unwrap();
        let script = "cd \"$0/in\" && tar -czPf ../../climbing.tar.gz ../out";
        let packed = std::process::Command::new("sh").args(["-c", script]).arg(&work).status().unwrap();
        assert!(packed.success());
        let path = folder.path().join("climbing.tar.gz");
        let mut climbing = good.clone();
        if let Task::Archive(archive) = &mut climbing {
            archive.sha256 = sha256(&fs::read(&path).unwrap());
            archive.source = path.to_str().unwrap().to_string();
        }
        climbing
    };
    let cut = {
        let bytes = fs::read(folder.path().join("1.tar.gz")).unwrap();
        let path = folder.path().join("cut.tar.gz");
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let mut cut = good.clone();
        if let Task::Archive(archive) = &mut cut {
            archive.sha256 = sha256(&bytes[..bytes.len() / 2]);
            archive.source = path.to_str().unwrap().to_string();
        }
        cut
    };
    let taken = archive(folder.path(), "taken.tar.gz", &[("taken", "x", 0o644)]);
    let empty = archive(folder.path(), "empty.tar.gz", &[]);
    for (task, why) in
        [(climbing, ""), (cut, "cannot be unpacked"), (taken, "is a directory"), (empty, "no file")]
    {
        let refused = apply(&host, &task).await;
        // tar(1) may leave out what climbs, or refuse the whole.
        if !why.is_empty() {
            assert!(refused.clone().unwrap_err().contains(why), "{refused:?}");
        }
        assert!(!folder.path().join("out").exists());
        assert_eq!(fs::read_to_string(folder.path().join("to/tool")).unwrap(), "one");
        assert!(!folder.path().join("to/.hoist-unpack").exists(), "{task:?}");
    }
}

#[test]
fn a_unit_restarts_after_what_was_unpacked() {
    let service = Task::Service(
        serde_json::from_value(json!({"unit": "a.service", "restart_after": ["/share/list"]})).unwrap(),
    );
    let archive = task(
        "archive",
        json!({"source": "/a.tar.gz", "sha256": "00".repeat(32), "path": "/to", "list": "/share/list"}),
    );
    let mut seen = Observations::default();
    let unit = UnitState {
        load: "loaded".into(),
        active: "active".into(),
        file: "enabled".into(),
        stale: false,
        started: Some("1.0".into()),
    };
    seen.units.insert("a.service".into(), unit);
    assert_eq!(service.diff(&seen), None);
    archive.foresee(&mut seen);
    assert_eq!(archive.diff(&seen), None);
    assert_eq!(service.diff(&seen).unwrap().summary, "restart a.service");
}

#[test]
fn a_unit_restarts_when_a_part_of_it_goes() {
    let mut seen = Observations::default();
    let unit = UnitState { load: "loaded".into(), active: "active".into(), ..UnitState::default() };
    seen.units.insert("a.service".into(), unit);
    task("absent", json!({"path": "/etc/systemd/system/a.service.d/own.conf"})).foresee(&mut seen);
    assert!(seen.units["a.service"].stale);
}
