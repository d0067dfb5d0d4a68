//! Lays out the folder that roles install from: what a lock pins, out of the store.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    Error, Index, archive,
    catalogue::Place,
    digest,
    fetch::stored,
    hold, index,
    lock::{self, Lock},
    packages::{Package, System, file_name},
    store::Store,
};

/// What an index says of its origin when it was laid out for a lock.
const ORIGIN: &str = "hoist.lock sha256:";

/// Lays out `folder/kubernetes-VERSION` for the hosts' architecture, unless it is there for this lock already.
/// Returns whether it had to be made.
///
/// # Errors
/// [`Error::NotOurs`] when the folder was not made from a lock; when the store does not have something, or the folder
/// cannot be written.
pub fn stage(store: &Store, lock: &Lock, folder: &Path) -> Result<bool, Error> {
    if up_to_date(lock, folder)? {
        return Ok(false);
    }
    let _alone = hold::folder(folder)?;
    // Who was at work before may have made it.
    if up_to_date(lock, folder)? {
        return Ok(false);
    }
    let home = Index::home(folder, &lock.kubernetes);
    if let Ok(Index { origin, .. }) = Index::load(folder, &lock.kubernetes)
        && !origin.starts_with(ORIGIN)
    {
        return Err(Error::NotOurs { folder: home, origin });
    }
    let work = folder.join(format!(".kubernetes-{}.partial", lock.kubernetes));
    remove(&work)?;
    for folder in ["images", "extras", "charts", "packages"] {
        let folder = work.join(folder);
        fs::create_dir_all(&folder).map_err(Error::writing(&folder))?;
    }
    let index = fill(store, lock, &work)?;
    let path = work.join("index.yaml");
    let text = serde_yaml::to_string(&index)
        .map_err(|error| Error::Broken { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text).map_err(Error::writing(&path))?;
    // Two renames cannot be one: killed between them, the folder is missing and is made again.
    remove(&home)?;
    fs::rename(&work, &home).map_err(Error::writing(&home))?;
    Ok(true)
}

/// Whether the folder was laid out for this lock and everything is there in its full length.
///
/// # Errors
/// As [`Lock::digest`].
pub fn up_to_date(lock: &Lock, folder: &Path) -> Result<bool, Error> {
    let origin = origin(lock)?;
    Ok(Index::load(folder, &lock.kubernetes).is_ok_and(|index| index.origin == origin))
}

fn origin(lock: &Lock) -> Result<String, Error> {
    Ok(format!("{ORIGIN}{}", lock.digest()?))
}

fn fill(store: &Store, lock: &Lock, work: &Path) -> Result<Index, Error> {
    let hosts = lock.architectures.first().copied();
    let mut index = Index { kubernetes: lock.kubernetes.clone(), origin: origin(lock)?, ..Index::default() };
    for pinned in lock.files.iter().filter(|file| Some(file.architecture) == hosts) {
        let path = match pinned.place {
            Place::Host => PathBuf::from(&pinned.name),
            Place::Extra | Place::Installer => Path::new("extras").join(&pinned.name),
        };
        let file = lay(store, pinned, work, path)?;
        match pinned.place {
            Place::Host => index.files.push(file),
            Place::Extra | Place::Installer => index.extras.push(file),
        }
    }
    for pinned in lock.images.iter().filter(|image| Some(image.architecture) == hosts) {
        let path = PathBuf::from(format!("images/{}.tar", pinned.name));
        let full = work.join(&path);
        let manifest = stored(store, pinned)?
            .ok_or_else(|| missing(store, pinned.digest.trim_start_matches("sha256:")))?;
        archive::write_image(&full, store, pinned, &manifest)?;
        let (sha256, size) = digest::of_file(&full).map_err(Error::reading(&full))?;
        index.images.push(index::Image {
            name: pinned.name.clone(),
            reference: pinned.reference.clone(),
            path,
            sha256,
            size,
            digest: pinned.digest.clone(),
            everywhere: pinned.everywhere,
        });
    }
    for lock::Chart { name, version, sha256, size, .. } in &lock.charts {
        let path = PathBuf::from(format!("charts/{name}.tgz"));
        link(store, sha256, &work.join(&path))?;
        let (name, version, sha256) = (name.clone(), version.clone(), sha256.clone());
        index.charts.push(index::Chart { name, version, path, sha256, size: *size });
    }
    for system in lock.packages.iter().filter(|system| Some(system.architecture) == hosts) {
        index.packages.push(packages(store, system, work)?);
    }
    Ok(index)
}

fn packages(store: &Store, system: &System, work: &Path) -> Result<index::System, Error> {
    let folder = Path::new("packages").join(&system.os);
    fs::create_dir_all(work.join(&folder)).map_err(Error::writing(&work.join(&folder)))?;
    let files = system.files.iter().map(|package| {
        let path = folder.join(file_name(package));
        link(store, &package.sha256, &work.join(&path))?;
        let Package { name, version, sha256, size, .. } = package.clone();
        Ok(index::Package { name, version, path, sha256, size })
    });
    let files = files.collect::<Result<_, Error>>()?;
    Ok(index::System { os: system.os.clone(), needs: system.needs.clone(), files })
}

fn lay(store: &Store, pinned: &lock::File, work: &Path, path: PathBuf) -> Result<index::File, Error> {
    let full = work.join(&path);
    match &pinned.member {
        Some(member) => {
            let source = store.find(&pinned.sha256)?.ok_or_else(|| missing(store, &pinned.sha256))?;
            extract(&source, member, &full)?;
        }
        None => link(store, &pinned.sha256, &full)?,
    }
    let (sha256, size) = match pinned.member {
        Some(_) => digest::of_file(&full).map_err(Error::reading(&full))?,
        None => (pinned.sha256.clone(), pinned.size),
    };
    Ok(index::File { name: pinned.name.clone(), path, sha256, size, version: pinned.version.clone() })
}

/// A file of the store under another name. On one file system it takes no room.
fn link(store: &Store, sha256: &str, full: &Path) -> Result<(), Error> {
    let source = store.find(sha256)?.ok_or_else(|| missing(store, sha256))?;
    match fs::hard_link(&source, full) {
        Ok(()) => Ok(()),
        Err(_) => fs::copy(&source, full).map(drop).map_err(Error::writing(full)),
    }
}

/// Takes one program out of a `.tar.gz`.
fn extract(archive: &Path, member: &str, to: &Path) -> Result<(), Error> {
    let failed = |cause| Error::Unreadable { path: archive.to_owned(), cause };
    let file = BufReader::new(File::open(archive).map_err(failed)?);
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let path = entry.path().map_err(failed)?.into_owned();
        if entry.header().entry_type().is_file()
            && path.strip_prefix(".").unwrap_or(&path) == Path::new(member)
        {
            let mut program = File::create(to).map_err(Error::writing(to))?;
            io::copy(&mut entry, &mut program).map_err(failed)?;
            return program.set_permissions(Permissions::from_mode(0o755)).map_err(Error::writing(to));
        }
    }
    Err(Error::NoMember { archive: archive.to_owned(), member: member.to_owned() })
}

fn missing(store: &Store, sha256: &str) -> Error {
    Error::Unreadable { path: store.path(sha256), cause: io::ErrorKind::NotFound.into() }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::writing(folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_is_taken_out_of_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, to) = (folder.path().join("a.tar.gz"), folder.path().join("tool"));
        for (name, member, found) in [
            ("tool", "tool", true),
            ("./tool", "tool", true),
            ("linux-amd64/tool", "tool", false),
            ("x", "tool", false),
        ] {
            let encoder =
                flate2::write::GzEncoder::new(File::create(&archive).unwrap(), flate2::Compression::none());
            let mut tar = tar::Builder::new(encoder);
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            tar.append_data(&mut header, name, &b"ELF"[..]).unwrap();
            tar.into_inner().unwrap().finish().unwrap();
            match extract(&archive, member, &to) {
                Ok(()) => {
                    assert!(found, "{name}");
                    assert_eq!(fs::read(&to).unwrap(), b"ELF");
                    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);
                }
                Err(error) => assert!(!found && matches!(error, Error::NoMember { .. }), "{name}: {error}"),
            }
        }
    }

    #[test]
    fn a_cut_archive_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        fs::write(&archive, b"\x1f\x8b\x08").unwrap();
        let error = extract(&archive, "tool", &folder.path().join("tool")).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    }
}
