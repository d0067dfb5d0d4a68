//! Files: whole, resumed, refused.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use hoist::transport::{Error, Host, Local, Script, Target, Transfer, connect};
use sha2::{Digest, Sha256};

use crate::{
    proxy::{Cut, Proxy},
    support::{skip::skip, sshd::Sshd},
};

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(size: usize) -> Vec<u8> {
    (0..size as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(size).collect()
}

fn transfer(dir: &Path, content: &[u8], destination: &Path) -> Transfer {
    let source = dir.join("source");
    fs::write(&source, content).unwrap();
    let destination = destination.display().to_string();
    Transfer { source, destination, sha256: digest(content), mode: 0o750, beside: None }
}

/// Sends a file and returns all that the progress was told.
async fn send(host: &dyn Host, transfer: &Transfer) -> Result<Vec<u64>, Error> {
    let told = Mutex::new(Vec::new());
    host.send(transfer, &|bytes| told.lock().unwrap().push(bytes)).await?;
    Ok(told.into_inner().unwrap())
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.display().to_string().contains(".hoist-")).collect()
}

#[tokio::test]
async fn files_of_all_sizes_arrive_once() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    for size in [0, 1, 32_768, 300_000, 5_000_000] {
        let bytes = content(size);
        let destination = sshd.path(&format!("new/folder/it's {size}"));
        let transfer = transfer(&sshd.path(""), &bytes, &destination);
        let told = send(&*host, &transfer).await.unwrap();
        assert_eq!(fs::read(&destination).unwrap(), bytes);
        assert_eq!(told.last(), Some(&(size as u64)));
        assert!(told.is_sorted());
        let meta = fs::metadata(&destination).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o750, nix::unistd::geteuid().as_raw()));
        assert_eq!(fs::metadata(destination.parent().unwrap()).unwrap().mode() & 0o777, 0o755);
        assert_eq!(leftovers(destination.parent().unwrap()), [] as [PathBuf; 0]);
        // There already: only the mode is mended.
        fs::set_permissions(&destination, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(send(&*host, &transfer).await.unwrap(), [size as u64]);
        let after = fs::metadata(&destination).unwrap();
        assert_eq!((after.mode() & 0o7777, after.ino()), (0o750, meta.ino()));
    }
    // The shell is still in step.
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn content_that_looks_like_commands_is_only_content() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let marker = sshd.path("ran");
    let line = format!("touch {}\n", marker.display());
    let bytes = line.repeat(200_000).into_bytes();
    let destination = sshd.path("copy");
    let good = transfer(&sshd.path(""), &bytes, &destination);
    // The digest is wrong, the folder cannot be made, the destination is a folder.
    let wrong = Transfer { sha256: digest(b"other"), ..good.clone() };
    assert!(matches!(send(&*host, &wrong).await, Err(Error::Digest { found, .. }) if found == good.sha256));
    assert!(!destination.exists());
    let beneath_a_file =
        Transfer { destination: format!("{}/source/x", sshd.path("").display()), ..good.clone() };
    assert!(matches!(send(&*host, &beneath_a_file).await, Err(Error::Write { .. })));
    let folder = Transfer {
        destination: sshd.path("").display().to_string().trim_end_matches('/').into(),
        ..good.clone()
    };
    let error = send(&*host, &folder).await.unwrap_err();
    assert!(matches!(&error, Error::Write { reason, .. } if reason == "it is a folder"), "{error}");
    let relative = Transfer { destination: "relative".into(), ..good.clone() };
    assert!(matches!(send(&*host, &relative).await, Err(Error::Write { .. })));
    send(&*host, &good).await.unwrap();
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    assert!(!marker.exists());
    assert_eq!(leftovers(&sshd.path("")), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_link_is_replaced_and_what_it_names_is_not_touched() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let (destination, other) = (sshd.path("link"), sshd.path("other"));
    fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, &destination).unwrap();
    send(&*host, &transfer(&sshd.path(""), b"new", &destination)).await.unwrap();
    assert!(!fs::symlink_metadata(&destination).unwrap().is_symlink());
    assert_eq!(fs::read(&destination).unwrap(), b"new");
    assert_eq!(fs::read(&other).unwrap(), b"precious");
}

#[tokio::test]
async fn a_transfer_that_was_cut_is_resumed() {
    let Some(sshd) = Sshd::start() else { return };
    let bytes = content(20_000_000);
    let destination = sshd.path("large");
    let transfer = transfer(&sshd.path(""), &bytes, &destination);
    let proxy = Proxy::start(sshd.address(), Cut::Close).await;
    let through = Target { port: proxy.port, ..sshd.target() };
    let known = format!("[127.0.0.1]:{} {}", proxy.port, sshd.public("host_ed25519"));
    fs::write(sshd.path("known_hosts"), known).unwrap();
    let host = connect(&through).await.unwrap();
    let progress = |bytes| {
        if bytes > 8_000_000 {
            proxy.cut();
        }
    };
    let cut = host.send(&transfer, &progress);
    let error = cut.await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    assert!(!destination.exists());

    let host = connect(&sshd.target()).await.unwrap();
    let told = send(&*host, &transfer).await.unwrap();
    assert!(told[0] > 1_000_000, "it began again at {}", told[0]);
    assert_eq!(fs::read(&destination).unwrap(), bytes);
    assert_eq!(leftovers(&sshd.path("")), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_noticed_while_it_is_full() {
    let Some(sshd) = Sshd::start() else { return };
    let transfer = transfer(&sshd.path(""), &content(30_000_000), &sshd.path("large"));
    let proxy = Proxy::start(sshd.address(), Cut::Silence).await;
    let through = Target { port: proxy.port, keepalive: Duration::from_millis(1000), ..sshd.target() };
    let known = format!("[127.0.0.1]:{} {}", proxy.port, sshd.public("host_ed25519"));
    fs::write(sshd.path("known_hosts"), known).unwrap();
    let host = connect(&through).await.unwrap();
    let progress = |bytes| {
        if bytes > 3_000_000 {
            proxy.cut();
        }
    };
    let sending = host.send(&transfer, &progress);
    let error = tokio::time::timeout(Duration::from_secs(15), sending).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}

/// What is to restart after it looks whether it is newer.
#[tokio::test]
async fn a_file_that_an_earlier_run_brought_is_new_when_it_is_put_in_place() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let bytes = content(1000);
    let transfer = transfer(&sshd.path(""), &bytes, &sshd.path("file"));
    let part = sshd.path(&format!(".hoist-{}", transfer.sha256));
    fs::write(&part, &bytes).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(86_400);
    fs::File::options().write(true).open(&part).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(send(&*host, &transfer).await.unwrap()[0], 1000);
    let modified = || fs::metadata(sshd.path("file")).unwrap().modified().unwrap();
    assert!(modified().elapsed().unwrap() < Duration::from_secs(60));
    // But one that was in place already has not changed.
    fs::File::options().write(true).open(sshd.path("file")).unwrap().set_modified(long_ago).unwrap();
    send(&*host, &transfer).await.unwrap();
    assert!(modified().elapsed().unwrap() > Duration::from_secs(3600));
}

#[tokio::test]
async fn damaged_leftovers_are_not_built_upon() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let bytes = content(100_000);
    let transfer = transfer(&sshd.path(""), &bytes, &sshd.path("file"));
    let part = sshd.path(&format!(".hoist-{}", transfer.sha256));
    for (leftover, first) in [(vec![0; 50_000], 50_000), (vec![0; 100_000], 100_000), (vec![0; 100_001], 0)] {
        fs::write(&part, leftover).unwrap();
        let told = send(&*host, &transfer).await.unwrap();
        assert_eq!(told[0], first);
        assert_eq!(fs::read(sshd.path("file")).unwrap(), bytes);
        fs::remove_file(sshd.path("file")).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", &part).unwrap();
    let before = fs::read("/etc/passwd").unwrap();
    send(&*host, &transfer).await.unwrap();
    assert_eq!(fs::read("/etc/passwd").unwrap(), before);
}

/// A small file system that ends with this value.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Small> {
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at).status();
        if !mounted.is_ok_and(|status| status.success()) {
            skip("a tmpfs cannot be mounted here");
            return None;
        }
        Some(Small(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("-l").arg(&self.0).status().unwrap().success());
    }
}

#[tokio::test]
async fn a_full_disk_is_known_before_and_noticed_meanwhile() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(small) = Small::mount(sshd.path("small")) else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let destination = small.0.join("file");
    let large = transfer(&sshd.path(""), &content(6_000_000), &destination);
    let told = Mutex::new(Vec::new());
    let error = host.send(&large, &|bytes| told.lock().unwrap().push(bytes)).await.unwrap_err();
    let known = matches!(error, Error::NoSpace { needed: 6_000_000, available: 4_194_304, .. });
    assert!(known, "{error}");
    assert_eq!(told.into_inner().unwrap(), [] as [u64; 0]);

    let fits = transfer(&sshd.path(""), &content(3_000_000), &destination);
    // It is filled by something else once the host has said that there is room.
    let filler = small.0.join("filler");
    let progress = |bytes| {
        if bytes == 0 {
            fs::write(&filler, content(2_500_000)).unwrap();
        }
    };
    let filled = host.send(&fits, &progress);
    let error = filled.await.unwrap_err();
    assert!(matches!(error, Error::NoSpace { needed: 3_000_000, .. }), "{error}");
    assert_eq!(leftovers(&small.0), [] as [PathBuf; 0]);
    fs::remove_file(filler).unwrap();
    send(&*host, &fits).await.unwrap();
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn a_source_that_is_missing_shrinks_or_grows() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can give files to root");
    }
    let dir = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let good = transfer(dir.path(), &content(2_000_000), &dir.path().join("copy"));
    let missing = Transfer { source: dir.path().join("missing"), ..good.clone() };
    assert!(matches!(send(&host, &missing).await, Err(Error::Source { .. })));
    let progress = |bytes| {
        if bytes == 0 {
            fs::File::options().write(true).open(&good.source).unwrap().set_len(1000).unwrap();
        }
    };
    let shrink = host.send(&good, &progress);
    let error = tokio::time::timeout(Duration::from_secs(5), shrink).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    // More than what was announced must never reach the shell, which would run it.
    fs::write(&good.source, content(2_000_000)).unwrap();
    let marker = dir.path().join("ran");
    let grow = |bytes| {
        if bytes == 0 {
            let mut file = fs::File::options().append(true).open(&good.source).unwrap();
            writeln!(file, "\ntouch {}\n", marker.display()).unwrap();
        }
    };
    host.send(&good, &grow).await.unwrap();
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    assert!(!marker.exists());
}
