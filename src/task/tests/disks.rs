//! Disks, on loop devices of this machine: what holds anything is never written to.

use std::{fs, path::Path, process::Command};

use super::*;

/// A loop device over a file of its own; gone when this goes.
struct Loop {
    device: String,
    file: tempfile::NamedTempFile,
}

impl Loop {
    /// Nothing where this machine gives none.
    fn new(mib: u64) -> Option<Loop> {
        if !is_root() {
            return skipped("not root");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(mib << 20).unwrap();
        let output =
            Command::new("losetup").args(["--find", "--show", "--partscan"]).arg(file.path()).output();
        match output {
            Ok(output) if output.status.success() => {
                let device = String::from_utf8(output.stdout).unwrap().trim().to_string();
                Some(Loop { device, file })
            }
            _ => skipped("no loop devices"),
        }
    }

    fn digest(&self) -> String {
        sha256(&fs::read(self.file.path()).unwrap())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    assert!(
        std::env::var("CI").as_deref() != Ok("true") || !is_root(),
        "{why}: nothing may be skipped in CI"
    );
    eprintln!("skipped: {why}");
    None
}

fn filesystem(device: &str, fstype: &str, format: bool) -> Task {
    task("filesystem", json!({"device": device, "fstype": fstype, "format": format}))
}

async fn run(host: &Local, script: &str) {
    let output = host.run(Script::new(script)).await.unwrap();
    assert_eq!(output.status, 0, "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What is refused, by the plan and by the act alike, with nothing written.
async fn refuses(host: &Local, disk: &Loop, task: &Task) -> String {
    let before = disk.digest();
    let change = task.diff(&observe(host, std::slice::from_ref(task)).await).unwrap();
    assert!(change.summary.starts_with("refuse: "), "{change:?}");
    let refused = apply(host, task).await.unwrap_err();
    assert_eq!(change.summary, format!("refuse: {}", refused.trim_end()));
    assert_eq!(disk.digest(), before, "{refused}");
    refused
}

#[tokio::test]
async fn an_empty_device_gets_a_file_system_once_and_when_asked() {
    let Some(disk) = Loop::new(64) else { return };
    let host = Local::open("here").await.unwrap();
    let device = disk.device.as_str();
    let refused = refuses(&host, &disk, &filesystem(device, "ext4", false)).await;
    assert!(
        refused.contains("is empty, and nothing says that ext4 may be made on it: `format: true`"),
        "{refused}"
    );

    let task = filesystem(device, "ext4", true);
    let change = task.diff(&observe(&host, std::slice::from_ref(&task)).await).unwrap();
    assert_eq!(change.summary, format!("make ext4 on {device}"));
    assert_eq!(change.details.len(), 1, "{change:?}");
    converges(&host, &task).await;
    let made = disk.digest();
    converges(&host, &task).await;
    converges(&host, &filesystem(device, "ext4", false)).await;
    assert_eq!(disk.digest(), made, "a second time changes nothing");
    let refused = refuses(&host, &disk, &filesystem(device, "xfs", true)).await;
    assert!(refused.contains("is not empty: a file system (ext4)"), "{refused}");

    // By another name of the same device, as the inventory gives it.
    let folder = tempfile::tempdir().unwrap();
    let link = format!("/dev/hoist-test-{}", std::process::id());
    std::os::unix::fs::symlink(device, &link).unwrap();
    let holds =
        filesystem(&link, "ext4", true).diff(&observe(&host, &[filesystem(&link, "ext4", true)]).await);
    fs::remove_file(&link).unwrap();
    assert_eq!(holds, None);
    assert!(folder.path().exists());
}

#[tokio::test]
async fn a_device_with_anything_on_it_is_refused_and_not_written_to() {
    let host = Local::open("here").await.unwrap();
    for (make, found) in [
        ("mkfs.ext4 -q $d", "a file system (ext4)"),
        ("mkswap -q $d", "a file system (swap)"),
        // A partition table of one partition: bootable no, type 83, from sector 2048, 32768 sectors.
        (
            "printf '\\0\\0\\0\\0\\203\\0\\0\\0\\0\\010\\0\\0\\0\\200\\0\\0' | dd of=$d bs=1 seek=446 conv=notrunc status=none && \
             printf '\\125\\252' | dd of=$d bs=1 seek=510 conv=notrunc status=none",
            "a partition table (dos)",
        ),
        // A volume group's label, as pvcreate(8) writes it: LABELONE in the second sector.
        ("printf 'LABELONE' | dd of=$d bs=512 seek=1 conv=notrunc status=none", "data without a signature"),
        // The header of encryption, without the tools that make one.
        ("printf 'LUKS\\272\\276\\0\\1' | dd of=$d conv=notrunc status=none", "crypto_LUKS"),
        // A file system whose signature was wiped and whose data are there; raw data; data at the very end.
        ("mkfs.ext4 -q $d && wipefs -qa $d", "data without a signature"),
        ("echo secret | dd of=$d bs=4096 seek=7 conv=notrunc status=none", "data without a signature"),
        ("echo secret | dd of=$d bs=1048576 seek=63 conv=notrunc status=none", "data without a signature"),
    ] {
        let Some(disk) = Loop::new(64) else { return };
        run(&host, &format!("d={}\n{make} && sync $d", disk.device)).await;
        let wanted =
            if make.starts_with("mkfs.ext4 -q $d") && !make.contains("wipefs") { "xfs" } else { "ext4" };
        for format in [true, false] {
            let refused = refuses(&host, &disk, &filesystem(&disk.device, wanted, format)).await;
            assert!(refused.contains("is not empty: ") && refused.contains(found), "{make}: {refused}");
        }
    }
}

#[tokio::test]
async fn what_came_into_use_since_it_was_looked_at_is_not_written_to() {
    let Some(disk) = Loop::new(64) else { return };
    let host = Local::open("here").await.unwrap();
    let task = filesystem(&disk.device, "ext4", true);
    let seen = observe(&host, std::slice::from_ref(&task)).await;
    let [Act::Script { text, .. }] = &task.acts(&seen)[..] else { panic!("one script") };
    run(&host, &format!("echo data | dd of={} bs=512 conv=notrunc status=none && sync", disk.device)).await;
    let before = disk.digest();
    let output = host.run(Script::new(text.clone())).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status != 0 && complaint.contains("is not empty any more"), "{complaint}");
    assert_eq!(disk.digest(), before);
    // One that is gone.
    let device = disk.device.clone();
    drop(disk);
    let gone = task.acts(&seen);
    let [Act::Script { text, .. }] = &gone[..] else { panic!("one script") };
    let output = host.run(Script::new(text.clone())).await.unwrap();
    assert_ne!(output.status, 0, "{device}");
}

#[tokio::test]
async fn what_is_no_device_is_refused_by_its_name() {
    let host = Local::open("here").await.unwrap();
    for device in ["/dev/no-such-disk", "/dev/null", "/dev/shm"] {
        let refused = apply(&host, &filesystem(device, "ext4", true)).await.unwrap_err();
        assert_eq!(refused, format!("there is no block device {device}: see `lsblk` on the host\n"));
    }
    assert!(!Path::new("/dev/no-such-disk").exists());
}

#[test]
fn statements_about_other_things_are_mistakes() {
    for (device, fstype, mistake) in [
        ("/srv/disk", "ext4", Some("\"/srv/disk\" is no device below /dev")),
        ("/dev/sdb", "btrfs", Some("\"btrfs\" is neither ext4 nor xfs")),
        ("/dev/sdb", "xfs", None),
        ("{{ item.device }}", "{{ item.filesystem }}", None),
    ] {
        assert_eq!(filesystem(device, fstype, true).mistake().as_deref(), mistake);
    }
}
