//! Everything to log in with, gathered before the server is talked to.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    MethodKind,
    keys::{self, Algorithm, Certificate, PrivateKey, PublicKey, agent::AgentIdentity},
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::{
    Error, Target,
    ask::{Answer, Question},
    signer::{Signer, agent_socket, identities},
};

/// A way to log in.
#[derive(Debug)]
pub(super) enum Way {
    Key(Box<Key>),
    Password,
    KeyboardInteractive,
}

/// A key that can sign, and what vouches for it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// As messages show it.
    name: String,
    pub(super) public: PublicKey,
    pub(super) certificate: Option<Certificate>,
    pub(super) signer: Signer,
}

/// The ways to log in, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) ways: Vec<Way>,
    /// Keys that cannot be used, and why.
    pub(super) skipped: Vec<String>,
}

impl Way {
    pub(super) fn method(&self) -> MethodKind {
        match self {
            Way::Key(_) => MethodKind::PublicKey,
            Way::Password => MethodKind::Password,
            Way::KeyboardInteractive => MethodKind::KeyboardInteractive,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Key(key) => f.write_str(&key.name),
            Way::Password => f.write_str("the password"),
            Way::KeyboardInteractive => f.write_str("the password, interactively"),
        }
    }
}

impl Credentials {
    /// Reads the target's key files and asks the agent. Keys that are named for the target are tried before others
    /// of the agent, for servers accept only a few attempts; a certificate before its bare key, as OpenSSH does.
    ///
    /// # Errors
    /// [`Error::Key`] when a key that is named for the target cannot be used, and not by OpenSSH's configuration.
    pub(super) async fn gather(target: &Target) -> Result<Credentials, Error> {
        let (mut held, mut skipped) = (Held::default(), Vec::new());
        match Held::by(agent_socket(&target.agent), target.connect_timeout).await {
            Ok(agent) => held = agent,
            Err(reason) => skipped.push(format!("ssh-agent ({reason})")),
        }
        let named = !target.keys.is_empty();
        let usual = !named && !target.keys_are_configured;
        let files = if usual { default_keys() } else { target.keys.clone() };
        let mut keys = Vec::new();
        for path in files {
            // People are asked about a key that nobody named only when there is nothing else to try.
            let ask = named || (keys.is_empty() && held.identities.is_empty());
            match load(&path, &held, ask).await {
                Ok(key) => {
                    let beside = with_suffix(&path, "-cert.pub");
                    if beside.exists() {
                        match certified(&beside, std::slice::from_ref(&key)) {
                            Ok(key) => keys.push(key),
                            Err(reason) => skipped.push(format!("{} ({reason})", beside.display())),
                        }
                    }
                    keys.push(key);
                }
                Err(reason) if named && !target.keys_are_configured => {
                    return Err(Error::Key { path, reason });
                }
                Err(reason) => skipped.push(format!("{} ({reason})", path.display())),
            }
        }
        let others: Vec<Key> =
            held.keys().filter(|key| !keys.iter().any(|listed| listed.same(key))).collect();
        let signers: Vec<Key> = keys.iter().chain(&others).cloned().collect();
        if !target.only_these_keys {
            // Where no keys are named the agent comes first, as with OpenSSH.
            let at = if named { keys.len() } else { 0 };
            keys.splice(at..at, others);
        }
        for (at, path) in target.certificates.iter().enumerate() {
            match certified(path, &signers) {
                Ok(key) => keys.insert(at.min(keys.len()), key),
                Err(reason) => skipped.push(format!("{} ({reason})", path.display())),
            }
        }
        let keys = keys.into_iter().map(|key| Way::Key(Box::new(key)));
        Ok(Credentials { ways: keys.chain([Way::Password, Way::KeyboardInteractive]).collect(), skipped })
    }
}

impl Key {
    fn same(&self, other: &Key) -> bool {
        self.public.key_data() == other.public.key_data() && self.certificate == other.certificate
    }
}

/// What an agent holds.
#[derive(Default)]
struct Held {
    socket: PathBuf,
    /// How long each of its answers may take.
    patience: Duration,
    identities: Vec<Arc<AgentIdentity>>,
}

impl Held {
    async fn by(socket: Option<PathBuf>, patience: Duration) -> Result<Held, String> {
        let Some(socket) = socket else { return Ok(Held::default()) };
        let identities = identities(&socket, patience).await?;
        Ok(Held { socket, patience, identities })
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        self.identities.iter().map(|identity| Key {
            name: format!("{} of ssh-agent", identity.comment()),
            public: identity.public_key().into_owned(),
            certificate: match &**identity {
                AgentIdentity::PublicKey { .. } => None,
                AgentIdentity::Certificate { certificate, .. } => Some(certificate.clone()),
            },
            signer: Signer::Agent {
                socket: self.socket.clone(),
                identity: identity.clone(),
                patience: self.patience,
            },
        })
    }

    /// The bare key, when the agent has it.
    fn key(&self, public: &PublicKey, path: &Path) -> Option<Key> {
        let mut bare = self.keys().filter(|key| key.certificate.is_none());
        let key = bare.find(|key| key.public.key_data() == public.key_data())?;
        Some(Key { name: path.display().to_string(), ..key })
    }
}

/// A certificate from a file, with the one of these keys that it is for.
fn certified(path: &Path, keys: &[Key]) -> Result<Key, String> {
    let certificate =
        keys::load_openssh_certificate(path).map_err(|error| format!("it is no certificate: {error}"))?;
    let is_for = |key: &&Key| key.certificate.is_none() && key.public.key_data() == certificate.public_key();
    let key = keys.iter().find(is_for).ok_or("it is a certificate for another key")?;
    Ok(Key { name: path.display().to_string(), certificate: Some(certificate), ..key.clone() })
}

/// The keys that OpenSSH tries too, as far as they exist.
fn default_keys() -> Vec<PathBuf> {
    let Some(home) = env::home_dir() else { return Vec::new() };
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
    names.iter().map(|name| home.join(".ssh").join(name)).filter(|path| path.exists()).collect()
}

/// Whether there is a key of this name, if only its public half, which may be all that there is of a key in an agent.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists() || with_suffix(path, ".pub").exists()
}

/// Reads a private key. One that is encrypted or on a security key, or of which only the public half is there, is left
/// to the agent if that holds it. `ask` says whether people may be asked for a passphrase.
async fn load(path: &Path, held: &Held, ask: bool) -> Result<Key, String> {
    let beside = with_suffix(path, ".pub");
    let only_public = !path.exists() && beside.exists();
    let text = fs::read_to_string(if only_public { &beside } else { path });
    let text = text.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => "it is not a private key".into(),
        _ => error.to_string(),
    })?;
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        let held = held.key(&public, path);
        return held
            .ok_or_else(|| "it is not a private key, and ssh-agent does not hold the private half".into());
    }
    let from_file = |key: Arc<PrivateKey>| Key {
        name: path.display().to_string(),
        public: key.public_key().clone(),
        certificate: None,
        signer: Signer::File(key),
    };
    match keys::decode_secret_key(&text, None) {
        // The file has a handle of it.
        Ok(key) if on_security_key(key.public_key()) => {}
        Ok(key) => return Ok(from_file(Arc::new(key))),
        Err(keys::Error::KeyIsEncrypted) => {}
        Err(_) if encrypted(&text) => {}
        Err(error) => return Err(format!("it is not a private key: {error}").to_lowercase()),
    }
    let public = public_half(path, &text);
    if let Some(key) = public.as_ref().and_then(|public| held.key(public, path)) {
        return Ok(key);
    }
    if public.as_ref().is_some_and(on_security_key) {
        let path = path.display();
        return Err(format!(
            "it is on a security key, which only ssh-agent can ask: `ssh-add {path}` adds it there"
        ));
    }
    match Question::Passphrase(path.to_owned()).recall() {
        Answer::Ask if !ask => Err("it is encrypted".into()),
        _ => Ok(from_file(decrypt(path, &text).await?)),
    }
}

/// What became of encrypted keys, by file: decrypting is slow by design, so it is done once, not once a host.
static DECRYPTED: Mutex<BTreeMap<PathBuf, Result<Arc<PrivateKey>, String>>> =
    Mutex::const_new(BTreeMap::new());

async fn decrypt(path: &Path, text: &str) -> Result<Arc<PrivateKey>, String> {
    let mut decrypted = DECRYPTED.lock().await;
    if let Some(outcome) = decrypted.get(path) {
        return outcome.clone();
    }
    let outcome = match Question::Passphrase(path.to_owned()).ask().await {
        Ok(passphrase) => keys::decode_secret_key(text, Some(passphrase.expose_secret()))
            .map(Arc::new)
            .map_err(|_| "it is encrypted, and the passphrase does not fit".into()),
        Err(reason) => Err(format!("it is encrypted: {reason}")),
    };
    decrypted.insert(path.to_owned(), outcome.clone());
    outcome
}

fn on_security_key(public: &PublicKey) -> bool {
    matches!(public.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256)
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
    keys::load_public_key(with_suffix(path, ".pub")).ok()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use keys::ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData, SkEd25519},
        public,
    };

    use super::*;

    fn agent(keys: &[PublicKey]) -> Held {
        let identities = keys.iter().cloned().map(|key| Arc::new(AgentIdentity::from(key))).collect();
        Held { identities, ..Held::default() }
    }

    /// What `ssh-keygen -t ed25519-sk` writes: the handle by which the security key knows it.
    #[tokio::test]
    async fn a_key_on_a_security_key_is_left_to_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id_ed25519_sk");
        let pair = Ed25519Keypair::from_seed(&[7; 32]);
        let public = public::SkEd25519::new(pair.public, "ssh:");
        let handle = KeypairData::SkEd25519(SkEd25519::new(public, 1, [9; 64]).unwrap());
        let key = PrivateKey::new(handle, "me").unwrap();
        fs::write(&path, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
        let found = load(&path, &agent(&[key.public_key().clone()]), true).await.unwrap();
        assert!(matches!(found.signer, Signer::Agent { .. }));
        assert_eq!(found.name, path.display().to_string());
        let refused = load(&path, &agent(&[]), true).await.unwrap_err();
        assert!(
            refused.contains("security key") && refused.contains(&format!("`ssh-add {}`", found.name)),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_key_of_which_only_the_public_half_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work");
        assert!(!is_there(&path));
        assert!(load(&path, &agent(&[]), true).await.unwrap_err().contains("No such file"));
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32]));
        let key = PrivateKey::new(pair, "me").unwrap().public_key().clone();
        fs::write(folder.path().join("work.pub"), key.to_openssh().unwrap()).unwrap();
        assert!(is_there(&path));
        let refused = load(&path, &agent(&[]), true).await.unwrap_err();
        assert!(refused.contains("ssh-agent does not hold"), "{refused}");
        let found = load(&path, &agent(&[key]), true).await.unwrap();
        assert!(matches!(found.signer, Signer::Agent { .. }));
    }
}
