//! A text and the name that errors call it by.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{Diagnostic, MietteError, MietteSpanContents, SourceCode, SpanContents};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Span, problem::position};

/// The largest file that is read. A thousand hosts with everything said about each need less than 1 MiB.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A text with the name that errors call it by; or the texts of several files, one after the other, each with its own
/// name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each file begins, in their order; empty for a single text.
    parts: Arc<[(usize, Arc<str>)]>,
}

/// One file of a source.
pub(super) struct Part<'a> {
    pub name: &'a str,
    pub text: &'a str,
    /// Where it begins in the whole text, in bytes.
    pub start: usize,
}

impl Source {
    /// A text that is there already, under the name by which messages call it.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Source { name: name.into(), text: text.into(), parts: Arc::new([]) }
    }

    /// Several sources as one, which errors call `name` where they mean all of it.
    pub fn joined(name: impl Into<Arc<str>>, sources: &[Source]) -> Self {
        let (mut text, mut parts) = (String::new(), Vec::new());
        for source in sources {
            parts.push((text.len(), source.name.clone()));
            text += &source.text;
            // So that every place belongs to one file, also those at an end.
            text.push('\n');
        }
        Source { name: name.into(), text: text.into(), parts: parts.into() }
    }

    /// Reads a file; or, of a folder, the files in it that end in `.yaml` or `.yml`, by their names.
    ///
    /// # Errors
    /// As [`Source::load`], for each file, and when a folder has no such file.
    pub fn load_any(path: &Path) -> Result<Self, ReadError> {
        if !path.is_dir() {
            return Source::load(path);
        }
        let failed = |cause| ReadError::Io { path: path.into(), cause };
        let mut files = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
            files.extend((yaml && !hidden && file.is_file()).then_some(file));
        }
        files.sort();
        if files.is_empty() {
            return Err(ReadError::EmptyFolder { path: path.into() });
        }
        let sources = files.iter().map(|file| Source::load(file)).collect::<Result<Vec<_>, _>>()?;
        if sources.iter().map(|source| source.text.len() + 1).sum::<usize>() > MAX_BYTES {
            return Err(ReadError::TooLarge { path: path.into() });
        }
        Ok(Source::joined(path.to_string_lossy(), &sources))
    }

    /// The files that it is made of; the whole, when it is one text.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let all = [(0, &*self.name)].into_iter().take(usize::from(self.parts.is_empty()));
        let starts = all.chain(self.parts.iter().map(|(start, name)| (*start, &**name)));
        let ends = self.parts.iter().skip(1).map(|(start, _)| *start).chain([self.text.len()]);
        starts.zip(ends).map(|((start, name), end)| Part {
            name,
            text: self.text.get(start..end).unwrap_or_default(),
            start,
        })
    }

    /// The file that a place is in.
    pub(super) fn part(&self, offset: usize) -> Part<'_> {
        let whole = Part { name: &self.name, text: &self.text, start: 0 };
        self.parts().take_while(|part| part.start <= offset).last().unwrap_or(whole)
    }

    /// The name of the file that a place is in.
    pub fn file(&self, span: Span) -> &str {
        let Part { name, .. } = self.part(span.offset());
        name
    }

    /// Line and column of a place in its file, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let Part { text, start, .. } = self.part(offset);
        position(text, offset - start)
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
            let byte = error.as_bytes()[good];
            let shown = String::from_utf8_lossy(error.as_bytes());
            let at = Span::from((good, char::REPLACEMENT_CHARACTER.len_utf8()));
            ReadError::NotUtf8 {
                path: path.into(),
                text: Source::new(path.to_string_lossy(), shown),
                at,
                byte,
            }
        })?;
        Ok(Source::new(path.to_string_lossy(), text))
    }

    /// What messages call it: its path, where it is a file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it, as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line that a place is in, from 1.
    pub fn line(&self, span: Span) -> usize {
        self.position(span.offset()).0
    }
}

impl SourceCode for Source {
    /// Lines around a place, of its own file and with that file's name; what spans several files is not there.
    fn read_span<'a>(
        &'a self,
        span: &Span,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let Part { name, text, start } = self.part(span.offset());
        let inner = Span::from((span.offset().saturating_sub(start), span.len()));
        let found = text.read_span(&inner, before, after)?;
        let shown = Span::from((found.span().offset() + start, found.span().len()));
        // In characters, as everywhere: miette counts bytes.
        let column = position(text, found.span().offset()).1 - 1;
        let (line, count) = (found.line(), found.line_count());
        Ok(Box::new(MietteSpanContents::new_named(name.to_owned(), found.data(), shown, line, column, count)))
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
    #[error("there is no file that ends in .yaml or .yml in {}", path.display())]
    #[diagnostic(help(
        "an inventory is one such file, or all of them in a folder; `hoist init` writes one to start from"
    ))]
    EmptyFolder { path: PathBuf },
    #[error("{} is not UTF-8 text: byte 0x{byte:02x} in line {}", path.display(), text.line(*at))]
    #[diagnostic(help(
        "save it as UTF-8; if it comes from another editor or system, `iconv -f LATIN1 -t UTF-8` converts it"
    ))]
    NotUtf8 {
        path: PathBuf,
        /// What there is of it as text.
        #[source_code]
        text: Source,
        /// The first place that is no text.
        #[label("this byte")]
        at: Span,
        byte: u8,
    },
}

impl ReadError {
    /// The file that could not be read.
    pub fn path(&self) -> &Path {
        match self {
            ReadError::Io { path, .. }
            | ReadError::TooLarge { path }
            | ReadError::EmptyFolder { path }
            | ReadError::NotUtf8 { path, .. } => path,
        }
    }

    /// Line and column of the place in the file that it is about, both from 1; the column counts characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            ReadError::NotUtf8 { text, at, .. } => Some(text.position(at.offset())),
            _ => None,
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
