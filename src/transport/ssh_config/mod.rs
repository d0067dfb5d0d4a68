//! What OpenSSH's own configuration says of a host: `ssh_config(5)`.
//!
//! `ssh -G` is asked, because nothing else understands `Match`, `Include` and canonical names as ssh does. It takes
//! about 4 ms a host; where the files say nothing of a host that matters here it is not asked.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::{
    process::Command,
    sync::{Mutex, OnceCell, Semaphore},
    time::timeout,
};

use super::Error;

mod outline;
mod said;

use outline::Outline;
pub(super) use said::Said;

/// The machine's own configuration.
const GLOBAL: &str = "/etc/ssh/ssh_config";

/// How long ssh may take to answer: it may have to look up names.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which configuration counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// `~/.ssh/config`, then the machine's.
    #[default]
    Default,
    /// None.
    None,
    /// This one only.
    File(PathBuf),
}

/// A host that is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) file: &'a ConfigFile,
    pub(super) address: &'a str,
    /// Another name by which the files may call it, if they do not call it by its address.
    pub(super) name: Option<&'a str>,
    /// What is certain already.
    pub(super) user: Option<&'a str>,
    pub(super) port: Option<u16>,
    /// Whether the jump hosts are, too.
    pub(super) route_known: bool,
}

/// OpenSSH's configuration, asked at most once about each host.
#[derive(Debug)]
pub(super) struct SshConfig {
    answers: Mutex<HashMap<Vec<String>, Arc<OnceCell<Said>>>>,
    /// Processes at the same time.
    turns: Semaphore,
}

impl Default for SshConfig {
    fn default() -> SshConfig {
        SshConfig { answers: Mutex::default(), turns: Semaphore::new(8) }
    }
}

impl SshConfig {
    /// What is said of a host; nothing when nothing is.
    ///
    /// # Errors
    /// [`Error::Route`] when a file has a mistake, or cannot be read.
    pub(super) async fn lookup(&self, query: Query<'_>) -> Result<Said, Error> {
        let failed =
            |reason: String| Error::Route { host: query.name.unwrap_or(query.address).to_owned(), reason };
        let files = files(query.file);
        let outline =
            Outline::read(&files).map_err(|(path, error)| failed(format!("{}: {error}", path.display())))?;
        let typed = match query.name {
            Some(name) if outline.names(name) && !outline.names(query.address) => name,
            _ => query.address,
        };
        if !outline.speaks_of(typed) {
            return Ok(Said::default());
        }
        let mut arguments: Vec<String> = ["-G", "-F", "/dev/stdin"].map(str::to_owned).into();
        if let Some(user) = query.user {
            arguments.extend(["-l".into(), user.to_owned()]);
        }
        if let Some(port) = query.port {
            arguments.extend(["-p".into(), port.to_string()]);
        }
        if query.route_known {
            arguments.extend(["-o".into(), "ProxyJump=none".into()]);
        }
        if typed != query.address {
            arguments.extend(["-o".into(), format!("HostName={}", query.address)]);
        }
        arguments.extend(["--".into(), typed.to_owned()]);
        let config = merged(&files);
        let key = arguments.iter().cloned().chain([config.clone()]).collect();
        let answer = self.answers.lock().await.entry(key).or_default().clone();
        let ask = async {
            // Never closed, so a turn always comes.
            let _turn = self.turns.acquire().await;
            ask(&arguments, &config).await.map(|text| Said::parse(&text, typed))
        };
        answer.get_or_try_init(|| ask).await.cloned().map_err(failed)
    }
}

/// The files that count, and the folder from which each includes others.
fn files(config: &ConfigFile) -> Vec<(PathBuf, PathBuf)> {
    let home = std::env::home_dir().map(|home| home.join(".ssh"));
    match config {
        ConfigFile::None => Vec::new(),
        ConfigFile::File(path) => vec![(path.clone(), home.unwrap_or_default())],
        ConfigFile::Default => {
            let user = home.map(|home| (home.join("config"), home));
            let files = user.into_iter().chain([(GLOBAL.into(), PathBuf::from("/etc/ssh"))]);
            files.filter(|(path, _)| path.exists()).collect()
        }
    }
}

/// All files in one. The first value counts, so the end tells apart what was said and what is ssh's default.
fn merged(files: &[(PathBuf, PathBuf)]) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let includes = files.iter().map(|(path, _)| format!("Include \"{}\"\n", absolute(path).display()));
    let unsaid = said::UNSAID;
    includes.collect::<String>()
        + &format!("Match all\nUser {unsaid}\nIdentityFile {unsaid}\nUserKnownHostsFile {unsaid}\n")
}

async fn ask(arguments: &[String], config: &str) -> Result<String, String> {
    let stdin = in_memory(config).map_err(|error| format!("memfd_create: {error}"))?;
    let mut ssh = Command::new("ssh");
    ssh.args(arguments).stdin(Stdio::from(stdin)).kill_on_drop(true);
    let output = match timeout(PATIENCE, ssh.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(format!("its configuration is read by `ssh -G`, which cannot be run: {error}"));
        }
        Err(_) => return Err(format!("`ssh -G` does not answer within {} s", PATIENCE.as_secs())),
    };
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file without a name: ssh may read it more than once, as it does for `Match final`, and a pipe ends.
fn in_memory(text: &str) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("ssh_config", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lookup(config: &str, address: &str, name: Option<&str>) -> Result<Said, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, config).unwrap();
        let query = Query {
            file: &ConfigFile::File(path),
            address,
            name,
            user: Some("admin"),
            port: None,
            route_known: false,
        };
        SshConfig::default().lookup(query).await
    }

    #[tokio::test]
    async fn the_address_is_looked_up_then_the_name() {
        const CONFIG: &str =
            "Host 10.0.0.1\n Port 1\nHost cp1 w*\n Port 2\n HostKeyAlias key-of-%h\nHost *\n Port 3\n";
        for (address, name, port) in [
            ("10.0.0.1", Some("cp1"), 1),
            ("10.0.0.2", Some("w1"), 2),
            ("10.0.0.2", Some("x1"), 3),
            ("10.0.0.2", None, 3),
        ] {
            let said = lookup(CONFIG, address, name).await.unwrap();
            assert_eq!(said.port, Some(port), "{address} {name:?}");
        }
        // Called by its name it still is at its address.
        let said = lookup("Host w1\n HostName 192.0.2.9\n Port 2\n", "10.0.0.2", Some("w1")).await.unwrap();
        assert_eq!((said.hostname.as_deref(), said.port), (Some("10.0.0.2"), Some(2)));
    }

    #[tokio::test]
    async fn what_ssh_itself_understands() {
        const CONFIG: &str = "Match user admin host 10.*\n Port 7\nMatch final\n HostKeyAlias last\n";
        let said = lookup(CONFIG, "10.0.0.1", None).await.unwrap();
        assert_eq!((said.port, said.host_key_alias.as_deref()), (Some(7), Some("last")));
    }

    #[tokio::test]
    async fn a_mistake_is_told_in_the_words_of_ssh() {
        let error = lookup("Host *\n Prt 7\n User x\n", "10.0.0.1", None).await.unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("prt"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_missing() {
        let file = ConfigFile::File("/nonexistent/config".into());
        let query =
            Query { file: &file, address: "h", name: None, user: None, port: None, route_known: false };
        let error = SshConfig::default().lookup(query).await.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/config"), "{error}");
    }
}
