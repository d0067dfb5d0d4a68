//! Logging in with passwords.

use std::process::{Command, Stdio};

use hoist::transport::{Become, Error, Target, connect};

use crate::{
    login::{refusal, start_agent, whoami},
    support::sshd::Sshd,
    user::TestUser,
};

pub const PASSWORD: &str = "correct horse; it's $HOME";

/// A target that no key opens, for a user who may become root.
pub fn target(sshd: &Sshd, user: &TestUser, password: Option<&str>) -> Target {
    let stranger = sshd.path("stranger");
    if !stranger.exists() {
        sshd.keygen("stranger", "ed25519", "");
    }
    Target {
        user: user.name.clone(),
        keys: vec![stranger],
        password: password.map(|password| password.to_owned().into()),
        r#become: Become::Sudo { password: None },
        ..sshd.target()
    }
}

/// A user with a password, who may become root without it; nothing where the test cannot run.
pub fn user(purpose: &str) -> Option<TestUser> {
    let mut user = TestUser::create(purpose)?;
    if !user.sudoers("USER ALL=(ALL) NOPASSWD: ALL") {
        return None;
    }
    user.set_password(PASSWORD);
    Some(user)
}

const PASSWORDS: &str = "PasswordAuthentication yes";
/// Real PAM asks the question.
const INTERACTIVE: &str = "KbdInteractiveAuthentication yes\nUsePAM yes";

#[tokio::test]
async fn by_both_methods() {
    let Some(user) = user("pw") else { return };
    for (config, accepts) in [(PASSWORDS, "password"), (INTERACTIVE, "keyboard-interactive")] {
        let Some(sshd) = Sshd::with(config) else { return };
        connect(&target(&sshd, &user, Some(PASSWORD))).await.unwrap();
        let error = refusal(&target(&sshd, &user, Some("wrong"))).await;
        let text = error.to_string();
        assert!(matches!(&error, Error::Login { tried, .. } if tried.len() == 2), "{config}: {text}");
        assert!(text.ends_with(&format!("accepts publickey, {accepts}")), "{text}");
        assert!(text.contains("the password") && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
async fn a_key_is_tried_first() {
    let Some(sshd) = Sshd::with(PASSWORDS) else { return };
    let target = Target { password: Some("wrong".to_owned().into()), ..sshd.target() };
    assert_eq!(whoami(&target).await, "root\n");
}

#[tokio::test]
async fn when_the_agent_refuses_to_sign() {
    let Some(user) = user("unsigned") else { return };
    let Some(sshd) = Sshd::with(PASSWORDS) else { return };
    let (_process, agent) = start_agent(&sshd);
    // A key that is to be confirmed, where there is nobody to confirm it.
    let key = sshd.keygen("confirmed", "ed25519", "");
    sshd.authorize("confirmed");
    let mut add = Command::new("ssh-add");
    add.args(["-q", "-c"]).arg(&key).env("SSH_AUTH_SOCK", sshd.path("agent"));
    assert!(add.status().unwrap().success());
    let with = |password| Target {
        keys: vec![sshd.path("confirmed.pub")],
        agent: agent.clone(),
        ..target(&sshd, &user, password)
    };
    connect(&with(Some(PASSWORD))).await.unwrap();
    let error = refusal(&with(Some("wrong"))).await.to_string();
    assert!(
        error.contains("tried the password, ") && error.contains("confirmed.pub (Agent failure)"),
        "{error}"
    );
    assert!(error.ends_with("accepts publickey, password"), "{error}");
}

#[tokio::test]
async fn as_a_further_step() {
    let Some(user) = user("steps") else { return };
    for (methods, config) in [
        ("publickey,password", PASSWORDS),
        ("password,publickey", PASSWORDS),
        ("publickey,keyboard-interactive", INTERACTIVE),
    ] {
        let Some(sshd) = Sshd::with(&format!("AuthenticationMethods {methods}\n{config}")) else { return };
        let keys = sshd.target().keys;
        let with = |password| Target { keys: keys.clone(), ..target(&sshd, &user, Some(password)) };
        connect(&with(PASSWORD)).await.unwrap_or_else(|error| panic!("{methods}: {error}"));
        let error = refusal(&with("no")).await.to_string();
        if methods.starts_with("publickey") {
            let step = methods.split(',').nth(1).unwrap();
            assert!(error.ends_with(&format!("accepts {step} as a further step")), "{error}");
        }
    }
}

#[tokio::test]
async fn without_one_the_error_says_where_it_is_looked_for() {
    let Some(user) = user("nopw") else { return };
    let Some(sshd) = Sshd::with(PASSWORDS) else { return };
    // A process without a terminal, to be told nothing.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(std::env::current_exe().unwrap());
    command.args(["--exact", "passwords::without_a_terminal", "--ignored", "--nocapture"]);
    command.env("SSHD", format!("{} {}", sshd.port, user.name)).env_remove("HOIST_SSH_PASSWORD");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");

    command.env("HOIST_SSH_PASSWORD", PASSWORD).env("LET_IN", "1");
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

#[tokio::test]
#[ignore = "a part of another test, in a process of its own"]
async fn without_a_terminal() {
    let server = std::env::var("SSHD").unwrap();
    let (port, user) = server.split_once(' ').unwrap();
    let known = tempfile::tempdir().unwrap();
    let target = Target {
        port: port.parse().unwrap(),
        agent: hoist::transport::Agent::Off,
        known_hosts: vec![known.path().join("known_hosts")],
        ..Target::new("cp1", "127.0.0.1", user)
    };
    target.record(&hoist::transport::host_key(&target).await.unwrap().key).unwrap();
    if std::env::var_os("LET_IN").is_some() {
        connect(&target).await.unwrap();
        return;
    }
    let error = refusal(&target).await;
    let text = error.to_string();
    assert!(
        text.contains("the password (HOIST_SSH_PASSWORD is not set and there is no terminal to ask on)"),
        "{text}"
    );
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("HOIST_SSH_PASSWORD"), "{help}");
}
