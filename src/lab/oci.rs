//! Writes one-layer images as OCI image layouts in a tar archive, the form `ctr images import` reads.
//!
//! The same content gives the same bytes: entries are sorted, times are 0 and owners are root.
//! Sources: the OCI image specification (image-layout, manifest, config), and containerd's annotation
//! `io.containerd.image.name` for the full name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

pub(crate) use crate::artifact::digest::{hex, of_file as sha256_of};

/// Fast; higher levels cost minutes and save little on Go programs.
const ZSTD_LEVEL: i32 = 3;
/// To be changed with every change of the bytes that are written, so that cached archives are made anew.
pub(crate) const FORMAT: &str = "one zstd layer, 1";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Something in an image's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    File { source: PathBuf, mode: u32 },
    Link { target: PathBuf },
}

/// The root file system of an image, by path without a leading slash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Adds a file, and the folders above it.
    pub(crate) fn file(mut self, path: &str, source: &Path, mode: u32) -> Self {
        for folder in Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            self.entries.entry(folder.to_owned()).or_insert(Entry::Folder);
        }
        self.entries.insert(PathBuf::from(path), Entry::File { source: source.to_owned(), mode });
        self
    }

    /// Adds everything in a folder; what is neither file, folder nor symbolic link is an error.
    pub(crate) fn folder(mut self, folder: &Path) -> io::Result<Self> {
        self.walk(folder, Path::new(""))?;
        Ok(self)
    }

    fn walk(&mut self, folder: &Path, prefix: &Path) -> io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            let name = prefix.join(item.file_name());
            let source = item.path();
            let kind = item.file_type()?;
            let entry = if kind.is_symlink() {
                Entry::Link { target: fs::read_link(&source)? }
            } else if kind.is_dir() {
                self.walk(&source, &name)?;
                Entry::Folder
            } else if kind.is_file() {
                let mode = item.metadata()?.permissions().mode() & 0o7777;
                Entry::File { source, mode }
            } else {
                return Err(io::Error::other(format!("{} cannot be part of an image", source.display())));
            };
            self.entries.insert(name, entry);
        }
        Ok(())
    }
}

/// What an image is called and runs.
#[derive(Debug, Clone)]
pub(crate) struct Spec<'a> {
    /// Full name with tag, such as `k8s.gcr.io/pause:3.2`.
    pub(crate) reference: &'a str,
    pub(crate) entrypoint: &'a [&'a str],
}

/// Writes the archive to `path` and returns the manifest's digest, `sha256:…`.
pub(crate) fn write(path: &Path, spec: &Spec<'_>, tree: &Tree) -> io::Result<String> {
    let layer_path = path.with_extension("layer");
    let layer = write_layer(&layer_path, tree)?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "config": {"Entrypoint": spec.entrypoint, "Env": [PATH]},
        "created": "1970-01-01T00:00:00Z",
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hoist"}],
        "os": "linux",
        "rootfs": {"diff_ids": [layer.diff_id], "type": "layers"},
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &digest(&config), config.len() as u64),
        "layers": [descriptor(LAYER_TYPE, &layer.digest, layer.size)],
    }))?;
    let manifest_digest = digest(&manifest);
    let mut described = descriptor(MANIFEST_TYPE, &manifest_digest, manifest.len() as u64);
    described["platform"] = json!({"architecture": architecture(), "os": "linux"});
    described["annotations"] = json!({
        "io.containerd.image.name": spec.reference,
        "org.opencontainers.image.ref.name": spec.reference.rsplit(':').next(),
    });
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [described]}))?;

    let mut archive = Builder::new(BufWriter::new(File::create(path)?));
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", &index)?;
    append(&mut archive, &blob(&manifest_digest), &manifest)?;
    append(&mut archive, &blob(&digest(&config)), &config)?;
    let mut header = header(EntryType::Regular, 0o644, layer.size);
    archive.append_data(&mut header, blob(&layer.digest), File::open(&layer_path)?)?;
    archive.into_inner()?.into_inner()?.sync_all()?;
    fs::remove_file(&layer_path)?;
    Ok(manifest_digest)
}

struct Layer {
    /// Digest of the tar as it is stored, compressed.
    digest: String,
    /// Digest of the tar before compression.
    diff_id: String,
    size: u64,
}

fn write_layer(path: &Path, tree: &Tree) -> io::Result<Layer> {
    let compressed = Hashing::new(BufWriter::new(File::create(path)?));
    let encoder = zstd::Encoder::new(compressed, ZSTD_LEVEL)?;
    let mut tar = Builder::new(Hashing::new(encoder));
    for (path, entry) in &tree.entries {
        match entry {
            Entry::Folder => {
                // The trailing slash is what marks a folder for older readers.
                let path = format!("{}/", path.display());
                tar.append_data(&mut header(EntryType::Directory, 0o755, 0), path, io::empty())?;
            }
            Entry::File { source, mode } => {
                let file = File::open(source)?;
                let size = file.metadata()?.len();
                tar.append_data(&mut header(EntryType::Regular, *mode, size), path, BufReader::new(file))?;
            }
            Entry::Link { target } => {
                tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?;
            }
        }
    }
    let uncompressed = tar.into_inner()?;
    let diff_id = uncompressed.digest();
    let mut compressed = uncompressed.inner.finish()?;
    compressed.flush()?;
    let digest = compressed.digest();
    let size = compressed.inner.into_inner()?.stream_position()?;
    Ok(Layer { digest, diff_id, size })
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: Write>(archive: &mut Builder<W>, name: &str, content: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(EntryType::Regular, 0o644, content.len() as u64), name, content)
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// Go's name of this machine's architecture, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Passes on what is written and keeps its digest.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.hash.clone().finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::fs::symlink};

    use super::*;

    fn sample(folder: &Path) -> Tree {
        fs::create_dir_all(folder.join("root/usr/bin")).unwrap();
        fs::write(folder.join("root/usr/bin/tool"), "#!tool\n").unwrap();
        fs::set_permissions(folder.join("root/usr/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("usr/bin", folder.join("root/bin")).unwrap();
        fs::write(folder.join("server"), "server").unwrap();
        Tree::default().folder(&folder.join("root")).unwrap().file(
            "usr/local/bin/server",
            &folder.join("server"),
            0o755,
        )
    }

    const SPEC: Spec<'_> = Spec { reference: "example.test/tool:1", entrypoint: &["/usr/bin/tool"] };

    fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 0);
                assert_eq!(entry.header().uid().unwrap(), 0);
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect()
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (one.path().join("image.tar"), two.path().join("image.tar"));
        let digest = write(&first, &SPEC, &sample(one.path())).unwrap();
        assert_eq!(write(&second, &SPEC, &sample(two.path())).unwrap(), digest);
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        assert!(!first.with_extension("layer").exists(), "the layer is only in the archive");
    }

    #[test]
    fn every_blob_has_the_digest_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let digest = write(&path, &SPEC, &sample(folder.path())).unwrap();
        let entries = entries(&fs::read(&path).unwrap());
        for (name, content) in &entries {
            if let Some(hash) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(hex(&Sha256::digest(content)), hash);
            }
        }
        let index: Value = serde_json::from_slice(&entries[1].1).unwrap();
        assert_eq!(index["manifests"][0]["digest"], digest.as_str());
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "example.test/tool:1");
        let config: Value = serde_json::from_slice(&entries[3].1).unwrap();
        let layer = zstd::decode_all(entries[4].1.as_slice()).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(&layer).as_str());
    }

    #[test]
    fn the_layer_is_sorted_and_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        write(&path, &SPEC, &sample(folder.path())).unwrap();
        let layer = zstd::decode_all(entries(&fs::read(&path).unwrap())[4].1.as_slice()).unwrap();
        insta::assert_snapshot!(
            entries(&layer).iter().map(|(name, content)| format!("{name} {}\n", content.len())).collect::<String>(),
            @r"
        bin 0
        usr/ 0
        usr/bin/ 0
        usr/bin/tool 7
        usr/local/ 0
        usr/local/bin/ 0
        usr/local/bin/server 6
        "
        );
        // Golden: a change of these bytes makes every image a new one, and wants a new `FORMAT`.
        assert_eq!(
            super::digest(&layer),
            "sha256:d4e87953dd7c966dddc8d28e7fef465b498df120052516939d76cc34e59e91bd"
        );
    }

    #[test]
    fn devices_are_refused() {
        assert!(Tree::default().folder(Path::new("/dev")).is_err());
    }
}
