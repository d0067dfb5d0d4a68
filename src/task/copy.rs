//! Files that are shipped beside a role.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Act, Change, Delivery, Kind, Mode, Observations, Probe, quote, whole::Whole};

/// Up to this size, in bytes, a file travels inside the script that puts it in place, with its neighbours.
const INLINE: usize = 64 * 1024;

/// A file that is the same, byte for byte, as one that is shipped beside a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Absolute path on the host.
    pub path: String,
    /// Lower-case hex SHA-256 of the content.
    pub sha256: String,
    pub payload: Payload,
    pub mode: Mode,
    pub owner: String,
    pub group: String,
    /// Never show the content in a plan.
    pub secret: bool,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Bytes(Vec<u8>),
    /// A local file too large to travel in a script.
    Local(PathBuf),
}

impl Payload {
    /// What was read, as it travels best: `path` is where it was read, unless it is part of the program.
    pub fn new(bytes: Vec<u8>, path: Option<PathBuf>) -> Payload {
        match path {
            Some(path) if bytes.len() > INLINE => Payload::Local(path),
            _ => Payload::Bytes(bytes),
        }
    }
}

impl Copy {
    pub(super) fn is_inline(&self) -> bool {
        matches!(self.payload, Payload::Bytes(_))
    }

    /// The content, when it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.payload {
            Payload::Bytes(bytes) if !bytes.contains(&0) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    fn whole(&self) -> Whole<'_> {
        Whole {
            path: &self.path,
            sha256: &self.sha256,
            text: self.text(),
            secret: self.secret,
            mode: self.mode,
            owner: &self.owner,
            group: &self.group,
            validate: None,
        }
    }
}

impl Kind for Copy {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        self.whole().diff(seen)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        match &self.payload {
            Payload::Bytes(bytes) => {
                let print = format!("printf %s {} | base64 -d", quote(&BASE64.encode(bytes)));
                vec![self.whole().act(seen, &print)]
            }
            Payload::Local(path) => {
                let send = Act::Send(Delivery {
                    source: path.to_string_lossy().into_owned(),
                    destination: self.path.clone(),
                    sha256: self.sha256.clone(),
                    mode: self.mode,
                    url: None,
                    public: false,
                    beside: None,
                });
                // What is sent belongs to root at first.
                vec![send, self.whole().act_on_attributes()]
            }
        }
    }

    fn foresee(&self, seen: &mut Observations) {
        self.whole().foresee(seen);
    }
}
