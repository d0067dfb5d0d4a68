//! Becoming root: how a root shell is asked for, and why it is refused.

use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Become, Error,
    frame::Nonce,
    shell::{Event, Pipes},
};

/// The command that turns a login into a root shell. Login shells of any kind can read it: no quotes, no variables.
pub(super) fn command(r#become: &Become, nonce: &Nonce) -> String {
    match r#become {
        Become::Root => "exec /bin/sh".into(),
        Become::Sudo { password: None } => "exec env LC_ALL=C sudo -n -H /bin/sh".into(),
        // Says when it is there: sudo may know us and not ask, and the shell would run the password as a command.
        Become::Sudo { password: Some(_) } => format!(
            "exec env LC_ALL=C sudo -S -p {} -H /bin/sh -c 'echo {}; exec /bin/sh'",
            prompt(nonce),
            ready(nonce)
        ),
    }
}

fn prompt(nonce: &Nonce) -> String {
    format!("password-{}:", nonce.as_str())
}

fn ready(nonce: &Nonce) -> String {
    format!("ready-{}", nonce.as_str())
}

/// Gives sudo the password when it asks; returns when the root shell has started.
pub(super) async fn authenticate(
    host: &str,
    pipes: &mut Pipes,
    nonce: &Nonce,
    password: &SecretString,
    patience: Duration,
) -> Result<(), Error> {
    let password = password.expose_secret();
    if password.contains(['\n', '\0']) {
        let help = "check where the password comes from: a stray line end is a frequent mistake".into();
        return Err(Error::Become {
            host: host.into(),
            reason: "the sudo password has two lines".into(),
            help,
        });
    }
    let (prompt, ready) = (prompt(nonce), ready(nonce));
    let (mut out, mut err, mut asked, mut status) = (String::new(), String::new(), false, String::new());
    let dialogue = async {
        loop {
            let collect = |text: &mut String, data: Bytes| text.push_str(&String::from_utf8_lossy(&data));
            match pipes.events.recv().await {
                Some(Event::Stdout(data)) => collect(&mut out, data),
                Some(Event::Stderr(data)) => collect(&mut err, data),
                Some(Event::Exit(reason)) => status = reason,
                None => return false,
            }
            if out.contains(&ready) {
                return true;
            }
            if let Some(at) = err.find(&prompt) {
                err.drain(..at + prompt.len());
                if asked {
                    err.push_str("incorrect password attempt");
                    return false;
                }
                asked = true;
                let line = format!("{password}\n");
                // When this fails the events end, and say why.
                let _ = pipes.input.write_all(line.as_bytes()).await;
                let _ = pipes.input.flush().await;
            }
        }
    };
    match timeout(patience, dialogue).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(explain(host, &status, &format!("{out}{err}"))),
        Err(_) => Err(explain(host, "sudo does not answer", &format!("{out}{err}"))),
    }
}

/// The reason of [`explain`] when a password is missing.
const WANTS_PASSWORD: &str = "sudo wants a password";

/// Whether it was only the password that was missing.
pub(super) fn wants_password(error: &Error) -> bool {
    matches!(error, Error::Become { reason, .. } if reason == WANTS_PASSWORD)
}

/// What the end of a shell that never started means.
pub(super) fn explain(host: &str, reason: &str, output: &str) -> Error {
    const SUDOERS: &str =
        "add the user to the group sudo or wheel, or `USER ALL=(ALL) NOPASSWD: ALL` to sudoers";
    const PASSWORD: &str =
        "set HOIST_SUDO_PASSWORD, run hoist on a terminal to be asked, or allow NOPASSWD in sudoers";
    let known = [
        ("a password is required", WANTS_PASSWORD, PASSWORD),
        // What sudo-rs says instead.
        ("interactive authentication is required", WANTS_PASSWORD, PASSWORD),
        (
            "incorrect password attempt",
            "sudo refused the password",
            "correct HOIST_SUDO_PASSWORD, or type it right",
        ),
        ("is not in the sudoers", "the user may not use sudo", SUDOERS),
        ("is not allowed to", "the user may not run a shell with sudo", SUDOERS),
        ("may not run sudo", "the user may not use sudo", SUDOERS),
        ("must have a tty", "sudo wants a terminal", "remove `Defaults requiretty` from sudoers"),
        (
            "account validation failure",
            "sudo finds the account expired or locked",
            "unlock it, or set its password",
        ),
        ("sudo: not found", "there is no sudo", "install sudo, or log in as root"),
        ("sudo: command not found", "there is no sudo", "install sudo, or log in as root"),
        ("sudo': no such file", "there is no sudo", "install sudo, or log in as root"),
        ("sudo’: no such file", "there is no sudo", "install sudo, or log in as root"),
    ];
    let text = output.to_lowercase();
    match known.iter().find(|(pattern, ..)| text.contains(pattern)) {
        Some((_, reason, help)) => {
            Error::Become { host: host.into(), reason: (*reason).into(), help: (*help).into() }
        }
        None => Error::Start { host: host.into(), reason: reason.into(), output: output.trim().to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        for (output, reason) in [
            ("sudo: a password is required\n", WANTS_PASSWORD),
            ("sudo: interactive authentication is required\n", WANTS_PASSWORD),
            ("Sorry, try again.\nsudo: 1 incorrect password attempt\n", "sudo refused the password"),
            ("bob is not in the sudoers file.\n", "the user may not use sudo"),
            (
                "Sorry, user bob is not allowed to execute '/bin/sh' as root on h.\n",
                "the user may not run a shell with sudo",
            ),
            ("sudo: sorry, you must have a tty to run sudo\n", "sudo wants a terminal"),
            ("env: ‘sudo’: No such file or directory\n", "there is no sudo"),
            ("env: 'sudo': No such file or directory\n", "there is no sudo"),
        ] {
            let error = explain("cp1", "status 1", output);
            assert!(error.to_string().ends_with(reason), "{error}");
            assert_eq!(error.exit(), crate::exit::Exit::Permission);
        }
        let error = explain("cp1", "status 1", "This account is currently not available.\n").to_string();
        assert!(error.contains("currently not available"), "{error}");
    }

    #[test]
    fn the_password_is_in_no_command() {
        let nonce = Nonce::new().unwrap();
        let command = command(&Become::Sudo { password: Some("hunter2".into()) }, &nonce);
        assert!(command.contains(nonce.as_str()) && !command.contains("hunter2"), "{command}");
    }
}
