//! Root file systems of nodes: a folder each, unpacked from the cache and given a name, an address and keys.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    cache::{Cache, create_folder, remove, write_atomically},
    config::Config,
    error::LabError,
    network::{GATEWAY, PREFIX},
    node::NodeSpec,
    process, qemu, virtual_root, volume,
};

/// Bytes that a node takes on disk in use; it starts with a fifth of it.
pub(crate) const SIZE: u64 = 2_000_000_000;

/// Where a disk says in which site it stands.
const SITE: &str = "etc/lab/site";

/// What tells the folder of a virtual machine, whose files are on a disk that only the machine itself mounts.
const VIRTUAL: &str = "etc/lab/virtual";

/// Makes the disk of a node, or makes sure that the one it has goes with its address.
pub(crate) fn prepare(config: &Config, node: &NodeSpec) -> Result<(), LabError> {
    let disk = config.disk(&node.name);
    if is_virtual(&disk) || !disk.exists() && config.virtual_machines.contains(&node.name) {
        return prepare_virtual(config, node);
    }
    volume::attach(config, &node.name)?;
    if disk.exists() {
        return if address(&disk) == Some(node.address) {
            Ok(())
        } else {
            locate(config, &disk, node.address)
        };
    }
    let partial = config.disks().join(format!(".{}.partial", node.name));
    // What a killed command left.
    volume::unmount(&partial)?;
    remove(&partial)?;
    create_folder(&partial)?;
    match config.disk_size {
        Some(size) => {
            let tar = config.cache.node_tar();
            volume::make(config, &node.name, size, &partial, || install(config, &tar, &partial, node))?;
            volume::attach(config, &node.name)?;
            remove(&partial)
        }
        None => {
            install(config, &config.cache.node_tar(), &partial, node)?;
            fs::rename(&partial, &disk).map_err(LabError::io("rename", &partial))
        }
    }
}

/// The same for a virtual machine. The folder that other nodes have their files in says what must be known while it is off.
fn prepare_virtual(config: &Config, node: &NodeSpec) -> Result<(), LabError> {
    let folder = config.disk(&node.name);
    let partial = config.disks().join(format!(".{}.partial", node.name));
    volume::unmount(&partial)?;
    remove(&partial)?;
    if !folder.exists() {
        write_atomically(&partial.join(VIRTUAL), b"")?;
        fs::rename(&partial, &folder).map_err(LabError::io("rename", &partial))?;
    }
    create_folder(&partial)?;
    if !volume::image(config, &node.name).exists() {
        let size = config.disk_size.unwrap_or(qemu::DISK);
        let tar = config.cache.virtual_root().join(virtual_root::TAR);
        volume::make(config, &node.name, size, &partial, || install(config, &tar, &partial, node))?;
    } else if address(&folder) != Some(node.address) {
        volume::change(config, &node.name, &partial, || locate(config, &partial, node.address))?;
    }
    write_network(&folder, node.address)?;
    remove(&partial)
}

/// Whether the node of this folder is a virtual machine.
pub(crate) fn is_virtual(folder: &Path) -> bool {
    folder.join(VIRTUAL).exists()
}

/// Puts a root file system into an empty folder.
fn install(config: &Config, tar_file: &Path, folder: &Path, node: &NodeSpec) -> Result<(), LabError> {
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--same-owner", "--preserve-permissions"]);
    tar.args(["--xattrs", "--xattrs-include=*", "--file"]).arg(tar_file);
    tar.arg("--directory").arg(folder);
    process::output(tar)?;
    identify(config, folder, node)?;
    locate(config, folder, node.address)
}

/// The address that a disk was made for.
pub(crate) fn address(disk: &Path) -> Option<Ipv4Addr> {
    let text = fs::read_to_string(disk.join("etc/lab/network")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("ADDRESS=")?.split('/').next()?.parse().ok())
}

/// The site that a disk stands in.
pub(crate) fn site(disk: &Path) -> Option<String> {
    let text = fs::read_to_string(disk.join(SITE)).ok()?;
    Some(text.trim().to_owned()).filter(|site| !site.is_empty())
}

/// Says where a disk stands; without a site, it stays where it is.
pub(crate) fn set_site(disk: &Path, wanted: Option<&str>) -> Result<(), LabError> {
    match wanted {
        Some(wanted) if site(disk).as_deref() != Some(wanted) => {
            write_atomically(&disk.join(SITE), format!("{wanted}\n").as_bytes())
        }
        _ => Ok(()),
    }
}

/// Bytes that a disk takes; what is mounted in the node is not part of it.
pub(crate) fn usage(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = fs::symlink_metadata(folder).map(|metadata| metadata.blocks() * 512).unwrap_or_default();
    let Ok(items) = fs::read_dir(folder) else { return own };
    items.flatten().fold(own, |sum, item| {
        // A file that goes away while the node runs counts for nothing.
        let Ok(metadata) = item.metadata() else { return sum };
        sum + if metadata.is_dir() { usage(&item.path()) } else { metadata.blocks() * 512 }
    })
}

/// Makes the host key of an address, once, and the known_hosts of all addresses.
pub(crate) fn ensure_host_key(cache: &Cache, address: Ipv4Addr) -> Result<(), LabError> {
    let folder = cache.host_keys();
    create_folder(&folder)?;
    // All labs have these in common, and several may be started at the same time.
    let alone = File::open(&folder).map_err(LabError::io("open", &folder))?;
    alone.lock().map_err(LabError::io("lock", &folder))?;
    let key = cache.host_key(address);
    if !key.exists() {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "hoist lab", "-f"]).arg(&key);
        process::output(keygen)?;
    }
    let mut lines: Vec<String> = fs::read_dir(&folder)
        .map_err(LabError::io("read", &folder))?
        .flatten()
        .filter_map(|item| {
            let address = item.file_name().to_str()?.strip_suffix(".pub")?.to_owned();
            known_host(&address, &fs::read_to_string(item.path()).ok()?)
        })
        .collect();
    lines.sort();
    write_atomically(&cache.known_hosts(), lines.concat().as_bytes())
}

/// A line of known_hosts for a public key file; its comment is left out.
fn known_host(address: &str, public: &str) -> Option<String> {
    let mut words = public.split_whitespace();
    Some(format!("{address} {} {}\n", words.next()?, words.next()?))
}

/// What stays with the disk: name and the administrators' key.
fn identify(config: &Config, disk: &Path, node: &NodeSpec) -> Result<(), LabError> {
    let name = &node.name;
    for (path, content) in [
        ("etc/hostname", format!("{name}\n")),
        ("etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n")),
        // Nobody answers there, which a resolver learns at once.
        ("etc/resolv.conf", format!("nameserver {GATEWAY}\n")),
    ] {
        write_atomically(&disk.join(path), content.as_bytes())?;
    }
    let public = config.cache.ssh_key().with_extension("pub");
    let public = fs::read(&public).map_err(LabError::io("read", &public))?;
    let admin = owner(disk, "admin").unwrap_or((1000, 1000));
    for (home, (user, group)) in [("root", (0, 0)), ("home/admin", admin)] {
        let folder = disk.join(home).join(".ssh");
        let keys = folder.join("authorized_keys");
        write_atomically(&keys, &public)?;
        for (path, mode) in [(folder, 0o700), (keys, 0o600)] {
            set(&path, mode)?;
            chown(&path, Some(user), Some(group)).map_err(LabError::io("give away", &path))?;
        }
    }
    Ok(())
}

/// What goes with the address: the address itself, and the host key that clients know it by.
fn locate(config: &Config, disk: &Path, address: Ipv4Addr) -> Result<(), LabError> {
    write_network(disk, address)?;
    for (source, name, mode) in [
        (config.cache.host_key(address), "ssh_host_ed25519_key", 0o600),
        (config.cache.host_key_public(address), "ssh_host_ed25519_key.pub", 0o644),
    ] {
        let content = fs::read(&source).map_err(LabError::io("read", &source))?;
        let path = disk.join("etc/ssh").join(name);
        write_atomically(&path, &content)?;
        set(&path, mode)?;
    }
    Ok(())
}

fn write_network(disk: &Path, address: Ipv4Addr) -> Result<(), LabError> {
    let network = format!("ADDRESS={address}/{PREFIX}\nGATEWAY={GATEWAY}\n");
    write_atomically(&disk.join("etc/lab/network"), network.as_bytes())
}

fn set(path: &Path, mode: u32) -> Result<(), LabError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(LabError::io("change", path))
}

/// User and group number of a user of the disk.
fn owner(disk: &Path, user: &str) -> Option<(u32, u32)> {
    let passwd: PathBuf = disk.join("etc/passwd");
    let text = fs::read_to_string(passwd).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_lines_have_no_comment() {
        assert_eq!(
            known_host("10.77.0.11", "ssh-ed25519 AAAA hoist lab\n").as_deref(),
            Some("10.77.0.11 ssh-ed25519 AAAA\n")
        );
        assert_eq!(known_host("10.77.0.11", ""), None);
    }

    #[test]
    fn labs_that_start_at_the_same_time_share_host_keys() {
        let folder = tempfile::tempdir().unwrap();
        let cache = &Cache::at(folder.path());
        let addresses = [11, 12, 11, 13, 12, 11].map(|last| Ipv4Addr::new(10, 77, 0, last));
        std::thread::scope(|scope| {
            let labs = addresses.map(|address| scope.spawn(move || ensure_host_key(cache, address)));
            labs.into_iter().for_each(|lab| lab.join().unwrap().unwrap());
        });
        let known = fs::read_to_string(cache.known_hosts()).unwrap();
        let told: Vec<&str> = known.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(told, ["10.77.0.11", "10.77.0.12", "10.77.0.13"]);
    }

    #[test]
    fn the_folder_of_a_virtual_machine_is_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_virtual(folder.path()));
        write_atomically(&folder.path().join(VIRTUAL), b"").unwrap();
        write_network(folder.path(), Ipv4Addr::new(10, 77, 0, 12)).unwrap();
        assert!(is_virtual(folder.path()));
        assert_eq!(address(folder.path()), Some(Ipv4Addr::new(10, 77, 0, 12)));
    }

    #[test]
    fn addresses_and_owners_are_read_back() {
        let disk = tempfile::tempdir().unwrap();
        assert_eq!(address(disk.path()), None);
        fs::create_dir_all(disk.path().join("etc/lab")).unwrap();
        fs::write(disk.path().join("etc/lab/network"), "ADDRESS=10.77.0.12/24\nGATEWAY=10.77.0.1\n").unwrap();
        assert_eq!(address(disk.path()), Some(Ipv4Addr::new(10, 77, 0, 12)));
        fs::write(disk.path().join("etc/passwd"), "root:x:0:0::/root:\nadmin:x:1001:1002::/home/admin:\n")
            .unwrap();
        assert_eq!(owner(disk.path(), "admin"), Some((1001, 1002)));
        assert_eq!(owner(disk.path(), "nobody"), None);
        assert!(usage(disk.path()) > 0);
        assert_eq!(site(disk.path()), None);
        for (wanted, expected) in [(None, None), (Some("north"), Some("north")), (None, Some("north"))] {
            set_site(disk.path(), wanted).unwrap();
            assert_eq!(site(disk.path()).as_deref(), expected);
        }
    }
}
