//! Tar archives that are the same bytes for the same content, and images as OCI layouts in them.
//!
//! Source: the OCI image specification (image-layout), and containerd's annotation `io.containerd.image.name` for
//! the full name: what `ctr images import` reads.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::{Error, lock::Image, registry::Manifest, store::Store};

/// Appends a file that everybody may read, of root's and of no time.
pub(super) fn append(
    archive: &mut Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, content)
}

/// Writes a pinned image as an archive that `ctr images import` reads.
///
/// # Errors
/// When the store does not have a piece of it, or the archive cannot be written.
pub(super) fn write_image(
    path: &Path,
    store: &Store,
    image: &Image,
    manifest: &Manifest,
) -> Result<(), Error> {
    let failed = |cause| Error::Unwritable { path: path.to_owned(), cause };
    let mut archive = Builder::new(BufWriter::new(File::create(path).map_err(failed)?));
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": manifest.media_type,
            "digest": image.digest,
            "size": manifest.bytes.len(),
            "platform": {"architecture": image.architecture.name(), "os": "linux"},
            "annotations": {
                "io.containerd.image.name": image.reference,
                "org.opencontainers.image.ref.name": image.reference.rsplit(':').next(),
            },
        }],
    })
    .to_string();
    let mut small = |name: &str, content: &[u8]| append(&mut archive, name, content.len() as u64, content);
    small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
    small("index.json", index.as_bytes()).map_err(failed)?;
    small(&name(&image.digest), &manifest.bytes).map_err(failed)?;
    let mut written = Vec::new();
    for blob in manifest.blobs() {
        // An empty layer may stand twice in a manifest.
        if written.contains(&&blob.digest) {
            continue;
        }
        written.push(&blob.digest);
        let source = store.path(blob.sha256());
        let file = File::open(&source).map_err(Error::reading(&source))?;
        append(&mut archive, &name(&blob.digest), blob.size, BufReader::new(file)).map_err(failed)?;
    }
    let file = archive.into_inner().and_then(|buffer| Ok(buffer.into_inner()?)).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn name(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
