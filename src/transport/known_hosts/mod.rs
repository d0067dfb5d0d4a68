//! Host keys that are known already: OpenSSH's known_hosts files, see sshd(8).

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::{Error, HostKey, Target};

mod certificate;
mod names;
#[cfg(test)]
mod tests;

pub(super) use names::matches_wildcards;
pub use names::name;

/// What known_hosts say about a key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the recorded key, or a recorded authority vouches for it.
    Known,
    /// Nothing is recorded for that host.
    Unknown,
    /// Other keys are recorded for that host: of the same algorithm, or only of other ones.
    Changed { expected: Vec<Recorded> },
    /// The key, or the authority that vouches for it, is one that must not be accepted any more.
    Revoked { place: String },
    /// Only authorities are recorded for that host, and the certificate that it showed does not do.
    Uncertified { reason: String },
}

/// A key that is recorded for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Such as `ssh-ed25519`.
    pub algorithm: String,
    /// As OpenSSH prints it: `SHA256:…`.
    pub fingerprint: String,
    pub file: PathBuf,
    /// Line in that file, from 1.
    pub line: usize,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}:{})", self.algorithm, self.fingerprint, self.file.display(), self.line)
    }
}

/// How OpenSSH's binary lists of revoked keys begin (PROTOCOL.krl).
const KRL: &[u8] = b"SSHKRL\n\0";

/// What known_hosts files say of one host. Files have lines for thousands of others, which are not kept.
#[derive(Debug)]
pub struct KnownHost {
    address: String,
    port: u16,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    marker: Marker,
    /// Whether the line means the host with its port. If the port is 22, every line does.
    with_port: bool,
    key: PublicKey,
    file: PathBuf,
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    /// The host's own key.
    None,
    /// A key that signs certificates of hosts.
    Authority,
    /// A key of either kind that must not be accepted any more.
    Revoked,
}

impl KnownHost {
    /// Reads what is known of a target.
    ///
    /// # Errors
    /// [`Error::KnownHosts`] as [`KnownHost::load`], and also when the file of revoked keys is not there: ssh_config(5)
    /// has every host refused then.
    pub fn of(target: &Target) -> Result<KnownHost, Error> {
        let (address, port) = target.recorded_as();
        let mut known = KnownHost::load(&target.known_hosts, address, port)?;
        if let Some(file) = &target.revoked_keys {
            let unusable = |source| Error::KnownHosts { path: file.clone(), source };
            let content = fs::read(file).map_err(unusable)?;
            if content.starts_with(KRL) {
                let reason = "it is a key revocation list, which hoist does not read: list the public keys, one a line";
                return Err(unusable(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            known.revoke(file, &String::from_utf8_lossy(&content));
        }
        Ok(known)
    }

    /// Adds keys that nobody may have.
    fn revoke(&mut self, file: &Path, content: &str) {
        for (index, line) in content.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let (Some(algorithm), Some(key)) = (words.next(), words.next()) else { continue };
            let Ok(key) = PublicKey::from_openssh(&format!("{algorithm} {key}")) else { continue };
            let (file, line) = (file.to_owned(), index + 1);
            self.entries.push(Entry { marker: Marker::Revoked, with_port: true, key, file, line });
        }
    }

    /// Reads what files say of the host at this address (or of this name) and port. A file that does not exist is
    /// empty.
    ///
    /// # Errors
    /// [`Error::KnownHosts`] when a file exists and cannot be read: to take it for empty would turn a changed key
    /// into an unknown one.
    pub fn load(files: &[PathBuf], address: &str, port: u16) -> Result<KnownHost, Error> {
        let mut known = KnownHost { address: address.to_lowercase(), port, entries: Vec::new() };
        for file in files {
            match fs::read(file) {
                Ok(content) => known.parse(file, &String::from_utf8_lossy(&content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::KnownHosts { path: file.clone(), source }),
            }
        }
        Ok(known)
    }

    /// Adds the lines of a file that mean this host. Lines that make no sense are passed over, as OpenSSH does.
    fn parse(&mut self, file: &Path, content: &str) {
        let with_port = name(&self.address, self.port);
        for (index, line) in content.lines().enumerate() {
            let mut words = line.split_ascii_whitespace().peekable();
            let marker = match words.peek() {
                None => continue,
                Some(word) if word.starts_with('#') => continue,
                Some(&"@revoked") => Marker::Revoked,
                Some(&"@cert-authority") => Marker::Authority,
                Some(word) if word.starts_with('@') => continue,
                Some(_) => Marker::None,
            };
            if marker != Marker::None {
                words.next();
            }
            let (Some(hosts), Some(algorithm), Some(key)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let exact = names::matches(hosts, &with_port);
            // Hashed names are slow to compare: not twice with the same.
            let without_port = || with_port != self.address && names::matches(hosts, &self.address);
            if !exact && !without_port() {
                continue;
            }
            let Ok(key) = PublicKey::from_openssh(&format!("{algorithm} {key}")) else { continue };
            let (file, line) = (file.to_owned(), index + 1);
            self.entries.push(Entry { marker, with_port: exact, key, file, line });
        }
    }

    /// Judges what the server showed, as of now.
    pub fn verdict(&self, shown: &PublicKeyOrCertificate) -> Verdict {
        match shown.certificate() {
            Some(certificate) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                self.verdict_on_certificate(certificate, now)
            }
            None => self.verdict_on_key(&shown.public_key()),
        }
    }

    /// A bare key is known by its own line.
    fn verdict_on_key(&self, key: &PublicKey) -> Verdict {
        if let Some(place) = self.revoked(key) {
            return Verdict::Revoked { place };
        }
        // As with OpenSSH, lines without the port count only where none has it, of whatever algorithm: who recorded a
        // key for this port meant no other one. And of those that count so only the right key does; a wrong one is
        // that of another server.
        let pinned = self.marked(Marker::None).any(|entry| entry.with_port);
        let mut entries = self.marked(Marker::None).filter(|entry| entry.with_port || !pinned);
        if entries.any(|entry| entry.key.key_data() == key.key_data()) {
            return Verdict::Known;
        }
        let entries = self.marked(Marker::None).filter(|entry| entry.with_port);
        let expected: Vec<_> = entries.map(Entry::recorded).collect();
        if pinned { Verdict::Changed { expected } } else { Verdict::Unknown }
    }

    /// A certificate is known by the line of its authority. When it does not do, its key counts as a bare one, as
    /// with OpenSSH.
    fn verdict_on_certificate(&self, certificate: &Certificate, now: u64) -> Verdict {
        let authority = PublicKey::from(certificate.signature_key().clone());
        let key = PublicKey::from(certificate.public_key().clone());
        if let Some(place) = self.revoked(&authority) {
            return Verdict::Revoked { place };
        }
        let authorities = || self.marked(Marker::Authority);
        let listed = authorities().any(|entry| entry.key.key_data() == authority.key_data());
        let objection = if listed {
            certificate::objection(certificate, &self.address, now)
        } else {
            let recorded: Vec<_> = authorities().map(|entry| entry.recorded().to_string()).collect();
            let found = authority.fingerprint(HashAlg::Sha256);
            Some(format!("it is signed by {found}, expected {}", recorded.join(" or ")))
        };
        match (self.verdict_on_key(&key), objection) {
            (Verdict::Revoked { place }, _) => Verdict::Revoked { place },
            (_, None) => Verdict::Known,
            (Verdict::Unknown, Some(reason)) => Verdict::Uncertified { reason },
            (verdict, Some(_)) => verdict,
        }
    }

    /// Where this key is revoked for the host.
    fn revoked(&self, key: &PublicKey) -> Option<String> {
        let entry = self.marked(Marker::Revoked).find(|entry| entry.key.key_data() == key.key_data())?;
        Some(format!("{}:{}", entry.file.display(), entry.line))
    }

    fn marked(&self, marker: Marker) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.marker == marker)
    }

    /// The algorithms of the keys that are recorded for the host: the ones to ask it for.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let of = |with_port: bool| {
            let entries = self.marked(Marker::None).filter(move |entry| entry.with_port || !with_port);
            entries.map(|entry| entry.key.algorithm()).collect::<Vec<_>>()
        };
        let algorithms = of(true);
        if algorithms.is_empty() { of(false) } else { algorithms }
    }

    /// Whether an authority is recorded for the host, so that certificates are to be asked for.
    pub fn has_authority(&self) -> bool {
        self.marked(Marker::Authority).next().is_some()
    }
}

impl Entry {
    fn recorded(&self) -> Recorded {
        Recorded {
            algorithm: self.key.algorithm().to_string(),
            fingerprint: self.key.fingerprint(HashAlg::Sha256).to_string(),
            file: self.file.clone(),
            line: self.line,
        }
    }
}

/// Records a host's key, unless it is recorded already. Makes the folder (mode 0700) and the file (mode 0600)
/// when they are missing. The line is added by one write, so that a reader or another writer sees all of it or
/// nothing, and the file keeps its owner, links and other lines.
///
/// # Errors
/// [`Error::Record`], or [`Error::KnownHosts`] when the file is there and cannot be read.
pub fn append(file: &Path, address: &str, port: u16, key: &HostKey) -> Result<(), Error> {
    let known = KnownHost::load(&[file.to_owned()], address, port)?;
    if known.verdict_on_key(key.public()) == Verdict::Known {
        return Ok(());
    }
    let line = format!("{} {}\n", name(address, port), key.openssh());
    add_line(file, &line).map_err(|source| Error::Record { path: file.to_owned(), source })
}

fn add_line(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let text = if ends_with_newline(&mut open)? { line.to_owned() } else { format!("\n{line}") };
    open.write_all(text.as_bytes())?;
    open.sync_all()
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}
