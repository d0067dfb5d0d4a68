//! Becoming root by sudo, and login shells that talk.

use hoist::transport::{Become, Error, Script, Target, connect};

use crate::{support::sshd::Sshd, user::TestUser};

const PASSWORD: &str = "touch /tmp/hoist-password-was-run; it's $HOME";

fn target(sshd: &Sshd, user: &TestUser, password: Option<&str>) -> Target {
    let password = password.map(|password| password.to_owned().into());
    Target { user: user.name.clone(), r#become: Become::Sudo { password }, ..sshd.target() }
}

async fn reason(target: &Target) -> String {
    match connect(target).await {
        Ok(_) => panic!("it became root"),
        Err(Error::Become { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
    }
}

async fn id(target: &Target) -> String {
    let host = connect(target).await.unwrap();
    let output = host.run(Script::new("id -u; echo $HOME; pwd")).await.unwrap();
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn without_a_password_and_with_a_noisy_login_shell() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(mut user) = TestUser::create("noisy") else { return };
    if !user.sudoers("USER ALL=(ALL) NOPASSWD: ALL\nDefaults:USER lecture=always") {
        return;
    }
    let rc = "echo welcome to $HOSTNAME; echo 'printed on stderr' >&2; printf 'no newline'\n\
              head -c 100000 /dev/urandom; sh -c 'sleep 0.2; echo late' &\n";
    std::fs::write(user.home.path().join(".bashrc"), rc).unwrap();
    assert_eq!(id(&target(&sshd, &user, None)).await, "0\n/root\n/\n");
    // Allowed without, given with: the password must not become a command.
    assert_eq!(id(&target(&sshd, &user, Some(PASSWORD))).await, "0\n/root\n/\n");
    assert!(!std::path::Path::new("/tmp/hoist-password-was-run").exists());
}

#[tokio::test]
async fn with_a_password() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(mut user) = TestUser::create("asked") else { return };
    if !user.sudoers("USER ALL=(ALL) ALL\nDefaults:USER lecture=always") {
        return;
    }
    user.set_password(PASSWORD);
    let with = |password| target(&sshd, &user, password);
    let (right, wrong, none) = (with(Some(PASSWORD)), with(Some("wrong")), with(None));
    let (right, wrong, none) = tokio::join!(id(&right), reason(&wrong), reason(&none));
    assert_eq!(right, "0\n/root\n/\n");
    assert_eq!(wrong, "sudo refused the password");
    assert_eq!(none, "sudo wants a password");
    assert!(!std::path::Path::new("/tmp/hoist-password-was-run").exists());
}

#[tokio::test]
async fn a_script_that_hangs_under_sudo_is_killed() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(mut user) = TestUser::create("hung") else { return };
    if !user.sudoers("USER ALL=(ALL) NOPASSWD: ALL") {
        return;
    }
    let host = connect(&target(&sshd, &user, None)).await.unwrap();
    let marker = format!("{}", 100_000 + std::process::id());
    let hung = Script::new(format!("sleep {marker}")).timeout(std::time::Duration::from_millis(200));
    let error = host.run(hung).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let look = format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[s]leep {marker} '");
    assert_eq!(host.run(Script::new(look)).await.unwrap().stdout, b"0\n");
}

#[tokio::test]
async fn a_user_that_may_not() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(mut user) = TestUser::create("mayno") else { return };
    if !user.sudoers("USER ALL=(ALL) NOPASSWD: /bin/true") {
        return;
    }
    user.set_password(PASSWORD);
    let error = reason(&target(&sshd, &user, Some(PASSWORD))).await;
    assert_eq!(error, "the user may not run a shell with sudo");
    user.sudoers("# nothing");
    assert_eq!(reason(&target(&sshd, &user, Some(PASSWORD))).await, "the user may not use sudo");
}

#[tokio::test]
async fn a_terminal_that_is_required() {
    let Some(sshd) = Sshd::start() else { return };
    let Some(mut user) = TestUser::create("tty") else { return };
    if !user.sudoers("USER ALL=(ALL) NOPASSWD: ALL\nDefaults:USER requiretty") {
        return;
    }
    assert_eq!(reason(&target(&sshd, &user, None)).await, "sudo wants a terminal");
}

#[tokio::test]
async fn a_login_shell_that_refuses() {
    let Some(sshd) = Sshd::with("ForceCommand echo this account is not available; exit 1") else { return };
    let Err(error) = connect(&sshd.target()).await else { panic!() };
    assert!(matches!(&error, Error::Start { output, .. } if output.contains("not available")), "{error}");
}
