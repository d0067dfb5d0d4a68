//! `index.yaml`: the list of artifacts that set-up made, for whoever installs them on hosts.

use std::path::Path;

use super::{cache::write_atomically, error::LabError, oci};
use crate::artifact::{File, Index};

/// Describes `folder/path`.
pub(crate) fn file(folder: &Path, name: &str, path: &str) -> Result<File, LabError> {
    let full = folder.join(path);
    let (sha256, size) = oci::sha256_of(&full).map_err(LabError::io("read", &full))?;
    Ok(File { name: name.to_owned(), path: path.into(), sha256, size, ..File::default() })
}

/// Writes the index into `folder`.
pub(crate) fn write(index: &Index, folder: &Path) -> Result<(), LabError> {
    let path = folder.join("index.yaml");
    let text = serde_yaml::to_string(index)
        .map_err(|error| LabError::io("write", &path)(std::io::Error::other(error.to_string())))?;
    write_atomically(&path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Image;

    #[test]
    fn the_file_is_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubelet"), "kubelet").unwrap();
        let index = Index {
            kubernetes: "1.20.2".into(),
            origin: "Debian source package kubernetes 1.20.5+really1.20.2-1.1+deb12u1".into(),
            files: vec![file(folder.path(), "kubelet", "kubelet").unwrap()],
            images: vec![Image {
                name: "pause".into(),
                reference: "k8s.gcr.io/pause:3.2".into(),
                path: "images/pause.tar".into(),
                sha256: "00".into(),
                size: 1,
                digest: "sha256:11".into(),
                everywhere: false,
            }],
            ..Index::default()
        };
        write(&index, folder.path()).unwrap();
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
