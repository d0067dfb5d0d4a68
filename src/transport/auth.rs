//! Logging in: which keys there are, and which of them the server takes.
//!
//! The place for what is not supported yet: passwords and OpenSSH certificates are further [`Candidate`]s.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::{
    client::{AuthResult, Handle},
    keys::{
        self, Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::UnixStream, sync::Mutex, time::timeout};

use super::{
    Agent, Error, Target,
    handshake::{Client, Notes, closed},
};

/// The variable with the passphrase of encrypted private keys.
pub const PASSPHRASE: &str = "HOIST_KEY_PASSPHRASE";

type AgentConnection = AgentClient<UnixStream>;

/// A way to log in.
enum Candidate {
    /// A private key from a file.
    File { path: PathBuf, key: Arc<PrivateKey> },
    /// A key that the agent signs with.
    Agent { key: PublicKey, name: String },
}

/// Everything to log in with, gathered before the server is talked to: a question for a passphrase takes longer
/// than servers wait.
pub(super) struct Credentials {
    candidates: Vec<Candidate>,
    agent: Option<AgentConnection>,
    /// Keys that cannot be used, and why.
    skipped: Vec<String>,
}

impl Credentials {
    /// Reads the target's key files and asks the agent. Keys named in the inventory are tried before others of the
    /// agent, for servers accept only a few attempts.
    pub(super) async fn gather(target: &Target) -> Result<Credentials, Error> {
        let (mut agent, mut held, mut skipped) = (None, Vec::new(), Vec::new());
        match open_agent(&target.agent).await {
            Ok(Some((client, identities))) => (agent, held) = (Some(client), identities),
            Ok(None) => {}
            Err(reason) => skipped.push(format!("ssh-agent ({reason})")),
        }
        let explicit = !target.keys.is_empty();
        let files = if explicit { target.keys.clone() } else { default_keys() };
        let mut candidates = Vec::new();
        for path in files {
            match load(&path, &held).await {
                Ok(Loaded::Key(key)) => candidates.push(Candidate::File { path, key }),
                Ok(Loaded::InAgent(key)) => {
                    let name = path.display().to_string();
                    candidates.push(Candidate::Agent { key, name });
                }
                Err(reason) if explicit => return Err(Error::Key { path, reason }),
                Err(reason) => skipped.push(format!("{} ({reason})", path.display())),
            }
        }
        let listed =
            |key: &PublicKey| candidates.iter().any(|candidate| candidate.public() == key.key_data());
        let others = held.into_iter().filter(|(key, _)| !listed(key));
        let others: Vec<_> = others.map(|(key, name)| Candidate::Agent { key, name }).collect();
        // Without keys in the inventory the agent comes first, as with OpenSSH.
        let at = if explicit { candidates.len() } else { 0 };
        candidates.splice(at..at, others);
        Ok(Credentials { candidates, agent, skipped })
    }

    /// Tries them one after another.
    pub(super) async fn login(
        mut self,
        target: &Target,
        handle: &mut Handle<Client>,
        notes: &Notes,
    ) -> Result<(), Error> {
        let (mut tried, mut accepts) = (Vec::new(), None);
        for candidate in &self.candidates {
            tried.push(candidate.to_string());
            let attempt = attempt(target, handle, candidate, self.agent.as_mut());
            let result = match timeout(target.connect_timeout, attempt).await {
                Ok(Ok(result)) => result,
                Ok(Err(reason)) => {
                    self.skipped.push(format!("{candidate} ({reason})"));
                    tried.pop();
                    continue;
                }
                Err(_) => return Err(closed(target, "while logging in", "it does not answer".into())),
            };
            match result {
                AuthResult::Success => return Ok(()),
                _ if handle.is_closed() => break,
                AuthResult::Failure { remaining_methods, partial_success } => {
                    let methods: Vec<String> = remaining_methods.iter().map(String::from).collect();
                    let more = if partial_success { " as a second step" } else { "" };
                    accepts = Some(methods.join(", ") + more);
                }
            }
        }
        if handle.is_closed() && accepts.is_none() {
            return Err(closed(target, "while logging in", notes.end()));
        }
        let end = handle.is_closed().then(|| format!("nothing more ({})", notes.end()));
        let accepts = match end.or(accepts) {
            Some(accepts) => accepts,
            // Nothing was tried: ask what would be accepted.
            None => match timeout(target.connect_timeout, handle.authenticate_none(&target.user)).await {
                Ok(Ok(AuthResult::Success)) => return Ok(()),
                Ok(Ok(AuthResult::Failure { remaining_methods, .. })) if !handle.is_closed() => {
                    remaining_methods.iter().map(String::from).collect::<Vec<_>>().join(", ")
                }
                _ => return Err(closed(target, "while logging in", notes.end())),
            },
        };
        tried.extend(self.skipped);
        let help = help(target, &accepts);
        Err(Error::Login { host: target.name.clone(), user: target.user.clone(), tried, accepts, help })
    }
}

fn help(target: &Target, accepts: &str) -> String {
    if accepts.contains("publickey") || accepts.starts_with("nothing more") {
        format!(
            "add the public key to ~{}/.ssh/authorized_keys there, or name another key or user",
            target.user
        )
    } else {
        "the server takes no keys from this user: set `PubkeyAuthentication yes` in its sshd_config".into()
    }
}

impl Candidate {
    fn public(&self) -> &keys::ssh_key::public::KeyData {
        match self {
            Candidate::File { key, .. } => key.public_key().key_data(),
            Candidate::Agent { key, .. } => key.key_data(),
        }
    }
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Candidate::File { path, .. } => write!(f, "{}", path.display()),
            Candidate::Agent { name, .. } => write!(f, "{name} of ssh-agent"),
        }
    }
}

/// One attempt; the error is why this key could not be tried at all.
async fn attempt(
    target: &Target,
    handle: &mut Handle<Client>,
    candidate: &Candidate,
    agent: Option<&mut AgentConnection>,
) -> Result<AuthResult, String> {
    match (candidate, agent) {
        (Candidate::File { key, .. }, _) => {
            let hash = signature_hash(handle, key.algorithm()).await;
            let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
            handle.authenticate_publickey(&target.user, key).await.map_err(|error| error.to_string())
        }
        (Candidate::Agent { key, .. }, Some(agent)) => {
            let hash = signature_hash(handle, key.algorithm()).await;
            let result = handle.authenticate_publickey_with(&target.user, key.clone(), hash, agent).await;
            result.map_err(|error| error.to_string())
        }
        (Candidate::Agent { .. }, None) => Err("there is no agent".into()),
    }
}

/// RSA keys can sign with several digests, of which a server may know some.
async fn signature_hash(handle: &Handle<Client>, algorithm: Algorithm) -> Option<HashAlg> {
    if !algorithm.is_rsa() {
        return None;
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(hash)) => hash,
        // It does not say: what every server since 2016 knows.
        Ok(None) | Err(_) => Some(HashAlg::Sha512),
    }
}

async fn open_agent(agent: &Agent) -> Result<Option<(AgentConnection, Vec<(PublicKey, String)>)>, String> {
    let socket = match agent {
        Agent::Off => return Ok(None),
        Agent::Socket(path) => path.clone(),
        Agent::Auto => match env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => return Ok(None),
        },
    };
    let mut client = AgentClient::connect_uds(&socket).await.map_err(|error| error.to_string())?;
    let identities = client.request_identities().await.map_err(|error| error.to_string())?;
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
        AgentIdentity::Certificate { .. } => None,
    });
    Ok(Some((client, keys.collect())))
}

/// The keys that OpenSSH tries too, as far as they exist.
fn default_keys() -> Vec<PathBuf> {
    let Some(home) = env::home_dir() else { return Vec::new() };
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
    names.iter().map(|name| home.join(".ssh").join(name)).filter(|path| path.exists()).collect()
}

enum Loaded {
    Key(Arc<PrivateKey>),
    InAgent(PublicKey),
}

/// Decrypted keys by file: decrypting is slow by design, and a passphrase is asked for once, not once a host.
static DECRYPTED: Mutex<BTreeMap<PathBuf, Arc<PrivateKey>>> = Mutex::const_new(BTreeMap::new());

/// Reads a private key. One that is encrypted is left to the agent if that holds it.
async fn load(path: &Path, held: &[(PublicKey, String)]) -> Result<Loaded, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => "it is not a private key".into(),
        _ => error.to_string(),
    })?;
    let in_agent = |public: &PublicKey| held.iter().any(|(key, _)| key.key_data() == public.key_data());
    match keys::decode_secret_key(&text, None) {
        Ok(key) => return Ok(Loaded::Key(Arc::new(key))),
        Err(keys::Error::KeyIsEncrypted) => {}
        Err(_) if encrypted(&text) => {}
        Err(error) => return Err(format!("it is not a private key: {error}").to_lowercase()),
    }
    if let Some(public) = public_half(path, &text).filter(in_agent) {
        return Ok(Loaded::InAgent(public));
    }
    let mut decrypted = DECRYPTED.lock().await;
    if let Some(key) = decrypted.get(path) {
        return Ok(Loaded::Key(key.clone()));
    }
    let passphrase = passphrase(path).await?;
    let key = keys::decode_secret_key(&text, Some(passphrase.expose_secret()));
    let key = Arc::new(key.map_err(|_| "it is encrypted, and the passphrase does not fit")?);
    decrypted.insert(path.to_owned(), key.clone());
    Ok(Loaded::Key(key))
}

fn encrypted(text: &str) -> bool {
    PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
        || text.contains("ENCRYPTED PRIVATE KEY")
        || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// OpenSSH's format has it in clear; for others there is the `.pub` file.
fn public_half(path: &Path, text: &str) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    keys::load_public_key(PathBuf::from(name)).ok()
}

async fn passphrase(path: &Path) -> Result<SecretString, String> {
    if let Ok(passphrase) = env::var(PASSPHRASE) {
        return Ok(passphrase.into());
    }
    let terminal = console::Term::stderr();
    if !terminal.is_term() || !console::user_attended() {
        return Err(format!("it is encrypted, {PASSPHRASE} is not set and there is no terminal to ask on"));
    }
    let prompt = format!("passphrase of {}: ", path.display());
    let asked = tokio::task::spawn_blocking(move || {
        terminal.write_str(&prompt)?;
        terminal.read_secure_line()
    });
    match asked.await {
        Ok(Ok(passphrase)) => Ok(passphrase.into()),
        Ok(Err(error)) => Err(format!("it is encrypted, and asking for its passphrase failed: {error}")),
        Err(_) => Err("it is encrypted, and asking for its passphrase failed".into()),
    }
}
