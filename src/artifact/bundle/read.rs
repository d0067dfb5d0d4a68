//! Reading a bundle: its lock alone, or everything with every digest compared.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::Path,
};

use tar::{Archive, Entries, Entry};

use super::{BLOBS, NAME};
use crate::{
    artifact::{Error, Lock, Store, digest, registry::Manifest},
    yaml::{MAX_BYTES, Source},
};

/// The largest manifest; those of Kubernetes' images have a few kilobytes.
const MAX_MANIFEST: u64 = 4 << 20;

/// What was found in a bundle whose every digest is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub lock: Lock,
    /// Files of the bundle beside the lock.
    pub files: usize,
    /// Their bytes, unpacked.
    pub bytes: u64,
}

type Unpacked = zstd::Decoder<'static, BufReader<File>>;

/// The lock in a bundle. Nothing else is read.
///
/// # Errors
/// When the file is no bundle.
pub fn lock(path: &Path) -> Result<Lock, Error> {
    let mut archive = open(path)?;
    let mut entries = archive.entries().map_err(|error| bad(path, error))?;
    first(path, &mut entries)
}

/// Reads everything and compares every digest.
///
/// # Errors
/// [`Error::BadBundle`] or [`Error::DamagedBundle`] for the first thing that is wrong.
pub fn verify(path: &Path) -> Result<Checked, Error> {
    walk(path, |_, content| digest::copy(content, io::sink()).map_err(Failed::Reading))
}

/// Takes everything into a store, each file only when its digest is right.
///
/// # Errors
/// As [`verify`], and when the store cannot be written.
pub fn extract(path: &Path, store: &Store) -> Result<Checked, Error> {
    walk(path, |sha256, content| take(store, sha256, content))
}

/// Whose fault it was that an entry could not be taken.
enum Failed {
    /// The bundle's.
    Reading(io::Error),
    /// The store's.
    Storing(Error),
}

fn take(store: &Store, sha256: &str, content: &mut dyn Read) -> Result<(String, u64), Failed> {
    if store.find(sha256).map_err(Failed::Storing)?.is_some() {
        return digest::copy(content, io::sink()).map_err(Failed::Reading);
    }
    let partial = store.partial(sha256).map_err(Failed::Storing)?;
    let storing = |cause| Failed::Storing(Error::writing(partial.path())(cause));
    let mut file = Target { file: File::create(partial.path()).map_err(storing)?, failure: None };
    let found = match (digest::copy(content, &mut file), file.failure) {
        (_, Some(cause)) => return Err(storing(cause)),
        (copied, None) => copied.map_err(Failed::Reading)?,
    };
    // A digest that is wrong is the caller's to report, with its place in the bundle.
    if found.0 == sha256 {
        store.admit(partial, Some(sha256), sha256).map_err(Failed::Storing)?;
    } else {
        fs::remove_file(partial.path()).map_err(storing)?;
    }
    Ok(found)
}

/// Keeps what went wrong while writing, which would otherwise look like the bundle's fault.
struct Target {
    file: File,
    failure: Option<io::Error>,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Goes through all entries. `content` reads one to its end and returns its digest and size.
fn walk(
    path: &Path,
    mut content: impl FnMut(&str, &mut dyn Read) -> Result<(String, u64), Failed>,
) -> Result<Checked, Error> {
    let mut archive = open(path)?;
    let mut entries = archive.entries().map_err(|error| bad(path, error))?;
    let lock = first(path, &mut entries)?;
    let mut expected = Expected::of(&lock);
    let mut checked = Checked { lock, files: 0, bytes: 0 };
    let mut offset = 0;
    for entry in entries {
        let damaged = |reason: String| Error::DamagedBundle { path: path.to_owned(), offset, reason };
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        offset = entry.raw_header_position();
        let damaged = |reason: String| Error::DamagedBundle { path: path.to_owned(), offset, reason };
        let name = name(&entry).map_err(&damaged)?;
        let wrong = |reason: String| damaged(format!("entry {name}: {reason}"));
        let size = entry.size();
        let sha256 = name.strip_prefix(BLOBS).unwrap_or_default().to_owned();
        let manifest = expected.admit(&sha256, size).map_err(wrong)?;
        let mut bytes = Vec::new();
        let (found, _) = if manifest {
            entry.read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
            content(&sha256, &mut bytes.as_slice())
        } else {
            content(&sha256, &mut entry)
        }
        .map_err(|failed| match failed {
            Failed::Reading(error) => wrong(error.to_string()),
            Failed::Storing(error) => error,
        })?;
        if found != sha256 {
            return Err(wrong(format!("its digest is {found}")));
        }
        if manifest {
            expected.learn(&Manifest::parse(&name, bytes)?);
        }
        checked.files += 1;
        checked.bytes += size;
    }
    // What is behind the archive's end has the checksum of all of it.
    let mut rest = archive.into_inner();
    let damaged = |reason: String| Error::DamagedBundle { path: path.to_owned(), offset, reason };
    io::copy(&mut rest, &mut io::sink()).map_err(|error| damaged(error.to_string()))?;
    match expected.missing() {
        Some(sha256) => Err(damaged(format!("it ends without entry {BLOBS}{sha256}, which its lock pins"))),
        None => Ok(checked),
    }
}

/// What is still to come.
struct Expected {
    /// Of images.
    manifests: Vec<String>,
    /// Size by digest.
    blobs: BTreeMap<String, u64>,
}

impl Expected {
    fn of(lock: &Lock) -> Expected {
        let digests = lock.images.iter().map(|image| image.digest.trim_start_matches("sha256:").to_owned());
        let blobs = lock.blobs().map(|(sha256, size)| (sha256.to_owned(), size));
        let mut manifests: Vec<String> = digests.collect();
        manifests.sort();
        manifests.dedup();
        Expected { manifests, blobs: blobs.collect() }
    }

    /// Strikes an entry off the list. Returns whether it is a manifest.
    fn admit(&mut self, sha256: &str, size: u64) -> Result<bool, String> {
        if let Some(place) = self.manifests.iter().position(|manifest| manifest == sha256) {
            if size > MAX_MANIFEST {
                return Err(format!("{size} bytes are too many for a manifest"));
            }
            self.manifests.remove(place);
            self.blobs.remove(sha256);
            return Ok(true);
        }
        match self.blobs.remove(sha256) {
            Some(expected) if expected == size => Ok(false),
            Some(expected) => Err(format!("it is {size} bytes long, expected {expected}")),
            None => Err(String::from("nothing in the lock asks for it, or it is there twice")),
        }
    }

    fn learn(&mut self, manifest: &Manifest) {
        self.blobs.extend(manifest.blobs().map(|blob| (blob.sha256().to_owned(), blob.size)));
    }

    fn missing(&self) -> Option<&str> {
        self.manifests.first().or_else(|| self.blobs.keys().next()).map(String::as_str)
    }
}

fn open(path: &Path) -> Result<Archive<Unpacked>, Error> {
    let file = File::open(path).map_err(Error::reading(path))?;
    Ok(Archive::new(zstd::Decoder::new(file).map_err(|error| bad(path, error))?))
}

/// The lock, which is the first entry.
fn first(path: &Path, entries: &mut Entries<'_, Unpacked>) -> Result<Lock, Error> {
    let no = |reason: String| Error::BadBundle { path: path.to_owned(), reason };
    let mut entry = match entries.next() {
        Some(entry) => entry.map_err(|error| bad(path, error))?,
        None => return Err(no(String::from("it is empty"))),
    };
    let name = name(&entry).map_err(no)?;
    if name != NAME {
        return Err(no(format!("its first entry is {name}, expected {NAME}")));
    }
    if entry.size() > MAX_BYTES as u64 {
        return Err(no(format!("its lock is larger than {MAX_BYTES} bytes")));
    }
    let mut text = String::new();
    entry.read_to_string(&mut text).map_err(|error| bad(path, error))?;
    Lock::parse(&Source::new(format!("{}, {NAME}", path.display()), text))
}

/// The name of a regular file. What else there may be in an archive, a bundle does not have.
fn name(entry: &Entry<'_, impl Read>) -> Result<String, String> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if !entry.header().entry_type().is_file() {
        return Err(format!("entry {name} is not a regular file"));
    }
    Ok(name)
}

fn bad(path: &Path, error: io::Error) -> Error {
    Error::BadBundle { path: path.to_owned(), reason: error.to_string() }
}
