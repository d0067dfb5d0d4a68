//! SHA-256 of what is read and written.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of bytes in lower-case hex.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file in lower-case hex, and its size in bytes.
pub(crate) fn of_file(path: &Path) -> io::Result<(String, u64)> {
    copy(File::open(path)?, io::sink())
}

/// Copies everything; the SHA-256 of it in lower-case hex, and its size in bytes.
pub(crate) fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok((hex(&hash.finalize()), size)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}

/// The digest of a file in a list of checksums: a digest alone, or a line of digest and name as `sha256sum` writes
/// it, whose name may have a path before it.
pub(crate) fn in_sums(sums: &str, file: &str) -> Option<String> {
    let digest = |word: &str| {
        let fits = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| word.to_ascii_lowercase())
    };
    let mut words = sums.split_whitespace();
    if let (Some(only), None) = (words.next(), words.next()) {
        return digest(only);
    }
    sums.lines().find_map(|line| {
        let (first, rest) = line.trim().split_once(char::is_whitespace)?;
        // The star is how binary mode is marked.
        let name = rest.trim().trim_start_matches('*');
        (name.rsplit('/').next() == Some(file)).then(|| digest(first))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(b""), empty);
        let mut copied = Vec::new();
        let large = vec![7; 300_000];
        assert_eq!(copy(&large[..], &mut copied).unwrap(), (of(&large), 300_000));
        assert_eq!(copied, large);
    }

    #[test]
    fn sums_are_found_in_every_form() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        for (sums, file, expected) in [
            (a.clone(), "x", Some(&a)),
            (format!("{a}\n"), "x", Some(&a)),
            (format!("{}\n", a.to_uppercase()), "x", Some(&a)),
            (format!("{a}  x\n{b}  y\n"), "y", Some(&b)),
            (format!("{a} *x\n"), "x", Some(&a)),
            (format!("{a}  ./dist/x\n"), "x", Some(&a)),
            (
                format!(
                    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{a}  runc.amd64\n{b}  runc.amd64.asc\n"
                ),
                "runc.amd64",
                Some(&a),
            ),
            (format!("{a}  xx\n"), "x", None),
            (format!("{a}  x.sig\n"), "x", None),
            ("<html>not found</html>".into(), "x", None),
            (format!("{}  x\n", "a".repeat(63)), "x", None),
            ("not-a-digest".into(), "x", None),
            (String::new(), "x", None),
        ] {
            assert_eq!(in_sums(&sums, file).as_ref(), expected, "{sums:?}");
        }
    }
}
