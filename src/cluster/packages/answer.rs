//! Reads what apt and dnf answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::packages::Found;

/// What each package needs, and where everything is.
pub(super) type Needs = (BTreeMap<String, Vec<String>>, Vec<Found>);

/// Reads an answer of either script.
///
/// # Errors
/// The first line that is no package of an http address.
pub(super) fn parse(answer: &str) -> Result<Needs, String> {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files: BTreeMap<String, Found> = BTreeMap::new();
    let mut root = None;
    for line in answer.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("#needs ") {
            needs.entry(name.to_string()).or_default();
            root = Some(name.to_string());
            continue;
        }
        let found = if line.starts_with('\'') { apt(line) } else { dnf(line) };
        let (Some(found), Some(root)) = (found, &root) else { return Err(line.to_string()) };
        needs.entry(root.clone()).or_default().insert(found.name.clone());
        files.entry(found.name.clone()).or_insert(found);
    }
    // What gives a package under another name, as a virtual package has, would not be found on hosts again.
    match needs.iter().find(|(name, needs)| !needs.contains(*name)) {
        Some((name, _)) => Err(format!("{name}: nothing of this name would be installed")),
        None => {
            let needs = needs.into_iter().map(|(name, needs)| (name, needs.into_iter().collect()));
            Ok((needs.collect(), files.into_values().collect()))
        }
    }
}

/// `'URL' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:DIGEST`
fn apt(line: &str) -> Option<Found> {
    let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let mut words = rest.split_whitespace();
    let (file, size, digest) = (words.next()?, words.next()?, words.next()?);
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let sha256 = digest.strip_prefix("SHA256:")?.to_ascii_lowercase();
    Some(Found {
        name: name.to_string(),
        // The colon behind an epoch cannot stand in a file's name.
        version: version.replace("%3a", ":"),
        url: web(url)?,
        pinned: Some((sha256, size.parse().ok()?)),
    })
}

/// `URL/NAME-VERSION-RELEASE.ARCHITECTURE.rpm`
fn dnf(line: &str) -> Option<Found> {
    let url = web(line)?;
    let file = url.rsplit('/').next()?.strip_suffix(".rpm")?;
    let (file, _) = file.rsplit_once('.')?;
    let (rest, release) = file.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let (name, version) = (name.to_string(), format!("{version}-{release}"));
    Some(Found { name, version, url, pinned: None })
}

fn web(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    // A login in the address of a repository would stand in the lock.
    let server = rest.split('/').next()?;
    (!rest.contains(char::is_whitespace) && !server.contains('@')).then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_prints_is_read() {
        let digest = "ab".repeat(32);
        let line = |file: &str, name: &str| {
            format!("'http://deb.example.org/pool/{file}' {name} 375188 SHA256:{digest}\n")
        };
        let libc = line("libc6_2.36-9%2bdeb12u14_amd64.deb", "libc6_2.36-9+deb12u14_amd64.deb");
        let text = format!(
            "#needs socat\n{libc}{}#needs login\n{libc}{}",
            line("socat_1.7.4.4-2_amd64.deb", "socat_1.7.4.4-2_amd64.deb"),
            line("login_4.13_amd64.deb", "login_1%3a4.13+dfsg1_amd64.deb"),
        );
        let (needs, files) = parse(&text).unwrap();
        assert_eq!(needs["socat"], ["libc6", "socat"]);
        assert_eq!(needs["login"], ["libc6", "login"]);
        let shown: Vec<String> =
            files.iter().map(|file| format!("{} {} {}", file.name, file.version, file.url)).collect();
        assert_eq!(
            shown,
            [
                "libc6 2.36-9+deb12u14 http://deb.example.org/pool/libc6_2.36-9%2bdeb12u14_amd64.deb",
                "login 1:4.13+dfsg1 http://deb.example.org/pool/login_4.13_amd64.deb",
                "socat 1.7.4.4-2 http://deb.example.org/pool/socat_1.7.4.4-2_amd64.deb",
            ]
        );
        assert_eq!(files[0].pinned, Some((digest, 375188)));
    }

    #[test]
    fn what_dnf_prints_is_read() {
        let text = "#needs socat\nhttps://m.example.org/a/glibc-2.34-100.el9.x86_64.rpm\n\
                    https://m.example.org/a/socat-1.7.4.1-5.el9.x86_64.rpm\n";
        let (needs, files) = parse(text).unwrap();
        assert_eq!(needs["socat"], ["glibc", "socat"]);
        assert_eq!((files[1].name.as_str(), files[1].version.as_str()), ("socat", "1.7.4.1-5.el9"));
        assert_eq!(files[1].pinned, None);
    }

    #[test]
    fn what_cannot_be_downloaded_is_named() {
        let file = "socat_1_amd64.deb 3 SHA256:ab";
        for line in [
            format!("'file:/srv/{file}' {file}"),
            format!("'http://me:secret@m/{file}' {file}"),
            "'http://m/socat_1_amd64.deb' socat_1_amd64.deb 3 MD5Sum:ab".to_string(),
            "Reading package lists...".to_string(),
        ] {
            assert_eq!(parse(&format!("#needs socat\n{line}\n")).unwrap_err(), line);
        }
        assert!(parse("#needs socat\n").unwrap_err().contains("nothing of this name"));
    }
}
