//! `index.yaml`: the list of artifacts that set-up made, for whoever installs them on hosts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{cache::write_atomically, error::LabError, oci};

/// All artifacts of one Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Kubernetes version without `v`.
    pub kubernetes: String,
    /// Where the artifacts come from, for people.
    pub origin: String,
    /// Files that are put on hosts.
    pub files: Vec<FileArtifact>,
    /// Images that are imported into containerd.
    pub images: Vec<ImageArtifact>,
}

/// A file for hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileArtifact {
    /// Unique in the index.
    pub name: String,
    /// Relative to the index.
    pub path: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// An image archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageArtifact {
    /// Unique in the index.
    pub name: String,
    /// Full name with tag, as pods use it.
    pub reference: String,
    /// Relative to the index.
    pub path: String,
    /// Of the archive, lower-case hex.
    pub sha256: String,
    /// Of the archive, bytes.
    pub size: u64,
    /// Of the manifest, `sha256:…`: what `ctr images list` shows.
    pub digest: String,
}

impl FileArtifact {
    /// Describes `folder/path`.
    pub(crate) fn of(folder: &Path, name: &str, path: &str) -> Result<Self, LabError> {
        let full = folder.join(path);
        let (sha256, size) = oci::sha256_of(&full).map_err(LabError::io("read", &full))?;
        Ok(Self { name: name.to_owned(), path: path.to_owned(), sha256, size })
    }
}

impl Index {
    /// Writes the index into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), LabError> {
        let path = folder.join("index.yaml");
        let text = serde_yaml::to_string(self)
            .map_err(|error| LabError::io("write", &path)(std::io::Error::other(error.to_string())))?;
        write_atomically(&path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubelet"), "kubelet").unwrap();
        let index = Index {
            kubernetes: "1.20.2".into(),
            origin: "Debian source package kubernetes 1.20.5+really1.20.2-1.1+deb12u1".into(),
            files: vec![FileArtifact::of(folder.path(), "kubelet", "kubelet").unwrap()],
            images: vec![ImageArtifact {
                name: "pause".into(),
                reference: "k8s.gcr.io/pause:3.2".into(),
                path: "images/pause.tar".into(),
                sha256: "00".into(),
                size: 1,
                digest: "sha256:11".into(),
            }],
        };
        index.write(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("index.yaml")).unwrap();
        insta::assert_snapshot!(text, @r#"
        kubernetes: "1.20.2"
        origin: Debian source package kubernetes 1.20.5+really1.20.2-1.1+deb12u1
        files:
        - name: kubelet
          path: kubelet
          sha256: 1ca4bc7eb9b3d6f1e205da9cfab437c89d3760d0765a29a6bcbccf4ad51a2cb1
          size: 7
        images:
        - name: pause
          reference: k8s.gcr.io/pause:3.2
          path: images/pause.tar
          sha256: "00"
          size: 1
          digest: sha256:11
        "#);
        assert_eq!(serde_yaml::from_str::<Index>(&text).unwrap(), index);
    }
}
