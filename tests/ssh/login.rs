//! Who is let in, and what is said to those who are not.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use hoist::{
    exit::Exit,
    transport::{Agent, Become, Error, Script, Target, connect},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::support::sshd::Sshd;

pub async fn refusal(target: &Target) -> Error {
    match connect(target).await {
        Ok(_) => panic!("it was let in"),
        Err(error) => error,
    }
}

pub async fn whoami(target: &Target) -> String {
    let host = connect(target).await.unwrap();
    String::from_utf8(host.run(Script::new("id -un")).await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn keys_of_every_kind() {
    let Some(sshd) = Sshd::start() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = sshd.keygen(&format!("id_{kind}"), kind, "");
        sshd.authorize(&format!("id_{kind}"));
        let target = Target { keys: vec![key], ..sshd.target() };
        assert_eq!(whoami(&target).await, format!("{}\n", target.user), "{kind}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_with_what_would_be_accepted() {
    let Some(sshd) = Sshd::start() else { return };
    let wrong = sshd.keygen("wrong", "ed25519", "");
    let target = Target { keys: vec![wrong.clone()], ..sshd.target() };
    let error = refusal(&target).await;
    let text = error.to_string();
    assert!(matches!(error, Error::Login { .. }), "{text}");
    assert!(
        text.contains(&format!("{:?}", target.user)) && text.contains(&wrong.display().to_string()),
        "{text}"
    );
    assert!(text.ends_with("accepts publickey"), "{text}");
    assert_eq!(error.exit(), Exit::Permission);
    // The right one may come later.
    let both = Target { keys: vec![wrong, sshd.path("user")], ..sshd.target() };
    assert_eq!(whoami(&both).await, format!("{}\n", both.user));
}

#[tokio::test]
async fn more_keys_than_the_server_takes() {
    let Some(sshd) = Sshd::with("MaxAuthTries 3") else { return };
    let wrong = (0..5).map(|i| sshd.keygen(&format!("wrong{i}"), "ed25519", "")).collect();
    let error = refusal(&Target { keys: wrong, ..sshd.target() }).await;
    assert!(matches!(&error, Error::Login { tried, .. } if tried.len() == 3), "{error}");
    assert!(error.to_string().to_lowercase().contains("too many authentication failures"), "{error}");
}

#[tokio::test]
async fn unusable_key_files() {
    let Some(sshd) = Sshd::start() else { return };
    std::fs::write(sshd.path("text"), "not a key\n").unwrap();
    let encrypted = sshd.keygen("locked", "ed25519", "open sesame");
    for (key, reason) in [
        (sshd.path("missing"), "No such file"),
        (sshd.path("text"), "not a private key"),
        (sshd.path("user.pub"), "not a private key"),
        (encrypted, "encrypted"),
    ] {
        let error = refusal(&Target { keys: vec![key.clone()], ..sshd.target() }).await;
        assert!(matches!(&error, Error::Key { path, .. } if *path == key), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_passphrase_from_the_environment() {
    const VARIABLE: &str = "HOIST_KEY_PASSPHRASE";
    let Some(passphrase) = std::env::var_os(VARIABLE) else {
        // Only a process of its own can have another environment.
        for (passphrase, fits) in [("open sesame", true), ("wrong", false)] {
            let mut test = Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", "login::a_passphrase_from_the_environment"]).env(VARIABLE, passphrase);
            test.env("PASSPHRASE_FITS", if fits { "1" } else { "0" });
            assert!(test.stdout(Stdio::null()).status().unwrap().success(), "{passphrase}");
        }
        return;
    };
    let Some(sshd) = Sshd::start() else { return };
    let key = sshd.keygen("locked", "ed25519", "open sesame");
    sshd.authorize("locked");
    let target = Target { keys: vec![key], ..sshd.target() };
    if std::env::var("PASSPHRASE_FITS").unwrap() == "1" {
        assert_eq!(whoami(&target).await, format!("{}\n", target.user));
    } else {
        let error = refusal(&target).await.to_string();
        assert!(error.contains("does not fit") && !error.contains(passphrase.to_str().unwrap()), "{error}");
    }
}

/// An agent with a socket of its own.
pub struct AgentProcess(Child);

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn start_agent(sshd: &Sshd) -> (AgentProcess, Agent) {
    let socket = sshd.path("agent");
    let agent =
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let agent = AgentProcess(agent);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        std::thread::yield_now();
    }
    (agent, Agent::Socket(socket))
}

pub fn add_to_agent(agent: &Agent, key: &std::path::Path) {
    let Agent::Socket(socket) = agent else { panic!() };
    let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", socket).status().unwrap();
    assert!(added.success());
}

#[tokio::test]
async fn keys_in_an_agent() {
    let Some(sshd) = Sshd::start() else { return };
    let (_process, agent) = start_agent(&sshd);
    let wrong = sshd.keygen("wrong", "ed25519", "");
    let target = Target { keys: vec![wrong], agent: agent.clone(), ..sshd.target() };
    assert!(matches!(refusal(&target).await, Error::Login { .. }));
    let rsa = sshd.keygen("rsa", "rsa", "");
    sshd.authorize("rsa");
    add_to_agent(&agent, &rsa);
    assert_eq!(whoami(&target).await, format!("{}\n", target.user));
}

#[tokio::test]
async fn an_encrypted_key_that_the_agent_holds_needs_no_passphrase() {
    let Some(sshd) = Sshd::start() else { return };
    let (_process, agent) = start_agent(&sshd);
    let key = sshd.keygen("locked", "ed25519", "");
    sshd.authorize("locked");
    add_to_agent(&agent, &key);
    let lock =
        Command::new("ssh-keygen").args(["-q", "-p", "-N", "open sesame", "-f"]).arg(&key).output().unwrap();
    assert!(lock.status.success());
    let target = Target { keys: vec![key], agent, ..sshd.target() };
    assert_eq!(whoami(&target).await, format!("{}\n", target.user));
}

/// As ssh does with `IdentityFile` and `IdentitiesOnly`; only a key that the inventory names must do.
#[tokio::test]
async fn keys_that_the_configuration_names() {
    let Some(sshd) = Sshd::start() else { return };
    let (_process, agent) = start_agent(&sshd);
    let [work, other] = ["work", "other"].map(|name| sshd.keygen(name, "ed25519", ""));
    add_to_agent(&agent, &other);
    let locked = sshd.keygen("locked", "ed25519", "open sesame");
    sshd.authorize("work");
    let configured = Target { keys_are_configured: true, agent, ..sshd.target() };
    // One that is encrypted is passed over where nobody can be asked.
    let target = Target { keys: vec![locked, sshd.path("user")], ..configured.clone() };
    assert_eq!(whoami(&target).await, format!("{}\n", target.user));
    // Of one there is only the public half here.
    let target = Target { keys: vec![work.clone()], only_these_keys: true, ..configured };
    add_to_agent(&target.agent, &work);
    std::fs::remove_file(&work).unwrap();
    assert_eq!(whoami(&target).await, format!("{}\n", target.user));
    // And where none is left the usual ones are not tried instead.
    let none = Target { keys: Vec::new(), ..target };
    let error = refusal(&none).await.to_string();
    assert!(error.contains("tried nothing"), "{error}");
}

#[tokio::test]
async fn an_agent_that_is_not_there() {
    let Some(sshd) = Sshd::start() else { return };
    let wrong = sshd.keygen("wrong", "ed25519", "");
    let target = Target { keys: vec![wrong], agent: Agent::Socket(sshd.path("none")), ..sshd.target() };
    let error = refusal(&target).await.to_string();
    assert!(error.contains("ssh-agent (No such file"), "{error}");
}

/// As the socket of a forwarded agent that is gone: it takes connections, and nothing comes.
#[tokio::test]
async fn an_agent_that_does_not_answer() {
    let Some(sshd) = Sshd::start() else { return };
    let _agent = UnixListener::bind(sshd.path("silent")).unwrap();
    let agent = Agent::Socket(sshd.path("silent"));
    let target = Target { agent, connect_timeout: Duration::from_secs(4), ..sshd.target() };
    let named = timeout(Duration::from_secs(60), whoami(&target)).await;
    assert_eq!(named.unwrap(), "root\n");
    let wrong = Target { keys: vec![sshd.keygen("wrong", "ed25519", "")], ..target };
    let error = refusal(&wrong).await.to_string();
    assert!(error.contains("ssh-agent (it does not answer)"), "{error}");
}

/// An agent that says what it holds and never signs, as one whose key wants to be touched.
fn untouched(sshd: &Sshd) -> Agent {
    const REQUEST_IDENTITIES: u8 = 11;
    let (real, socket) = (sshd.path("agent"), sshd.path("untouched"));
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 5];
            client.read_exact(&mut request).await.unwrap();
            if request[4] == REQUEST_IDENTITIES {
                let mut agent = UnixStream::connect(&real).await.unwrap();
                agent.write_all(&request).await.unwrap();
                copy_bidirectional(&mut client, &mut agent).await.ok();
            } else {
                waiting.push(client);
            }
        }
    });
    Agent::Socket(socket)
}

#[tokio::test]
async fn an_agent_that_does_not_sign_is_not_taken_for_the_server() {
    let Some(sshd) = Sshd::start() else { return };
    let (_process, agent) = start_agent(&sshd);
    add_to_agent(&agent, &sshd.path("user"));
    let (keys, agent) = (vec![sshd.path("user.pub")], untouched(&sshd));
    let target = Target { keys, agent, connect_timeout: Duration::from_secs(4), ..sshd.target() };
    let error = refusal(&target).await.to_string();
    assert!(error.contains("user.pub (ssh-agent did not sign within 4 s)"), "{error}");
    assert!(error.ends_with("accepts publickey"), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_neither_keys_nor_passwords() {
    let Some(sshd) = Sshd::with("PubkeyAuthentication no\nGSSAPIAuthentication yes") else { return };
    let error = refusal(&sshd.target()).await;
    assert!(error.to_string().ends_with("accepts gssapi-with-mic"), "{error}");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("PubkeyAuthentication"), "{help}");
}

#[tokio::test]
async fn a_login_that_is_not_root() {
    let Some(user) = crate::user::TestUser::create("plain") else { return };
    let Some(sshd) = Sshd::start() else { return };
    let target = Target { user: user.name.clone(), r#become: Become::Root, ..sshd.target() };
    let error = refusal(&target).await;
    assert!(matches!(&error, Error::Become { reason, .. } if reason.contains("is not root")), "{error}");
}
