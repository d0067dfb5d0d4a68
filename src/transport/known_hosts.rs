//! Host keys that are known already: OpenSSH's known_hosts files, see sshd(8).

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;

use super::{Error, HostKey};

/// What known_hosts say about a key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the recorded key.
    Known,
    /// Nothing is recorded for that host.
    Unknown,
    /// Other keys are recorded for that host: of the same algorithm, or only of other ones.
    Changed { expected: Vec<Recorded> },
    /// The key is one that must not be accepted any more.
    Revoked { place: String },
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

/// The contents of known_hosts files.
#[derive(Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    revoked: bool,
    /// The first field: comma-separated patterns, or one hashed name.
    hosts: String,
    key: PublicKey,
    file: PathBuf,
    line: usize,
}

impl KnownHosts {
    /// Reads files; one that does not exist is empty.
    ///
    /// # Errors
    /// [`Error::KnownHosts`] when a file exists and cannot be read: to take it for empty would turn a changed key
    /// into an unknown one.
    pub fn load(files: &[PathBuf]) -> Result<KnownHosts, Error> {
        let mut known = KnownHosts::default();
        for file in files {
            match fs::read(file) {
                Ok(content) => known.parse(file, &String::from_utf8_lossy(&content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::KnownHosts { path: file.clone(), source }),
            }
        }
        Ok(known)
    }

    /// Adds the lines of a file. Lines that make no sense are passed over, as OpenSSH does.
    fn parse(&mut self, file: &Path, content: &str) {
        for (index, line) in content.lines().enumerate() {
            let mut words = line.split_ascii_whitespace().peekable();
            let revoked = match words.peek() {
                None => continue,
                Some(word) if word.starts_with('#') => continue,
                Some(&"@revoked") => words.next().is_some(),
                // Such lines say which authorities sign host certificates. None are asked for in the key exchange,
                // so no server shows one; when they are, these lines belong here, in a list of their own.
                Some(word) if word.starts_with('@') => continue,
                Some(_) => false,
            };
            let (Some(hosts), Some(algorithm), Some(key)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(key) = PublicKey::from_openssh(&format!("{algorithm} {key}")) else { continue };
            let hosts = hosts.to_owned();
            self.entries.push(Entry { revoked, hosts, key, file: file.to_owned(), line: index + 1 });
        }
    }

    /// Judges the key that the server at this address and port showed.
    pub fn verdict(&self, address: &str, port: u16, key: &PublicKey) -> Verdict {
        let name = name(address, port);
        let same = |entry: &&Entry| entry.key.key_data() == key.key_data();
        let matching =
            |name: &str| self.entries.iter().filter(move |entry| matches(&entry.hosts, name)).collect();
        let entries: Vec<&Entry> = matching(&name);
        // As OpenSSH does, the right key counts when it is recorded without the port too; a wrong one does not.
        let plain: Vec<&Entry> = if port == 22 { Vec::new() } else { matching(&address.to_lowercase()) };
        let all = || entries.iter().chain(&plain).copied();
        if let Some(entry) = all().filter(same).find(|entry| entry.revoked) {
            return Verdict::Revoked { place: format!("{}:{}", entry.file.display(), entry.line) };
        }
        if all().any(|entry| same(&entry)) {
            return Verdict::Known;
        }
        let expected: Vec<_> =
            entries.iter().filter(|entry| !entry.revoked).map(|entry| entry.recorded()).collect();
        if expected.is_empty() { Verdict::Unknown } else { Verdict::Changed { expected } }
    }

    /// The algorithms of the keys that are recorded for a host: the ones to ask it for.
    pub fn algorithms(&self, address: &str, port: u16) -> Vec<Algorithm> {
        let (with_port, plain) = (name(address, port), address.to_lowercase());
        let of = |name: &str| {
            let entries = self.entries.iter().filter(|entry| !entry.revoked && matches(&entry.hosts, name));
            entries.map(|entry| entry.key.algorithm()).collect::<Vec<_>>()
        };
        let algorithms = of(&with_port);
        if algorithms.is_empty() { of(&plain) } else { algorithms }
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

/// The name under which a host stands in known_hosts.
pub fn name(address: &str, port: u16) -> String {
    let address = address.to_lowercase();
    if port == 22 { address } else { format!("[{address}]:{port}") }
}

/// Whether the first field of a line means this host.
fn matches(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return matches_hash(hashed, name);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_wildcards(pattern, name) => return false,
            Some(_) => {}
            None => found |= matches_wildcards(pattern, name),
        }
    }
    found
}

/// `SALT|HASH`, both in base64: HMAC-SHA1 of the name with the salt as key.
fn matches_hash(hashed: &str, name: &str) -> bool {
    let decode = |text: &str| BASE64.decode(text.as_bytes()).ok();
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Some(salt), Some(hash)) = (decode(salt), decode(hash)) else { return false };
    let Ok(mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.chain_update(name).verify_slice(&hash).is_ok()
}

/// `*` is any text and `?` any character; upper and lower case are the same.
fn matches_wildcards(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last `*` when what follows it does not match: it then takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    p = after;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Records a host's key, unless it is recorded already. Makes the folder (mode 0700) and the file (mode 0600)
/// when they are missing. The line is added by one write, so that a reader or another writer sees all of it or
/// nothing, and the file keeps its owner, links and other lines.
///
/// # Errors
/// [`Error::Record`], or [`Error::KnownHosts`] when the file is there and cannot be read.
pub fn append(file: &Path, address: &str, port: u16, key: &HostKey) -> Result<(), Error> {
    let known = KnownHosts::load(&[file.to_owned()])?;
    if known.verdict(address, port, key.public()) == Verdict::Known {
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

    fn verdict(lines: &str, address: &str, port: u16) -> String {
        let mut known = KnownHosts::default();
        known.parse(Path::new("kh"), &lines.replace("KEY-A", A).replace("KEY-B", B));
        match known.verdict(address, port, HostKey::parse(A).unwrap().public()) {
            Verdict::Known => "known".into(),
            Verdict::Unknown => "unknown".into(),
            Verdict::Changed { expected } => {
                let lines: Vec<_> = expected.iter().map(|key| key.line.to_string()).collect();
                format!("changed {}", lines.join(" "))
            }
            Verdict::Revoked { place } => format!("revoked {place}"),
        }
    }

    #[test]
    fn lines() {
        for (lines, address, port, expected) in [
            ("", "h", 22, "unknown"),
            ("h KEY-A", "h", 22, "known"),
            ("h KEY-A comment with words", "h", 22, "known"),
            ("  \t h\tKEY-A\r\n", "h", 22, "known"),
            ("# h KEY-A", "h", 22, "unknown"),
            ("H KEY-A", "h", 22, "known"),
            ("h KEY-A", "H", 22, "known"),
            ("h KEY-B", "h", 22, "changed 1"),
            ("h KEY-B\nh KEY-A", "h", 22, "known"),
            ("\nh KEY-B\n# c\nh,g KEY-B", "h", 22, "changed 2 4"),
            ("g,h,i KEY-A", "h", 22, "known"),
            ("hh KEY-A", "h", 22, "unknown"),
            // Wildcards and negation.
            ("* KEY-A", "h", 22, "known"),
            ("10.0.0.* KEY-A", "10.0.0.17", 22, "known"),
            ("10.0.0.? KEY-A", "10.0.0.17", 22, "unknown"),
            ("*.example.??? KEY-A", "a.b.example.org", 22, "known"),
            ("*a*b*c KEY-A", "xaybzabc", 22, "known"),
            ("*a*b*c KEY-A", "xaybzabcd", 22, "unknown"),
            ("*,!h KEY-A", "h", 22, "unknown"),
            ("!h,* KEY-A", "h", 22, "unknown"),
            ("!h KEY-A", "g", 22, "unknown"),
            // Ports.
            ("[h]:2222 KEY-A", "h", 2222, "known"),
            ("[h]:2222 KEY-B", "h", 2222, "changed 1"),
            ("[h]:2222 KEY-B", "h", 22, "unknown"),
            ("h KEY-A", "h", 2222, "known"),
            ("h KEY-B", "h", 2222, "unknown"),
            ("[fd00::1]:2222 KEY-A", "fd00::1", 2222, "known"),
            ("fd00::1 KEY-A", "fd00::1", 22, "known"),
            // Markers.
            ("@revoked h KEY-A", "h", 22, "revoked kh:1"),
            ("h KEY-A\n@revoked * KEY-A", "h", 22, "revoked kh:2"),
            ("@revoked * KEY-B\nh KEY-A", "h", 22, "known"),
            ("@revoked g KEY-A\nh KEY-A", "h", 22, "known"),
            ("@cert-authority * KEY-B\nh KEY-A", "h", 22, "known"),
            ("@cert-authority * KEY-A", "h", 22, "unknown"),
            // Lines that make no sense.
            ("h\nh ssh-ed25519\nh ssh-ed25519 AAAA\nh future-algorithm AAAA\nh KEY-A", "h", 22, "known"),
            ("|1|no|hash KEY-A", "h", 22, "unknown"),
        ] {
            assert_eq!(verdict(lines, address, port), expected, "{lines:?} {address} {port}");
        }
    }

    #[test]
    fn hashed_names() {
        let hashed = |name: &str| {
            let salt = [7; 20];
            let mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(name).finalize().into_bytes();
            format!("|1|{}|{} KEY-A", BASE64.encode(&salt), BASE64.encode(&mac))
        };
        assert_eq!(verdict(&hashed("h"), "h", 22), "known");
        assert_eq!(verdict(&hashed("h"), "g", 22), "unknown");
        assert_eq!(verdict(&hashed("[h]:2222"), "h", 2222), "known");
        assert_eq!(verdict(&hashed("h"), "h", 2222), "known");
    }

    #[test]
    fn fingerprints_are_those_of_openssh() {
        let key = HostKey::parse(B).unwrap();
        // By `ssh-keygen -lf`.
        assert_eq!(key.to_string(), "ssh-ed25519 SHA256:wX9j+SP2h7N0y1ZKQdM3E2rXGeJIBFZbmJjfvWeAgd0");
        assert_eq!(key.openssh(), B);
    }

    #[test]
    fn appending_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/.ssh/known_hosts");
        let (a, b) = (HostKey::parse(A).unwrap(), HostKey::parse(B).unwrap());
        append(&file, "Host", 22, &a).unwrap();
        append(&file, "host", 22, &a).unwrap();
        append(&file, "fd00::1", 2222, &b).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("host {A}\n[fd00::1]:2222 {B}\n"));
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);

        fs::write(&file, "# no newline at the end").unwrap();
        append(&file, "h", 22, &a).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("# no newline at the end\nh {A}\n"));
    }
}
