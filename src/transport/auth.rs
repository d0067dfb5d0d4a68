//! Logging in: which of our ways the server takes.

use std::time::Duration;

use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Interaction},
    keys::{Algorithm, HashAlg},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::{
    Error, Target,
    ask::{Answer, Question},
    credentials::{Credentials, Key, Way},
    handshake::{Client, Notes, closed, printable},
    signer::Signer,
};

/// Rounds of questions that a server may ask in one keyboard-interactive login.
const ROUNDS: usize = 10;

/// How a login went.
#[derive(Debug)]
pub(super) enum Login {
    Done,
    /// It could go on with this answer, which nobody has been asked for yet.
    Wants(Question),
}

/// What came of trying one way.
enum Attempt {
    Answered(AuthResult),
    Wants(Question),
    /// Why it could not be tried.
    Impossible(String),
}

impl Credentials {
    /// Tries what the server says it accepts, one after another. Servers may want several: a key and a password.
    ///
    /// # Errors
    /// [`Error::Login`] when the server took none of them, [`Error::Closed`] when it went away.
    pub(super) async fn login(
        self,
        target: &Target,
        handle: &mut Handle<Client>,
        notes: &Notes,
    ) -> Result<Login, Error> {
        let Credentials { ways, mut skipped } = self;
        let silent = || closed(target, "while logging in", "it does not answer".into());
        let (mut tried, mut accepts, mut further) = (Vec::new(), None, false);
        let (mut left, mut passed): (Vec<usize>, _) = ((0..ways.len()).collect(), Vec::new());
        loop {
            let Some(at) = left.iter().position(|index| takes(accepts.as_ref(), ways[*index].method()))
            else {
                if accepts.is_some() {
                    break;
                }
                // There was no key that could be tried: ask what would be accepted.
                let asked = timeout(target.connect_timeout, handle.authenticate_none(&target.user)).await;
                match asked.map_err(|_| silent())? {
                    Ok(AuthResult::Success) => return Ok(Login::Done),
                    Ok(AuthResult::Failure { remaining_methods, .. }) if !handle.is_closed() => {
                        accepts = Some(remaining_methods);
                        continue;
                    }
                    Ok(_) | Err(_) => break,
                }
            };
            let (index, way) = (left[at], &ways[left[at]]);
            left.remove(at);
            let attempt = timeout(way.patience(target), way.attempt(target, handle)).await;
            let result = match attempt.map_err(|_| silent())? {
                Attempt::Answered(result) => result,
                Attempt::Wants(question) => return Ok(Login::Wants(question)),
                Attempt::Impossible(reason) => {
                    skipped.push(format!("{way} ({reason})"));
                    continue;
                }
            };
            tried.push(way.to_string());
            match result {
                AuthResult::Success => return Ok(Login::Done),
                _ if handle.is_closed() => break,
                AuthResult::Failure { remaining_methods, partial_success } => {
                    accepts = Some(remaining_methods);
                    if partial_success {
                        // What was refused before may be what is wanted next.
                        passed.push(index);
                        left = (0..ways.len()).filter(|index| !passed.contains(index)).collect();
                        further = true;
                    }
                }
            }
        }
        let accepts = match accepts {
            None => return Err(closed(target, "while logging in", notes.end())),
            Some(_) if handle.is_closed() => format!("nothing more ({})", notes.end()),
            Some(methods) => names(&methods) + if further { " as a further step" } else { "" },
        };
        tried.extend(skipped);
        let help = help(target, &accepts);
        Err(Error::Login { host: target.name.clone(), user: target.user.clone(), tried, accepts, help })
    }
}

/// Whether the server wants to see this now. As long as it has said nothing, keys are tried.
fn takes(accepts: Option<&MethodSet>, method: MethodKind) -> bool {
    match accepts {
        Some(methods) => methods.contains(&method),
        None => method == MethodKind::PublicKey,
    }
}

fn names(methods: &MethodSet) -> String {
    methods.iter().map(String::from).collect::<Vec<_>>().join(", ")
}

fn help(target: &Target, accepts: &str) -> String {
    let key = format!("add the public key to ~{}/.ssh/authorized_keys there", target.user);
    if accepts.contains("password") || accepts.contains("keyboard-interactive") {
        let variable = Question::Login(target.user.clone()).variable();
        format!("{key}; or set {variable}, or run hoist on a terminal to be asked")
    } else if accepts.contains("publickey") || accepts.starts_with("nothing more") {
        format!("{key}, or name another key or user")
    } else {
        "the server takes neither keys nor passwords from this user: set `PubkeyAuthentication yes` in its \
         sshd_config"
            .into()
    }
}

impl Way {
    /// How long an attempt may take. An agent has as long as the server, and gives up by itself.
    fn patience(&self, target: &Target) -> Duration {
        match self {
            Way::Key(key) if matches!(key.signer, Signer::Agent { .. }) => target.connect_timeout * 2,
            _ => target.connect_timeout,
        }
    }

    async fn attempt(&self, target: &Target, handle: &mut Handle<Client>) -> Attempt {
        let result = match self {
            Way::Key(key) => key.attempt(&target.user, handle).await,
            Way::Password | Way::KeyboardInteractive => {
                let question = Question::Login(target.user.clone());
                let password = match (&target.password, question.recall()) {
                    (Some(password), _) => password.clone(),
                    (None, Answer::Known(password)) => password,
                    (None, Answer::Ask) => return Attempt::Wants(question),
                    (None, Answer::Unknown(reason)) => return Attempt::Impossible(reason),
                };
                if matches!(self, Way::Password) {
                    let result = handle.authenticate_password(&target.user, password.expose_secret()).await;
                    result.map_err(|error| error.to_string())
                } else {
                    answer_prompts(&target.user, handle, &password).await
                }
            }
        };
        result.map_or_else(Attempt::Impossible, Attempt::Answered)
    }
}

impl Key {
    async fn attempt(&self, user: &str, handle: &mut Handle<Client>) -> Result<AuthResult, String> {
        let hash = signature_hash(handle, self.public.algorithm()).await;
        let mut signer = self.signer.clone();
        let result = match &self.certificate {
            Some(certificate) => {
                handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut signer).await
            }
            None => handle.authenticate_publickey_with(user, self.public.clone(), hash, &mut signer).await,
        };
        result.map_err(|error| error.to_string())
    }
}

/// Answers the one hidden question of a keyboard-interactive login with the password.
async fn answer_prompts(
    user: &str,
    handle: &mut Handle<Client>,
    password: &SecretString,
) -> Result<AuthResult, String> {
    let (mut answered, mut strange) = (None, None);
    let mut interaction = handle.authenticate_keyboard_interactive_start(user, None).await;
    for _ in 0..ROUNDS {
        let prompts = match interaction.map_err(|error| error.to_string())? {
            Interaction::Success => return Ok(AuthResult::Success),
            Interaction::Failure { remaining_methods, partial_success } => {
                let refused = AuthResult::Failure { remaining_methods, partial_success };
                return strange.map_or(Ok(refused), Err);
            }
            Interaction::InfoRequest { prompts, .. } => prompts,
        };
        let answers = match prompts.as_slice() {
            [prompt] if !prompt.echo && answered.is_none() => {
                answered = Some(prompt.prompt.clone());
                vec![password.expose_secret().to_owned()]
            }
            prompts => {
                // To be asked the same again is a refusal.
                if let Some(prompt) =
                    prompts.first().filter(|prompt| Some(&prompt.prompt) != answered.as_ref())
                {
                    strange = Some(format!("it asks {:?}", printable(prompt.prompt.trim())));
                }
                // The server waits for an answer to each question before it takes anything else.
                vec![String::new(); prompts.len()]
            }
        };
        interaction = handle.authenticate_keyboard_interactive_respond(answers).await;
    }
    Err(format!("it asks more than {ROUNDS} times"))
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
