//! What proves that a public key is ours: its private half from a file, or the agent that holds it.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    AgentAuthError,
    keys::{
        self, HashAlg, PrivateKey,
        agent::{AgentIdentity, client::AgentClient},
        signature::Signer as _,
        ssh_encoding::Encode,
        ssh_key::{Signature, private::KeypairData},
    },
};
use tokio::{net::UnixStream, sync::Semaphore, time::timeout};

use super::Agent;

/// Signs for one public key.
#[derive(Debug, Clone)]
pub(super) enum Signer {
    File(Arc<PrivateKey>),
    /// The identity as this agent knows it.
    Agent {
        socket: PathBuf,
        identity: Arc<AgentIdentity>,
        /// How long a signature may take.
        patience: Duration,
    },
}

/// Connections to agents at the same time, in this process. An agent answers one after another, and one whose queue
/// is full refuses.
static AGENT_CONNECTIONS: Semaphore = Semaphore::const_new(8);

impl russh::Signer for Signer {
    type Error = AgentAuthError;

    /// Appends the signature to what is signed, as russh wants it.
    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        match self {
            Signer::File(key) => {
                let signature = sign(key, hash, &to_sign).map_err(keys::Error::from)?;
                signature.encode_prefixed(&mut to_sign).map_err(keys::Error::from)?;
                Ok(to_sign)
            }
            Signer::Agent { socket, identity, patience } => {
                let sign = async {
                    // Never closed, so a permit always comes; without one the agent is merely busier.
                    let _turn = AGENT_CONNECTIONS.acquire().await;
                    let mut agent = AgentClient::connect_uds(socket).await?;
                    agent.sign_request(identity, hash, to_sign).await
                };
                // What waits for a touch or a yes is not to be taken for silence of the server.
                let signed = timeout(*patience, sign).await.unwrap_or_else(|_| {
                    let why = format!("ssh-agent did not sign within {} s", patience.as_secs());
                    Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
                });
                Ok(signed?)
            }
        }
    }
}

fn sign(key: &PrivateKey, hash: Option<HashAlg>, data: &[u8]) -> keys::ssh_key::Result<Signature> {
    match key.key_data() {
        KeypairData::Rsa(pair) => Ok((pair, hash).try_sign(data)?),
        pair => Ok(pair.try_sign(data)?),
    }
}

/// The socket of the agent that is meant.
pub(super) fn agent_socket(agent: &Agent) -> Option<PathBuf> {
    match agent {
        Agent::Off => None,
        Agent::Socket(path) => Some(path.clone()),
        Agent::Auto => env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
    }
}

/// What an agent holds, in its order. The socket of one that is gone may still take connections.
pub(super) async fn identities(socket: &Path, patience: Duration) -> Result<Vec<Arc<AgentIdentity>>, String> {
    let ask = async {
        let _turn = AGENT_CONNECTIONS.acquire().await;
        let mut agent: AgentClient<UnixStream> = AgentClient::connect_uds(socket).await?;
        agent.request_identities().await
    };
    let answer = timeout(patience, ask).await.map_err(|_| "it does not answer")?;
    let identities = answer.map_err(|error| error.to_string())?;
    Ok(identities.into_iter().map(Arc::new).collect())
}
