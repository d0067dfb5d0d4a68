//! Writing a bundle.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tar::Builder;

use super::{NAME, blob};
use crate::artifact::{Error, Lock, Store, archive::append, digest, fetch::stored, hold, space};

/// Much of it is compressed already; higher levels cost minutes and save little.
const ZSTD_LEVEL: i32 = 3;

/// Writes the bundle of a lock from what is in the store. The file is there whole or not at all.
///
/// # Errors
/// When the store does not have everything, or the file cannot be written.
pub fn create(path: &Path, lock: &Lock, store: &Store) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = hold::partial(&partial, &path.display().to_string())?;
    let written = write(&partial, &file, lock, store);
    if let Err(error) = written {
        // What went wrong says more than that this fails too.
        let _ = fs::remove_file(&partial);
        // Only then its room is free again.
        drop(file);
        // What is in it is packed already for the most part.
        return Err(space::explain(error, path, space::of_all(lock)));
    }
    // It is this process's alone until it has its name.
    fs::rename(&partial, path).map_err(Error::writing(path))?;
    drop(file);
    Ok(())
}

fn write(path: &Path, file: &File, lock: &Lock, store: &Store) -> Result<(), Error> {
    let (manifests, others) = contents(lock, store)?;
    let failed = |cause| Error::Unwritable { path: path.to_owned(), cause };
    // What a killed run left there.
    file.set_len(0).map_err(failed)?;
    let file = BufWriter::new(file);
    let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let mut archive = Builder::new(encoder);
    let text = lock.text()?;
    append(&mut archive, NAME, text.len() as u64, text.as_bytes()).map_err(failed)?;
    for (sha256, size) in manifests.iter().chain(&others) {
        let source = store.path(sha256);
        let file = File::open(&source).map_err(Error::reading(&source))?;
        let mut content = Hashing { inner: BufReader::new(file), hash: Sha256::new() };
        append(&mut archive, &blob(sha256), *size, &mut content).map_err(failed)?;
        let found = digest::hex(&content.hash.finalize());
        if found != *sha256 {
            let what = source.display().to_string();
            return Err(Error::WrongDigest { what, expected: sha256.clone(), found });
        }
    }
    let encoder = archive.into_inner().map_err(failed)?;
    let file = encoder.finish().and_then(|file| Ok(file.into_inner()?)).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Size by digest.
type Blobs = BTreeMap<String, u64>;

/// The manifests and everything else, without what is a manifest too.
fn contents(lock: &Lock, store: &Store) -> Result<(Blobs, Blobs), Error> {
    let (mut manifests, mut others) = (Blobs::new(), Blobs::new());
    for image in &lock.images {
        let sha256 = image.digest.trim_start_matches("sha256:");
        let manifest = stored(store, image)?
            .ok_or_else(|| Error::reading(&store.path(sha256))(io::ErrorKind::NotFound.into()))?;
        manifests.insert(sha256.to_owned(), manifest.bytes.len() as u64);
        others.extend(manifest.blobs().map(|blob| (blob.sha256().to_owned(), blob.size)));
    }
    others.extend(lock.blobs().map(|(sha256, size)| (sha256.to_owned(), size)));
    others.retain(|sha256, _| !manifests.contains_key(sha256));
    Ok((manifests, others))
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
