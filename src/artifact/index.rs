//! What a folder of artifacts holds for one Kubernetes version.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Error, Lock, catalogue::Place};

/// What a folder of artifacts holds for one Kubernetes version: its `index.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The Kubernetes version, such as `1.20.2`.
    pub kubernetes: String,
    /// Where the files come from, in words.
    pub origin: String,
    /// Binaries that go to hosts.
    pub files: Vec<File>,
    /// Image archives that containerd imports.
    pub images: Vec<Image>,
    /// What roles unpack or hoist itself runs, such as containerd's release and helm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<File>,
    /// Helm charts, packed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Packages of the hosts' operating systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<System>,
    /// Where hosts fetch files for themselves, by digest; empty where they are not to.
    #[serde(skip)]
    pub origins: BTreeMap<String, String>,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Unique in the index.
    pub name: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
    /// The program's own version, where roles have to know it: that of containerd decides its configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// An archive with one container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Unique in the index.
    pub name: String,
    /// What pods call it.
    pub reference: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex digest of the archive.
    pub sha256: String,
    pub size: u64,
    /// Digest of the image's manifest, `sha256:…`: what `ctr images list` shows.
    pub digest: String,
    /// Every node may run it, not only workers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
}

/// A packed Helm chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// Unique in the index.
    pub name: String,
    pub version: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
}

/// The packages for hosts of one distribution and release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Such as `debian-12`; unique in the index.
    pub os: String,
    /// What roles install, and every package that each of these needs, itself included.
    pub needs: BTreeMap<String, Vec<String>>,
    pub files: Vec<Package>,
}

/// A package of an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Unique in its system.
    pub name: String,
    pub version: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
}

impl Index {
    /// The folder for a version inside of the folder of all artifacts.
    pub fn home(folder: &Path, version: &str) -> PathBuf {
        folder.join(format!("kubernetes-{version}"))
    }

    /// Reads the index for a version. All paths are then absolute, and every file is there in its full length;
    /// its digest is compared when it is used.
    ///
    /// # Errors
    /// When there is none, or a file is missing or damaged.
    pub fn load(folder: &Path, version: &str) -> Result<Index, Error> {
        let index = Index::described(folder, version)?;
        let files = index.files.iter().chain(&index.extras).map(|file| (&file.path, file.size));
        let images = index.images.iter().map(|image| (&image.path, image.size));
        let charts = index.charts.iter().map(|chart| (&chart.path, chart.size));
        let packages = index.packages.iter().flat_map(|system| &system.files);
        let packages = packages.map(|package| (&package.path, package.size));
        for (path, expected) in files.chain(images).chain(charts).chain(packages) {
            let found = std::fs::metadata(path).map_err(Error::reading(path))?.len();
            if found != expected {
                return Err(Error::Damaged { path: path.clone(), expected, found });
            }
        }
        Ok(index)
    }

    /// The same for who needs names and digests alone: the files need not be there.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn described(folder: &Path, version: &str) -> Result<Index, Error> {
        let home = Index::home(folder, version);
        let path = home.join("index.yaml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing { version: version.to_string(), folder: folder.to_path_buf() });
            }
            Err(cause) => return Err(Error::Unreadable { path, cause }),
        };
        let mut index: Index = serde_yaml::from_str(&text)
            .map_err(|error| Error::Broken { path: path.clone(), reason: error.to_string() })?;
        let files = index.files.iter_mut().chain(&mut index.extras).map(|file| &mut file.path);
        let images = index.images.iter_mut().map(|image| &mut image.path);
        let charts = index.charts.iter_mut().map(|chart| &mut chart.path);
        let packages = index.packages.iter_mut().flat_map(|system| &mut system.files);
        let packages = packages.map(|package| &mut package.path);
        for path in files.chain(images).chain(charts).chain(packages) {
            *path = home.join(&*path);
        }
        Ok(index)
    }

    /// What processors the programs are for, as `uname -m` has it. Nothing where they are not here, or for others.
    pub fn architecture(&self) -> Option<&'static str> {
        let kubeadm = self.files.iter().find(|file| file.name == "kubeadm")?;
        let mut header = [0; 20];
        std::fs::File::open(&kubeadm.path).ok()?.read_exact(&mut header).ok()?;
        // e_machine of the ELF header: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
        match (&header[..4], u16::from_le_bytes([header[18], header[19]])) {
            (b"\x7fELF", 62) => Some("x86_64"),
            (b"\x7fELF", 183) => Some("aarch64"),
            _ => None,
        }
    }

    /// What roles unpack, by its name.
    pub fn extra(&self, name: &str) -> Option<&File> {
        self.extras.iter().find(|file| file.name == name)
    }

    /// What the folder for a lock will hold as far as roles speak of it: to learn what they want before anything is
    /// downloaded. The files of it do not exist.
    pub fn promised(lock: &Lock) -> Index {
        let hosts = lock.architectures.first().copied();
        let files = || lock.files.iter().filter(|file| Some(file.architecture) == hosts);
        let promised = |file: &super::lock::File| File {
            name: file.name.clone(),
            path: PathBuf::from(&file.name),
            sha256: file.sha256.clone(),
            size: file.size,
            version: file.version.clone(),
        };
        let images = lock.images.iter().filter(|image| Some(image.architecture) == hosts);
        Index {
            kubernetes: lock.kubernetes.clone(),
            extras: files().filter(|file| file.place == Place::Extra).map(promised).collect(),
            files: files().filter(|file| file.place == Place::Host).map(promised).collect(),
            images: images
                .map(|image| Image {
                    name: image.name.clone(),
                    reference: image.reference.clone(),
                    path: PathBuf::from(&image.name),
                    sha256: image.digest.trim_start_matches("sha256:").to_owned(),
                    size: image.size,
                    digest: image.digest.clone(),
                    everywhere: image.everywhere,
                })
                .collect(),
            ..Index::default()
        }
    }

    /// The reference of an image by its name.
    pub fn reference(&self, name: &str) -> Option<&str> {
        self.images.iter().find(|image| image.name == name).map(|image| image.reference.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(size: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("kubernetes-1.20.2");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("kubelet"), vec![0; size]).unwrap();
        let index = "kubernetes: 1.20.2\norigin: test\nfiles:\n- {name: kubelet, path: kubelet, sha256: aa, size: 3}\nimages: []\n";
        std::fs::write(home.join("index.yaml"), index).unwrap();
        folder
    }

    #[test]
    fn paths_are_absolute_and_sizes_hold() {
        let folder = folder(3);
        let index = Index::load(folder.path(), "1.20.2").unwrap();
        assert!(index.files[0].path.is_absolute() && index.files[0].path.exists());
    }

    #[test]
    fn programs_tell_what_they_are_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeadm");
        let kubeadm = File { name: "kubeadm".into(), path: path.clone(), ..File::default() };
        let index = Index { files: vec![kubeadm], ..Index::default() };
        assert_eq!(index.architecture(), None, "it is not here");
        let header = |machine: u16| {
            [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0"[..], &machine.to_le_bytes()].concat()
        };
        for (bytes, architecture) in [
            (header(62), Some("x86_64")),
            (header(183), Some("aarch64")),
            (header(243), None),
            (b"#!/bin/sh\nexec true, or not\n".to_vec(), None),
            (b"\x7fELF".to_vec(), None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(index.architecture(), architecture);
        }
        let own = std::env::current_exe().unwrap();
        let kubeadm = File { name: "kubeadm".into(), path: own, ..File::default() };
        let index = Index { files: vec![kubeadm], ..Index::default() };
        assert_eq!(index.architecture(), Some(std::env::consts::ARCH), "a real program");
    }

    #[test]
    fn a_short_file_and_a_missing_version_are_named() {
        let folder = folder(2);
        assert!(matches!(
            Index::load(folder.path(), "1.20.2"),
            Err(Error::Damaged { expected: 3, found: 2, .. })
        ));
        assert!(matches!(Index::load(folder.path(), "1.21.0"), Err(Error::Missing { .. })));
    }
}
