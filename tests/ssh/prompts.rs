//! Secrets that are asked for, on a real terminal: `script` makes one for a second run of this program.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hoist::transport::{Become, Script, Target, connect};

use crate::{passwords, support::sshd::Sshd, user::TestUser};

/// The echo is switched off after the prompt is written.
const SOON: Duration = Duration::from_millis(300);

/// Runs an ignored test of this file on a terminal, and types `answer` so long after `prompt` appears. Returns what
/// the terminal showed and whether the test succeeded.
fn on_a_terminal(test: &str, prompt: &str, answer: &str, pause: Duration) -> (String, bool) {
    let program = std::env::current_exe().unwrap();
    let command = format!("{} --exact prompts::{test} --ignored --nocapture", program.display());
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    for variable in ["HOIST_SSH_PASSWORD", "HOIST_SUDO_PASSWORD", "HOIST_KEY_PASSPHRASE"] {
        script.env_remove(variable);
    }
    let mut child = script.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).ok();
        }
    });
    let (mut shown, mut answered) = (String::new(), false);
    let end = Instant::now() + Duration::from_secs(60);
    while let Ok(text) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        shown += &text;
        if !answered && shown.contains(prompt) {
            std::thread::sleep(pause);
            input.write_all(format!("{answer}\n").as_bytes()).unwrap();
            answered = true;
        }
    }
    let success = child.wait().unwrap().success();
    assert!(answered, "{prompt:?} did not appear: {shown}");
    (shown, success)
}

/// Asked once, for however many hosts, without an echo.
fn assert_asked_once(test: &str, prompt: &str, answer: &str, pause: Duration) {
    let (shown, success) = on_a_terminal(test, prompt, answer, pause);
    assert!(success, "{shown}");
    assert_eq!(shown.matches(prompt).count(), 1, "{shown}");
    assert!(!shown.contains(answer), "{shown}");
}

/// Connects to three hosts at the same time; the errors of those that refused.
async fn three(target: &Target) -> Vec<String> {
    let attempts = (1..=3).map(|i| {
        let target = Target { name: format!("w{i}"), ..target.clone() };
        async move {
            let host = connect(&target).await.map_err(|error| error.to_string())?;
            let id = host.run(Script::new("id -u")).await.unwrap().stdout;
            assert_eq!(id, b"0\n");
            Ok::<_, String>(())
        }
    });
    join_all(attempts).await.into_iter().filter_map(Result::err).collect()
}

fn may_run() -> bool {
    let possible = TestUser::create("may").is_some_and(|mut user| user.sudoers("# nothing"));
    possible && Sshd::start().is_some()
}

#[test]
fn a_password_is_asked_for_once() {
    if may_run() {
        // Longer than the server waits for a login.
        let pause = Duration::from_secs(5);
        assert_asked_once("log_in", "SSH password of hoist-typed-", passwords::PASSWORD, pause);
    }
}

#[tokio::test]
#[ignore = "runs on a terminal of its own"]
async fn log_in() {
    let user = passwords::user("typed").unwrap();
    let sshd = Sshd::with("PasswordAuthentication yes\nLoginGraceTime 4").unwrap();
    assert_eq!(three(&passwords::target(&sshd, &user, None)).await, [""; 0]);
}

#[test]
fn a_wrong_password_is_not_asked_for_again() {
    if may_run() {
        let (shown, success) = on_a_terminal("refused", "SSH password of hoist-refused-", "not this", SOON);
        assert!(success && shown.matches("SSH password of").count() == 1, "{shown}");
    }
}

#[test]
fn nothing_typed_is_no_password() {
    if may_run() {
        let (shown, success) = on_a_terminal("declined", "SSH password of hoist-declined-", "", SOON);
        assert!(success && shown.matches("SSH password of").count() == 1, "{shown}");
    }
}

#[tokio::test]
#[ignore = "runs on a terminal of its own"]
async fn refused() {
    let user = passwords::user("refused").unwrap();
    let sshd = Sshd::with("PasswordAuthentication yes").unwrap();
    let errors = three(&passwords::target(&sshd, &user, None)).await;
    assert!(errors.len() == 3 && errors.iter().all(|error| error.contains("the password;")), "{errors:?}");
}

#[tokio::test]
#[ignore = "runs on a terminal of its own"]
async fn declined() {
    let user = passwords::user("declined").unwrap();
    let sshd = Sshd::with("PasswordAuthentication yes").unwrap();
    let errors = three(&passwords::target(&sshd, &user, None)).await;
    assert!(
        errors.len() == 3 && errors.iter().all(|error| error.contains("nothing was typed")),
        "{errors:?}"
    );
}

#[test]
fn the_sudo_password_is_asked_for_once() {
    if may_run() {
        assert_asked_once("become_root", "sudo password of hoist-sudoer-", passwords::PASSWORD, SOON);
    }
}

#[tokio::test]
#[ignore = "runs on a terminal of its own"]
async fn become_root() {
    let mut user = TestUser::create("sudoer").unwrap();
    user.set_password(passwords::PASSWORD);
    let sshd = Sshd::start().unwrap();
    let target =
        Target { user: user.name.clone(), r#become: Become::Sudo { password: None }, ..sshd.target() };
    // Where sudo wants none, nobody is asked.
    assert!(user.sudoers("USER ALL=(ALL) NOPASSWD: ALL"));
    assert_eq!(three(&target).await, [""; 0]);
    assert!(user.sudoers("USER ALL=(ALL) ALL\nDefaults:USER lecture=always"));
    assert_eq!(three(&target).await, [""; 0]);
}

#[test]
fn a_passphrase_is_asked_for_once() {
    if may_run() {
        assert_asked_once("unlock", "/locked: ", "open sesame", SOON);
    }
}

#[tokio::test]
#[ignore = "runs on a terminal of its own"]
async fn unlock() {
    let sshd = Sshd::start().unwrap();
    let key = sshd.keygen("locked", "ed25519", "open sesame");
    sshd.authorize("locked");
    assert_eq!(three(&Target { keys: vec![key], ..sshd.target() }).await, [""; 0]);
}
