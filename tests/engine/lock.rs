//! One run at a time on a host.

use std::{
    fs,
    process::Command,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use hoist::{
    engine::{Error, Lock},
    transport::{self, Host, Local, Output, Script},
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

/// The shell with the lock is ended with everything in it when a script takes too long.
#[tokio::test]
async fn the_lock_outlives_a_shell_that_is_replaced_unless_somebody_else_had_it() {
    if !geteuid().is_root() {
        eprintln!("skipped: not root, so no file in /run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lock").display().to_string();
    let [ours, theirs] = ["ours", "theirs"].map(Lock::new);
    let at = |script: String| script.replace("/run/hoist.lock", &file);
    let [first, second] = [open("cp1").await, open("cp1").await];
    let take = async |host: &Local, lock: &Lock| {
        let output = host.run(Script::new(at(lock.script()))).await.unwrap();
        Lock::taken("cp1", &output)
    };
    take(&first, &ours).await.unwrap();
    first.relock(at(ours.again())).await;
    let hung = first.run(Script::new("sleep 1000").timeout(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(hung, transport::Error::Timeout { .. }), "{hung}");
    assert_eq!(first.run(Script::new("echo on")).await.unwrap().stdout, b"on\n");
    match take(&second, &theirs).await.unwrap_err() {
        Error::Locked { holder, .. } => assert!(holder.contains("Z: ours (process "), "{holder}"),
        other => panic!("{other}"),
    }
    // Between two scripts nobody is there to take it again.
    first.run(Script::new("kill -9 $$; sleep 10")).await.unwrap_err();
    take(&second, &theirs).await.unwrap();
    let refused = async || {
        let error = first.run(Script::new("echo on")).await.unwrap_err();
        assert!(matches!(error, transport::Error::Unlocked { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("lock of cp1") && text.contains("Z: theirs (process "), "{text}");
    };
    refused().await;
    // What is known of the host is old even when they have done what they wanted.
    drop(second);
    refused().await;
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

/// The keeper waits in tail(1), and where tail has no --pid in sleep(1): it must see the same. Who wants the lock in vain
/// ends the tail, and after that it must still see the same.
#[test]
fn what_a_lost_connection_left_at_work_is_ended_and_the_lock_is_free() {
    if !geteuid().is_root() {
        eprintln!("skipped: not root, so no file in /run");
        return;
    }
    // What the keeper knows an SSH server by is its name.
    let folder = tempfile::tempdir().unwrap();
    for name in ["sshd", "other"] {
        fs::copy("/bin/sh", folder.path().join(name)).unwrap();
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !sudo {
        eprintln!("skipped: no sudo, so no shell that was started by it");
    }
    let no_pid = "tail() { echo 'unrecognized option: pid' >&2; return 1; }\n";
    let ways = [("sshd", "", ""), ("sshd", "sudo -n", ""), ("sshd", "", no_pid), ("other", "", "")];
    for (number, (program, becoming, tools)) in ways.into_iter().enumerate() {
        if !(sudo || becoming.is_empty()) {
            continue;
        }
        let name = format!("hoist-keeper-test-{number}-{}", std::process::id());
        let (lock, work) = (format!("/run/{name}.lock"), format!("/run/{name}.work"));
        let script = Lock::new("hoist").script().replace("/run/hoist.lock", &lock);
        let contender = script.replace(" 5 6 7 8 9 10", "");
        let script = format!("{tools}( {script} )\necho $(ps -o sid= -p $$) >{work}\nsleep 1000\n");
        // The outer shell stands for the SSH server's process of the connection, the inner one for the root shell.
        let begins = format!("setsid {becoming} sh -c \"$0\"; :");
        let mut server = Command::new(folder.path().join(program));
        let mut server = server.args(["-c", &begins, &script]).spawn().unwrap();
        let session = wait_for(|| fs::read_to_string(&work).ok().filter(|text| text.ends_with('\n')));
        // Long enough for the keeper to have gone on from its first second.
        sleep(Duration::from_millis(1500));
        let free = || Command::new("flock").args(["-n", &lock, "true"]).status().unwrap().success();
        assert!(!free(), "{tools}");
        let holder = format!("Z: hoist (process {})\n", std::process::id());
        let waits_in = || fs::read_to_string(&lock).unwrap().lines().last().unwrap().to_owned();
        let before = waits_in();
        // Who holds it can be read at any time.
        let reader = thread::spawn({
            let (lock, holder) = (lock.clone(), holder.trim().to_owned());
            let begun = Instant::now();
            move || {
                while begun.elapsed() < Duration::from_secs(3) {
                    let text = fs::read_to_string(&lock).unwrap();
                    assert!(text.lines().next().is_some_and(|line| line.ends_with(&holder)), "{text:?}");
                }
            }
        });
        let refused = Command::new("sh").args(["-c", &contender]).output().unwrap();
        assert!(String::from_utf8_lossy(&refused.stdout).ends_with(&holder), "{refused:?}");
        reader.join().unwrap();
        assert_eq!(waits_in() != before, tools.is_empty(), "nobody had it looked");
        assert!(!free(), "{tools}");
        server.kill().unwrap();
        server.wait().unwrap();
        let members = || {
            let found = Command::new("ps").args(["-o", "args=", "-s", session.trim()]).output().unwrap();
            String::from_utf8(found.stdout).unwrap()
        };
        if program != "sshd" {
            // Where one process may have all connections, the keeper looks when somebody asks.
            sleep(Duration::from_millis(1500));
            assert!(!free(), "it waits for the shell");
            let next = Command::new("sh").args(["-c", &contender]).status().unwrap();
            assert!(next.success());
        }
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
