//! Secrets that only people know: from the environment, or asked for once on the terminal.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use console::Term;
use secrecy::SecretString;

/// What is asked for. One question has one answer for all hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// The passphrase of an encrypted private key.
    Passphrase(PathBuf),
    /// The password with which this user logs in.
    Login(String),
    /// The password that sudo wants of this user.
    Sudo(String),
}

/// What is known of an answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Known(SecretString),
    /// There is none and there will be none; why.
    Unknown(String),
    /// Somebody can be asked.
    Ask,
}

static ANSWERS: Mutex<BTreeMap<Question, Result<SecretString, String>>> = Mutex::new(BTreeMap::new());

/// One question at a time on the terminal.
static TERMINAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Question {
    /// The environment variable that answers it.
    pub(super) fn variable(&self) -> &'static str {
        match self {
            Question::Passphrase(_) => "HOIST_KEY_PASSPHRASE",
            Question::Login(_) => "HOIST_SSH_PASSWORD",
            Question::Sudo(_) => "HOIST_SUDO_PASSWORD",
        }
    }

    fn prompt(&self) -> String {
        match self {
            Question::Passphrase(path) => format!("passphrase of {}: ", path.display()),
            Question::Login(user) => format!("SSH password of {user}: "),
            Question::Sudo(user) => format!("sudo password of {user}: "),
        }
    }

    /// The answer without asking anybody. Never waits.
    pub(super) fn recall(&self) -> Answer {
        if let Some(answer) = env::var(self.variable()).ok().filter(|answer| !answer.is_empty()) {
            return Answer::Known(answer.into());
        }
        let answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get(self) {
            Some(Ok(answer)) => Answer::Known(answer.clone()),
            Some(Err(reason)) => Answer::Unknown(reason.clone()),
            None if has_terminal() => Answer::Ask,
            None => {
                Answer::Unknown(format!("{} is not set and there is no terminal to ask on", self.variable()))
            }
        }
    }

    /// The answer, asked for if need be. People take longer than servers wait, so nobody asks while a server waits
    /// for a login.
    pub(super) async fn ask(&self) -> Result<SecretString, String> {
        let _turn = TERMINAL.lock().await;
        match self.recall() {
            Answer::Known(answer) => return Ok(answer),
            Answer::Unknown(reason) => return Err(reason),
            Answer::Ask => {}
        }
        let prompt = self.prompt();
        let asked = tokio::task::spawn_blocking(move || {
            let terminal = Term::stderr();
            terminal.write_str(&prompt)?;
            terminal.read_secure_line()
        });
        let answer = match asked.await {
            Ok(Ok(answer)) if !answer.is_empty() => Ok(answer.into()),
            Ok(Ok(_)) => Err("nothing was typed when it was asked for".to_owned()),
            Ok(Err(error)) => Err(format!("asking for it failed: {error}")),
            Err(_) => Err("asking for it failed".to_owned()),
        };
        // Whoever declined is not asked again for each further host.
        ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).insert(self.clone(), answer.clone());
        answer
    }
}

/// Whether questions are seen and can be answered; where standard output goes does not matter.
fn has_terminal() -> bool {
    Term::stderr().is_term() && File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_not_printed() {
        let answer = Answer::Known("hunter2".to_owned().into());
        assert!(!format!("{answer:?}").contains("hunter2"));
    }
}
