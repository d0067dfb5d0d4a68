//! Where the lab keeps what is expensive to make.

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::error::LabError;

/// The cache folder: `HOIST_CACHE`, or `~/.cache/hoist`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in the folder `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache that the environment names.
    ///
    /// # Errors
    /// [`LabError::NoCache`] when neither `HOIST_CACHE` nor `HOME` is set to an absolute path.
    pub fn locate() -> Result<Self, LabError> {
        let named = env::var_os("HOIST_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = named.or_else(|| env::home_dir().map(|home| home.join(".cache/hoist")));
        root.filter(|path| path.is_absolute()).map(Self::at).ok_or(LabError::NoCache)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of everything that only the lab uses.
    pub fn lab(&self) -> PathBuf {
        self.root.join("lab")
    }

    /// Root file system of a node, as mmdebstrap wrote it.
    pub fn node_tar(&self) -> PathBuf {
        self.lab().join("node.tar")
    }

    /// What virtual machines start from: root file system, kernel, and what the kernel mounts it with.
    pub fn virtual_root(&self) -> PathBuf {
        self.lab().join("virtual")
    }

    /// Binaries built from Debian's source package, before they are made into artifacts.
    pub fn build(&self) -> PathBuf {
        self.lab().join("kubernetes-build")
    }

    /// The static file server of the sample application.
    pub fn static_server(&self) -> PathBuf {
        self.lab().join("static-server")
    }

    /// What `hoist apply` installs on hosts: binaries, images and `index.yaml`.
    pub fn artifacts(&self, kubernetes: &str) -> PathBuf {
        self.root.join("artifacts").join(format!("kubernetes-{kubernetes}"))
    }

    /// The same for official releases. Apart, for these may have the version that the lab builds.
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// Key that opens every node, for `root` and for `admin`; the public half has `.pub` after it.
    pub fn ssh_key(&self) -> PathBuf {
        self.lab().join("ssh/id_ed25519")
    }

    /// Host keys of every node address ever used, so that the first connection is verified already.
    pub fn known_hosts(&self) -> PathBuf {
        self.lab().join("ssh/known_hosts")
    }

    /// Host keys by address.
    pub fn host_keys(&self) -> PathBuf {
        self.lab().join("ssh/hosts")
    }

    /// Host key of the node at `address`.
    pub fn host_key(&self, address: Ipv4Addr) -> PathBuf {
        self.host_keys().join(address.to_string())
    }

    /// Public half of [`Cache::host_key`].
    pub fn host_key_public(&self, address: Ipv4Addr) -> PathBuf {
        self.host_keys().join(format!("{address}.pub"))
    }

    /// Output of the programs that a set-up step ran.
    pub fn log(&self, step: &str) -> PathBuf {
        self.lab().join("logs").join(format!("{step}.log"))
    }

    /// Digest of the inputs that a step's output was made from.
    pub fn stamp(&self, step: &str) -> PathBuf {
        self.lab().join("stamps").join(step)
    }

    /// Where a step works; nothing in it is worth keeping.
    pub fn work(&self, step: &str) -> PathBuf {
        self.lab().join("work").join(step)
    }
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), LabError> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    fs::write(&partial, content).map_err(LabError::io("write", &partial))?;
    fs::rename(&partial, path).map_err(LabError::io("rename", &partial))
}

/// [`write_atomically`], as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LabError> {
    let text = serde_json::to_vec(value).map_err(|error| LabError::io("write", path)(error.into()))?;
    write_atomically(path, &text)
}

/// What [`write_json`] wrote; nothing when there is no file, or none that can be read.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

pub(crate) fn create_folder(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path).map_err(LabError::io("create", path))
}

/// Removes a file or a whole folder, if there is one; refuses while something is mounted in it.
pub(crate) fn remove(path: &Path) -> Result<(), LabError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return fs::remove_file(path).map_err(LabError::io("remove", path));
    }
    let mounts = super::mounts::below(path)?;
    if !mounts.is_empty() {
        return Err(LabError::StillMounted { path: path.to_owned(), mounts });
    }
    fs::remove_dir_all(path).map_err(LabError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn removing_nothing_is_fine_and_folders_go_whole() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        remove(&tree).unwrap();
        fs::create_dir_all(tree.join("deep/er")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
