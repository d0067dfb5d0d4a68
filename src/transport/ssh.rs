//! A host over SSH.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::time::timeout;

use super::{
    Become, Destination, Dialogue, Error, Host, Output, Peer, Route, Script, Stream, Target, Transfer,
    ask::{Answer, Question},
    channel,
    frame::Nonce,
    handshake::explain,
    link::Link,
    root::{Opener, RootShell},
    send,
    shell::{Failure, LIMIT, Shell},
    sudo,
};

/// Connects to a host, verifies its key, logs in and opens a root shell. Tries once; to wait for a host that is
/// still starting is the caller's.
///
/// # Errors
/// Any variant of [`Error`] up to [`Error::Start`].
pub async fn connect(target: &Target) -> Result<Arc<dyn Host>, Error> {
    let root = RootShell::open(Link::open(target).await?).await?;
    Ok(Arc::new(Ssh { root }))
}

struct Ssh {
    root: RootShell<Link>,
}

#[async_trait]
impl Host for Ssh {
    fn name(&self) -> &str {
        self.root.opener().host()
    }

    fn route(&self) -> Route {
        self.root.opener().target.route.clone()
    }

    fn exchanges(&self) -> usize {
        self.root.turns()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        self.root.run(&script).await
    }

    async fn relock(&self, script: String) {
        self.root.relock(script).await;
    }

    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        send::send(&self.root, transfer, progress).await
    }

    async fn fetch(&self, transfer: &Transfer, peer: &Peer) -> Result<(), Error> {
        send::fetch(&self.root, transfer, peer).await
    }

    async fn dialogue(&self, script: &str) -> Result<Dialogue, Error> {
        Dialogue::open(self.root.opener(), script).await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        let link = self.root.opener();
        match link.tcp(&to.ip().to_string(), to.port()).await {
            Ok(channel) => Ok(Box::new(channel.into_stream())),
            Err(reason) => Err(link.gone().unwrap_or_else(|| Error::Forward {
                host: link.target.name.clone(),
                to: to.to_string(),
                reason,
            })),
        }
    }
}

#[async_trait]
impl Opener for Link {
    fn host(&self) -> &str {
        &self.target.name
    }

    /// The password for sudo is given at once when it is known, and asked for when sudo turns out to want one.
    async fn open(&self) -> Result<Shell, Error> {
        let question = Question::Sudo(self.target.user.clone());
        let password = match (&self.target.r#become, question.recall()) {
            (Become::Root, _) => return shell(self, &Become::Root).await,
            (Become::Sudo { password: Some(password) }, _) => Some(password.clone()),
            (Become::Sudo { password: None }, Answer::Known(password)) => Some(password),
            (Become::Sudo { password: None }, Answer::Ask | Answer::Unknown(_)) => None,
        };
        let sudo = |password: Option<SecretString>| Become::Sudo { password };
        match shell(self, &sudo(password.clone())).await {
            Err(error) if password.is_none() && sudo::wants_password(&error) => match question.ask().await {
                Ok(password) => shell(self, &sudo(Some(password))).await,
                Err(_) => Err(error),
            },
            outcome => outcome,
        }
    }

    fn lost(&self) -> Option<String> {
        Link::lost(self)
    }
}

/// Starts a root shell on a fresh channel.
async fn shell(link: &Link, r#become: &Become) -> Result<Shell, Error> {
    let Target { name, user, connect_timeout: patience, .. } = &link.target;
    let failed =
        |reason: String, output: &str| link.gone().unwrap_or_else(|| sudo::explain(name, &reason, output));
    let nonce = Nonce::new().map_err(|error| failed(error.to_string(), ""))?;
    let channel = link.session().await.map_err(|reason| failed(reason, ""))?;
    let started = timeout(*patience, channel::exec(channel, &sudo::command(r#become, &nonce))).await;
    let mut pipes = match started {
        Ok(Ok(pipes)) => pipes,
        Ok(Err(error)) => return Err(failed(explain(&error), "")),
        Err(_) => return Err(failed("the server runs no command".into(), "")),
    };
    if let Become::Sudo { password: Some(password) } = r#become {
        let asked = sudo::authenticate(name, &mut pipes, &nonce, password, *patience).await;
        asked.map_err(|error| link.gone().unwrap_or(error))?;
    }
    let shell = Shell::start(pipes, LIMIT, *patience).await.map_err(|failure| match failure {
        Failure::Ended { reason, tail } => failed(reason, &tail),
        Failure::Timeout { tail } => failed("it does not answer".into(), &tail),
        other => failed(format!("{other:?}"), ""),
    })?;
    if shell.uid != 0 {
        return Err(Error::Become {
            host: name.clone(),
            reason: format!("{user:?} is not root"),
            help: "log in as root, or say `become: sudo` in the inventory".into(),
        });
    }
    Ok(shell)
}
