//! A disk of its own for a node: a file with a file system, mounted where the node's files are. It can be full.
//!
//! Without one a node's files share the disk of this machine, as much of it as they take.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    mount::umount,
    sys::statvfs::statvfs,
};

use super::{
    cache::{create_folder, remove},
    config::Config,
    disk, down,
    error::LabError,
    mounts, process, setup,
};

/// Smaller ones have no room for a node.
const SMALLEST: u64 = 1 << 30;
/// What [`fill`] fills a disk with.
const FILLER: &str = ".lab-filler";
/// How long a disk may be busy after its node has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// A number of bytes on the command line: `50M` or `8G`, in units of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [('K', 10), ('M', 20), ('G', 30)]
            .iter()
            .find_map(|(unit, shift)| text.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| "expected a number of K, M or G, such as 8G".to_owned())
    }
}

/// The size of a disk for a node: [`Size`], but not too small for one.
///
/// # Errors
/// What is wrong with the text.
pub fn disk_size(text: &str) -> Result<Size, String> {
    text.parse().and_then(|Size(bytes)| match bytes {
        SMALLEST.. => Ok(Size(bytes)),
        _ => Err("a node needs at least 1G".to_owned()),
    })
}

/// The file that is the disk of a node, if it has one of its own.
pub(crate) fn image(config: &Config, node: &str) -> PathBuf {
    config.disks().join(format!("{node}.img"))
}

/// Makes an empty disk of `size` bytes; `work` is done on it while it is mounted at `folder`.
pub(crate) fn make(
    config: &Config,
    node: &str,
    size: u64,
    folder: &Path,
    work: impl FnOnce() -> Result<(), LabError>,
) -> Result<(), LabError> {
    let partial = config.disks().join(format!(".{node}.img.partial"));
    remove(&partial)?;
    let made = File::create(&partial).and_then(|file| file.set_len(size));
    made.map_err(LabError::io("create", &partial))?;
    // No blocks are kept back for root: everybody in a node is.
    let mut mkfs = process::command("mkfs.ext4", &["-q", "-F", "-m", "0"]);
    mkfs.arg(&partial);
    process::output(mkfs)?;
    mount(&partial, folder)?;
    let worked = work();
    unmount(folder)?;
    worked?;
    let image = image(config, node);
    fs::rename(&partial, &image).map_err(LabError::io("rename", &partial))
}

/// Does `work` on the disk of a node that is off, while it is mounted at `folder`.
pub(crate) fn change(
    config: &Config,
    node: &str,
    folder: &Path,
    work: impl FnOnce() -> Result<(), LabError>,
) -> Result<(), LabError> {
    mount(&image(config, node), folder)?;
    let worked = work();
    unmount(folder)?;
    worked
}

/// Mounts the disk of a node, if it has one of its own and it is not mounted: this machine may have been restarted. That
/// of a virtual machine is mounted there alone.
pub(crate) fn attach(config: &Config, node: &str) -> Result<(), LabError> {
    let (image, folder) = (image(config, node), config.disk(node));
    if !image.exists() || disk::is_virtual(&folder) || is_mounted(&folder)? {
        return Ok(());
    }
    create_folder(&folder)?;
    mount(&image, &folder)
}

/// Removes the disk of a node for good. It is not mounted.
pub(crate) fn discard(config: &Config, node: &str) -> Result<(), LabError> {
    remove(&image(config, node))
}

/// Bytes in use and size of the disk of a node, if it has one of its own. Of one that is not mounted here, what it takes
/// of this machine's.
pub(crate) fn usage(config: &Config, node: &str) -> Option<(u64, u64)> {
    let folder = config.disk(node);
    if !is_mounted(&folder).ok()? {
        let image = fs::metadata(image(config, node)).ok()?;
        return Some((image.blocks() * 512, image.len()));
    }
    let stat = statvfs(&folder).ok()?;
    let size = stat.blocks() * stat.fragment_size();
    Some((size - stat.blocks_free() * stat.fragment_size(), size))
}

/// Fills the disk of a node but for `leave` bytes, or frees it again if there is nothing to leave.
///
/// # Errors
/// [`LabError::UnknownNodes`]; [`LabError::SharedDisk`] for a node without a disk of its own; [`LabError::OwnDisk`] for a
/// virtual machine.
pub fn fill(config: &Config, node: &str, leave: Option<u64>) -> Result<(), LabError> {
    down::require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    down::require(config, &[node.to_owned()])?;
    let folder = config.disk(node);
    if disk::is_virtual(&folder) {
        return Err(LabError::OwnDisk { node: node.to_owned() });
    }
    attach(config, node)?;
    if !is_mounted(&folder)? {
        return Err(LabError::SharedDisk { node: node.to_owned() });
    }
    let path = folder.join(FILLER);
    let Some(leave) = leave else { return remove(&path) };
    grow(&folder, &path, leave).map_err(LabError::io("fill", &path))
}

/// Makes a file so long that `leave` bytes are free beside it.
fn grow(folder: &Path, path: &Path, leave: u64) -> io::Result<()> {
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    let stat = statvfs(folder)?;
    let free = stat.blocks_available() * stat.fragment_size();
    let held = file.metadata()?.blocks() * 512;
    let length = (held + free).saturating_sub(leave);
    if length < held {
        return file.set_len(length);
    }
    // A file takes some blocks to say where its blocks are: so it may not get all that were free.
    let mut wanted = length;
    loop {
        let end = i64::try_from(wanted).map_err(io::Error::other)?;
        match fallocate(file.as_fd(), FallocateFlags::empty(), 0, end) {
            Err(Errno::ENOSPC) if wanted > held => wanted = wanted.saturating_sub(1 << 16).max(held),
            done => return Ok(done?),
        }
    }
}

fn is_mounted(folder: &Path) -> Result<bool, LabError> {
    Ok(mounts::all()?.iter().any(|mount| mount.point == folder))
}

fn mount(image: &Path, folder: &Path) -> Result<(), LabError> {
    // The loop device goes with the mount.
    let mut mount = process::command("mount", &["-t", "ext4", "-o", "loop"]);
    mount.arg(image).arg(folder);
    process::output(mount).map(drop)
}

/// Unmounts what is mounted on a folder, if anything is.
pub(crate) fn unmount(folder: &Path) -> Result<(), LabError> {
    let deadline = Instant::now() + PATIENCE;
    while is_mounted(folder)? {
        match umount(folder) {
            Err(Errno::EBUSY) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            done => done.map_err(|error| LabError::io("unmount", folder)(error.into()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("50M".parse(), Ok(Size(50 << 20)));
        assert_eq!("0K".parse(), Ok(Size(0)));
        assert_eq!(disk_size("8G"), Ok(Size(8 << 30)));
        for text in ["", "8", "G", "-1G", "1.5G", "8GB", "99999999999G"] {
            assert!(text.parse::<Size>().unwrap_err().contains("such as 8G"), "{text}");
        }
        assert!(disk_size("1023M").unwrap_err().contains("at least 1G"));
    }
}
