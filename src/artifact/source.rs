//! One way to every artifact: the cache, a folder, a mirror or the official release.

use std::{fs, path::PathBuf};

use super::{
    Error, digest,
    http::{Http, signed},
    origin::{Files, Location, Registry},
    store::Store,
};

/// Where artifacts come from, and where they are kept.
#[derive(Debug, Clone)]
pub struct Source {
    pub http: Http,
    pub files: Files,
    pub registry: Registry,
    pub store: Store,
}

/// A file whose digest is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub location: Location,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
}

impl Source {
    /// The SHA-256 that is published for a file: in the list at `sums`, for the name at the end of `url`. Both are
    /// official addresses.
    ///
    /// # Errors
    /// When the list cannot be had or does not name the file.
    pub async fn published(&self, sums: &str, url: &str) -> Result<String, Error> {
        let bytes = match self.files.locate(sums)? {
            Location::Url(url) => self.http.get(&url, "*/*").await?,
            Location::Path(path) => fs::read(&path).map_err(Error::reading(&path))?,
        };
        let file = url.rsplit('/').next().unwrap_or_default();
        digest::in_sums(&String::from_utf8_lossy(&bytes), file)
            .ok_or_else(|| Error::NoChecksum { url: sums.to_owned(), file: file.to_owned() })
    }

    /// A text of up to `limit` bytes, which is not kept.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn text(&self, url: &str, limit: u64) -> Result<String, Error> {
        let bytes = match self.files.locate(url)? {
            Location::Url(url) => self.http.get_up_to(&url, "*/*", limit).await?,
            Location::Path(path) => fs::read(&path).map_err(Error::reading(&path))?,
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The size of a file in bytes, if that can be known without having it.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn size(&self, url: &str) -> Result<Option<u64>, Error> {
        match self.files.locate(url)? {
            Location::Url(url) => self.http.size(&url).await,
            Location::Path(path) => Ok(Some(fs::metadata(&path).map_err(Error::reading(&path))?.len())),
        }
    }

    /// Downloads a file of which nothing but the address is known, or its digest too. Returns its digest and size.
    ///
    /// # Errors
    /// When it cannot be had, or is not what was expected.
    pub async fn learn(&self, url: &str, expected: Option<&str>) -> Result<(String, u64), Error> {
        self.learn_at(self.files.locate(url)?, expected).await
    }

    /// The same for a file that is at one place only.
    ///
    /// # Errors
    /// As [`Source::learn`].
    pub async fn learn_at(&self, location: Location, expected: Option<&str>) -> Result<(String, u64), Error> {
        match location {
            Location::Path(path) => {
                let (found, size) = digest::of_file(&path).map_err(Error::reading(&path))?;
                match expected {
                    Some(expected) if expected != found => {
                        Err(wrong(&path.display().to_string(), expected, found))
                    }
                    _ => Ok((found, size)),
                }
            }
            Location::Url(url) => {
                // Without a digest nobody can say that the beginning of an earlier try is of the same file.
                let name = expected.map_or_else(|| digest::of(url.as_bytes()), str::to_owned);
                let partial = self.store.partial(&name)?;
                if expected.is_none() {
                    partial.clear()?;
                }
                self.http.download(&url, partial.path(), None, &|_| ()).await?;
                self.store.admit(partial, expected, &url)
            }
        }
    }

    /// The file in the store; it is brought there if it is not in it. `grown` is told of bytes as they come.
    ///
    /// # Errors
    /// When it cannot be had, or is not what was pinned.
    pub async fn obtain(&self, pinned: &Pinned, grown: &(dyn Fn(i64) + Sync)) -> Result<PathBuf, Error> {
        let Pinned { location, sha256, size } = pinned;
        let path = self.store.path(sha256);
        if self.store.find(sha256)?.is_some() {
            grown(signed(*size));
            return Ok(path);
        }
        let partial = self.store.partial(sha256)?;
        match location {
            Location::Path(from) => {
                fs::copy(from, partial.path()).map_err(Error::reading(from))?;
                grown(signed(*size));
                self.store.admit(partial, Some(sha256), &from.display().to_string())?;
            }
            Location::Url(url) => {
                let begun = partial.len()?;
                grown(signed(begun));
                self.http.download(url, partial.path(), Some(*size), grown).await?;
                match self.store.admit(partial, Some(sha256), url) {
                    // What an earlier run left may have been the beginning of something else.
                    Err(Error::WrongDigest { .. }) if begun > 0 => {
                        grown(-signed(*size));
                        let partial = self.store.partial(sha256)?;
                        self.http.download(url, partial.path(), Some(*size), grown).await?;
                        self.store.admit(partial, Some(sha256), url)?;
                    }
                    answer => drop(answer?),
                }
            }
        }
        Ok(path)
    }
}

fn wrong(what: &str, expected: &str, found: String) -> Error {
    Error::WrongDigest { what: what.to_owned(), expected: expected.to_owned(), found }
}
