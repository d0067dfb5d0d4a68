//! A text and the name that errors call it by.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Span, problem::position};

/// The largest file that is read. A thousand hosts with everything said about each need less than 1 MiB.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A text with the name that errors call it by. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Source { name: name.into(), text: text.into() }
    }

    /// Reads a file, or what comes through a pipe, whole.
    ///
    /// # Errors
    /// When it cannot be read, is larger than [`MAX_BYTES`], or is not UTF-8.
    pub fn load(path: &Path) -> Result<Self, ReadError> {
        let failed = |cause| ReadError::Io { path: path.into(), cause };
        let mut bytes = Vec::new();
        let file = open(path).map_err(failed)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Source::decode(path, bytes)
    }

    fn decode(path: &Path, bytes: Vec<u8>) -> Result<Self, ReadError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReadError::TooLarge { path: path.into() });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count();
            ReadError::NotUtf8 { path: path.into(), line, byte: error.as_bytes()[good] }
        })?;
        Ok(Source::new(path.to_string_lossy(), text))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line that a place is in, from 1.
    pub fn line(&self, span: Span) -> usize {
        position(&self.text, span.offset()).0
    }

    pub(super) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

/// Opens without waiting for somebody to write to a named pipe, which may be never; reading waits for those who do.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}

/// Why a file could not be taken as text.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ReadError {
    #[error("failed to read {}", path.display())]
    #[diagnostic(help("{}", reading_advice(cause)))]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} is larger than {} MiB", path.display(), MAX_BYTES / 1024 / 1024)]
    #[diagnostic(help("a file that people write is a few kilobytes: is this the right one?"))]
    TooLarge { path: PathBuf },
    #[error("{} is not UTF-8 text: byte 0x{byte:02x} in line {line}", path.display())]
    #[diagnostic(help(
        "save it as UTF-8; if it comes from another editor or system, `iconv -f LATIN1 -t UTF-8` converts it"
    ))]
    NotUtf8 { path: PathBuf, line: usize, byte: u8 },
}

impl ReadError {
    /// The file that could not be read.
    pub fn path(&self) -> &Path {
        match self {
            ReadError::Io { path, .. } | ReadError::TooLarge { path } | ReadError::NotUtf8 { path, .. } => {
                path
            }
        }
    }
}

fn reading_advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "check the path; relative ones start at the current folder",
        io::ErrorKind::PermissionDenied => "make the file readable for the user that runs hoist",
        io::ErrorKind::IsADirectory => "name the file in that folder",
        _ => "check the file and the disk it is on",
    }
}
