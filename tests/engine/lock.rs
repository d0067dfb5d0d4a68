//! One run at a time on a host.

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use hoist::{
    engine::{Error, Lock},
    transport::{Host, Local, Output, Script},
};
use nix::unistd::{geteuid, gethostname};

async fn open(name: &str) -> Local {
    Local::open(name).await.unwrap()
}

/// Takes the lock and says that it goes on.
async fn take(host: &Local, lock: &Lock) -> Output {
    host.run(Script::new(lock.script() + "echo on")).await.unwrap()
}

#[tokio::test]
async fn the_second_is_refused_and_told_by_whom_until_the_first_has_gone() {
    if !geteuid().is_root() {
        eprintln!("skipped: not root, so no file in /run");
        return;
    }
    let (first, second) = (open("cp1").await, open("cp1").await);
    let output = take(&first, &Lock::new("hoist apply -i 'it'\\''s.yaml'")).await;
    assert!(Lock::taken("cp1", &output).is_ok());
    assert_eq!(output.stdout, b"on\n", "what the script goes on with is its only output");
    let lock = Lock::new("hoist apply -i other.yaml");
    match Lock::taken("cp1", &take(&second, &lock).await).unwrap_err() {
        Error::Locked { host, holder } => {
            assert_eq!(host, "cp1");
            let machine = gethostname().unwrap().into_string().unwrap();
            let (who, what) = holder.split_once(" since ").unwrap();
            assert!(who.ends_with(&format!("@{machine}")), "{holder}");
            let process = std::process::id();
            assert!(
                what.ends_with(&format!("Z: hoist apply -i 'it'\\''s.yaml' (process {process})")),
                "{holder}"
            );
        }
        other => panic!("{other}"),
    }
    // A script that ended without the lock leaves a shell that is as good as before.
    assert_eq!(second.run(Script::new("echo still here")).await.unwrap().stdout, b"still here\n");
    drop(first);
    let gone = Instant::now();
    assert!(Lock::taken("cp1", &take(&second, &lock).await).is_ok());
    assert!(gone.elapsed() < Duration::from_secs(3), "{:?}", gone.elapsed());
}

#[tokio::test]
async fn a_host_without_flock_says_so() {
    let host = open("cp1").await;
    let script = format!("command() {{ return 1; }}\n{}echo on", Lock::new("hoist").script());
    let output = host.run(Script::new(script)).await.unwrap();
    match Lock::taken("cp1", &output).unwrap_err() {
        Error::Unlockable { reason, .. } => assert_eq!(reason, "flock is missing"),
        other => panic!("{other}"),
    }
}

/// The keeper looks with tail(1), and where tail has no --pid with sleep(1): it must see the same.
#[test]
fn what_a_lost_connection_left_at_work_is_ended_and_the_lock_is_free() {
    if !geteuid().is_root() {
        eprintln!("skipped: not root, so no file in /run");
        return;
    }
    for (number, tools) in
        ["", "tail() { echo 'unrecognized option: pid' >&2; return 1; }\n"].iter().enumerate()
    {
        let name = format!("hoist-keeper-test-{number}-{}", std::process::id());
        let (lock, work) = (format!("/run/{name}.lock"), format!("/run/{name}.work"));
        let script = Lock::new("hoist").script().replace("/run/hoist.lock", &lock);
        let script = format!("{tools}( {script} )\necho $$ >{work}\nsleep 1000\n");
        // The outer shell stands for the SSH server's process of the connection, the inner one for the root shell.
        let mut server = Command::new("sh").args(["-c", "setsid sh -c \"$0\"; :", &script]).spawn().unwrap();
        let session = wait_for(|| fs::read_to_string(&work).ok().filter(|text| text.ends_with('\n')));
        // Long enough for the keeper to have gone on from its first second.
        sleep(Duration::from_millis(1500));
        let free = || Command::new("flock").args(["-n", &lock, "true"]).status().unwrap().success();
        assert!(!free(), "{tools}");
        server.kill().unwrap();
        server.wait().unwrap();
        let members = || {
            let found = Command::new("ps").args(["-o", "args=", "-s", session.trim()]).output().unwrap();
            String::from_utf8(found.stdout).unwrap()
        };
        wait_for(|| (free() && members().is_empty()).then_some(()));
        fs::remove_file(&lock).unwrap();
        fs::remove_file(&work).unwrap();
    }
}

/// What `look` finds, within ten seconds.
fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it did not come");
        sleep(Duration::from_millis(50));
    }
}
