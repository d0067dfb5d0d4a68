//! Bundles where the disk is full, memory is short, or the run is killed.

use std::{fs, path::PathBuf};

use hoist::artifact::{self, Error, bundle, lock};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{bundles::bed, skip::skip};

/// A file system of four megabytes, for as long as the value lives; `None` where only root may have one.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(path: PathBuf) -> Option<Tiny> {
        if !nix::unistd::geteuid().is_root() {
            skip("only root can make a file system that is full");
            return None;
        }
        fs::create_dir(&path).unwrap();
        mount(Some("none"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
        Some(Tiny(path))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).ok();
    }
}

/// So many bytes that cannot be packed.
fn random(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

#[test]
fn a_full_disk_is_said_with_how_much_is_needed() {
    let bed = bed(&[random(6 << 20)]);
    let Some(tiny) = Tiny::mount(bed.path("tiny")) else { return };
    // A process that another test starts has the half file for a moment, and with it its room.
    let told = (0..20).any(|_| {
        let error = bundle::create(&tiny.0.join("office.bundle"), &bed.lock, &bed.store).unwrap_err();
        let Error::NoSpace { needed, free, .. } = error else { panic!("{error}") };
        assert!(needed > 6 << 20, "{needed}");
        assert_eq!(fs::read_dir(&tiny.0).unwrap().count(), 0, "nothing half is left");
        free > 3 << 20
    });
    assert!(told, "how much is free is said of the disk as it is afterwards");

    // Unpacking is not even begun.
    let inventory = format!(
        "cluster: {{name: one, kubernetes: 1.36.5}}\nartifacts: {{bundle: {}}}\nhosts:\n  \
         a: {{address: 10.0.0.1, roles: [control-plane]}}\n",
        bed.bundle().display()
    );
    let inventory = hoist::inventory::parse("site.yaml", &inventory).unwrap().inventory;
    let cache = tiny.0.join("cache");
    let error = artifact::supply(&inventory, &bed.path("site.yaml"), bed.folder.path(), &cache).unwrap_err();
    let Error::NoSpace { needed, .. } = error else { panic!("{error}") };
    assert!(needed > 6 << 20, "{needed}");
    assert!(!cache.join("store").exists());
    // Where there is room, the same works, and the cache of the one that failed does no harm.
    let index =
        artifact::supply(&inventory, &bed.path("site.yaml"), bed.folder.path(), &bed.path("cache")).unwrap();
    assert_eq!(index.files[0].size, 6 << 20);
}

#[test]
fn no_file_is_held_in_memory_and_a_killed_run_leaves_nothing_half() {
    const LARGE: u64 = 256 << 20;
    let bed = bed(&[random(1 << 20)]);
    // Zeros that take no room on the disk.
    let zeros = bed.path("zeros");
    fs::File::create(&zeros).unwrap().set_len(LARGE).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&zeros).output().unwrap();
    let sha256 = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    fs::rename(&zeros, bed.store.path(&sha256)).unwrap();
    bed.lock.write(&bed.path("hoist.lock"), false).unwrap();
    let inventory = "cluster: {name: one, kubernetes: 1.36.5}\nhosts:\n  a: {address: 10.0.0.1, roles: [control-plane]}\n";
    fs::write(bed.path("site.yaml"), inventory).unwrap();
    let hoist = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.args(words).current_dir(bed.folder.path()).env("HOIST_CACHE", bed.folder.path());
        command.env("HOME", bed.folder.path()).env_remove("HOIST_INVENTORY");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let create = ["bundle", "create", "-i", "site.yaml", "site.bundle"];
    let verify = ["bundle", "verify", "site.bundle"];
    // The program itself takes some, too.
    let peak = |words: &[&str]| {
        let ended = wait4::Wait4::wait4(&mut hoist(words)).unwrap();
        assert!(ended.status.success(), "{words:?}");
        ended.rusage.maxrss
    };
    let usual = [&create[..], &verify].map(peak);
    let large = lock::File { name: "large".into(), sha256, size: LARGE, ..bed.lock.files[0].clone() };
    let mut lock = bed.lock.clone();
    lock.files.push(large);
    lock.write(&bed.path("hoist.lock"), true).unwrap();
    fs::remove_file(bed.path("site.bundle")).unwrap();
    for milliseconds in [20, 100, 300] {
        let mut child = hoist(&create);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        // There is none, or a whole one of a run that was quick.
        if bed.path("site.bundle").exists() {
            bundle::lock(&bed.path("site.bundle")).unwrap();
        }
    }
    for (words, usual) in [&create[..], &verify].into_iter().zip(usual) {
        let peak = peak(words);
        assert!(
            peak < usual + (64 << 20),
            "{words:?} took {peak} bytes of memory, with a small file {usual}"
        );
    }
    assert!(!bed.path("site.bundle.partial").exists());
}
