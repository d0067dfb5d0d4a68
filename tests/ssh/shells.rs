//! The framed shell protocol on shells of this machine: the same code that runs over SSH.

use std::time::Duration;

use hoist::transport::{Error, Host, Local, Output, Script, WITH_PROXIES};

use crate::support::skip::skip;

/// Every shell that is installed here; one of the three always is.
async fn shells() -> Vec<Local> {
    let mut shells = Vec::new();
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let name = shell.join(" ");
        match Local::with_shell(&name, shell).await {
            Ok(local) => shells.push(local),
            Err(error) => skip(&format!("{name}: {error}")),
        }
    }
    assert!(!shells.is_empty());
    shells
}

async fn check(script: &str, status: i32, stdout: &[u8], stderr: &[u8]) {
    for shell in shells().await {
        let output = shell.run(Script::new(script)).await.unwrap();
        let expected = Output { status, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(output, expected, "{}: {script}", shell.name());
    }
}

#[tokio::test]
async fn ordinary_scripts() {
    check("", 0, b"", b"").await;
    check("echo hello", 0, b"hello\n", b"").await;
    check("printf 'no newline'", 0, b"no newline", b"").await;
    check("printf '\\n'", 0, b"\n", b"").await;
    check("printf '\\n\\n' >&2", 0, b"", b"\n\n").await;
    check("echo 'it'\\''s'; exit 3", 3, b"it's\n", b"").await;
    check("cat; echo $?", 0, b"0\n", b"").await;
    check("set -e; false; echo not reached", 1, b"", b"").await;
    check("trap 'echo bye' EXIT; echo hi; exit 4", 4, b"hi\nbye\n", b"").await;
    check("exec >/dev/null 2>&1; echo gone", 0, b"", b"").await;
    check("exec >&- 2>&-; exit 5", 5, b"", b"").await;
    check("exec echo replaced", 0, b"replaced\n", b"").await;
    check("{ sh -c 'kill -9 $$'; } 2>/dev/null; echo $?", 0, b"137\n", b"").await;
}

/// kubeadm would write them into static pods, and ask the API server by them.
#[tokio::test]
async fn proxies_of_the_host_are_only_for_scripts_that_ask_for_them() {
    let proxies =
        ["http_proxy=http://p:1", "HTTPS_PROXY=http://u:it's@p:1", "no_proxy=a b, c", "ALL_PROXY=$x"];
    for shell in ["dash", "bash"] {
        let words = [&["env"][..], &proxies, &[shell]].concat();
        let Ok(host) = Local::with_shell(shell, &words).await else {
            skip(shell);
            continue;
        };
        let run = async |script: String| {
            let output = host.run(Script::new(script)).await.unwrap();
            let mut lines: Vec<String> =
                String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect();
            lines.sort();
            lines
        };
        let look = "env | grep -i proxy";
        assert_eq!(run(look.to_string()).await, [""; 0], "{shell}");
        let mut expected = proxies;
        expected.sort();
        assert_eq!(run(format!("{WITH_PROXIES}{look}")).await, expected, "{shell}");
    }
}

#[tokio::test]
async fn nothing_outlives_a_script() {
    for shell in shells().await {
        let before = shell.run(Script::new("pwd; echo $-; set | grep -c '^mark='; umask")).await.unwrap();
        shell.run(Script::new("cd /tmp; set -eu; mark=1; umask 077; exec 3>&1; exit 9")).await.unwrap();
        let after = shell.run(Script::new("pwd; echo $-; set | grep -c '^mark='; umask")).await.unwrap();
        assert_eq!(before, after, "{}", shell.name());
        assert!(before.stdout.starts_with(b"/\n"));
    }
}

#[tokio::test]
async fn syntax_errors_are_a_status() {
    for shell in shells().await {
        for script in
            ["if", "echo 'unterminated", "a=$(", ")", "}", "echo \"", "<<EOF\nunterminated", "done; ("]
        {
            let output = shell.run(Script::new(script)).await.unwrap();
            let here_document = script.starts_with("<<");
            assert!(here_document || output.status != 0, "{}: {script}", shell.name());
            let after = shell.run(Script::new("echo fine")).await.unwrap();
            assert_eq!(after.stdout, b"fine\n", "{}: {script}", shell.name());
        }
    }
}

#[tokio::test]
async fn standard_input() {
    let secret: String = "it's a 'secret'\n".repeat(20_000);
    for shell in shells().await {
        let script = Script::new("cat").stdin(secret.clone().into());
        assert_eq!(shell.run(script).await.unwrap().stdout, secret.as_bytes(), "{}", shell.name());
        let unread = Script::new("echo started; exit 2").stdin(secret.clone().into());
        let output = shell.run(unread).await.unwrap();
        assert_eq!(output, Output { status: 2, stdout: b"started\n".into(), stderr: b"".into() });
        let look = Script::new(
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done 2>/dev/null; cat >/dev/null",
        )
        .stdin("sec-ret-7f3a".to_owned().into());
        let seen = String::from_utf8_lossy(&shell.run(look).await.unwrap().stdout).into_owned();
        assert!(!seen.contains("sec-ret-7f3a"), "{}: {seen}", shell.name());
    }
}

#[tokio::test]
async fn binary_output_is_intact() {
    let octal = |byte: u8| format!("\\{byte:03o}");
    let all: Vec<u8> = (0..=255).collect();
    let script = format!("printf '{}'", all.iter().copied().map(octal).collect::<String>());
    check(&script, 0, &all, b"").await;
}

#[tokio::test]
async fn scripts_with_every_character() {
    let text: String = (1..0x250).filter_map(char::from_u32).filter(|c| *c != '\'').collect();
    check(&format!("printf %s '{text}'"), 0, text.as_bytes(), b"").await;
    for shell in shells().await {
        let error = shell.run(Script::new("echo a\0b")).await.unwrap_err();
        assert!(matches!(error, Error::Nul { .. }), "{error}");
        assert_eq!(shell.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    }
}

#[tokio::test]
async fn large_scripts_and_outputs() {
    let text = "0123456789abcde\n".repeat(1 << 16);
    check(&format!("printf %s '{text}'"), 0, text.as_bytes(), b"").await;
    for shell in shells().await {
        let megabytes =
            shell.run(Script::new("head -c 30000000 /dev/zero; head -c 1000 /dev/zero >&2")).await;
        let megabytes = megabytes.unwrap();
        assert_eq!((megabytes.stdout.len(), megabytes.stderr.len()), (30_000_000, 1000));
    }
}

#[tokio::test]
async fn too_much_output_is_an_error_and_the_shell_goes_on() {
    let shell = Local::open("here").await.unwrap();
    let error = shell.run(Script::new("head -c 100000000 /dev/zero; echo the end")).await.unwrap_err();
    assert!(matches!(&error, Error::TooMuchOutput { output, .. } if output.ends_with("the end")), "{error}");
    assert_eq!(shell.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn late_output_of_background_processes_is_dropped() {
    for shell in shells().await {
        // The reader of the fifo prints when the next script has ended: between scripts.
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo").display().to_string();
        let script =
            format!("mkfifo {fifo}; {{ read -r line <{fifo}; echo late; echo over >{fifo}; }} & echo early");
        assert_eq!(shell.run(Script::new(script)).await.unwrap().stdout, b"early\n");
        std::fs::write(&fifo, "go\n").unwrap();
        assert_eq!(std::fs::read(&fifo).unwrap(), b"over\n");
        assert_eq!(shell.run(Script::new("echo next")).await.unwrap().stdout, b"next\n", "{}", shell.name());
    }
}

#[tokio::test]
async fn a_hung_script_is_killed_with_all_that_it_started() {
    let hung = shells().await.into_iter().map(|shell| async move {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock").display().to_string();
        // Orphans, and processes that do not care about SIGTERM, are killed too.
        let script = format!(
            "echo going; (sh -c 'trap \"\" TERM; while :; do sleep 1000; done' &); exec 9>{lock}; sleep 1000"
        );
        let hung = Script::new(script).timeout(Duration::from_millis(300));
        let error = shell.run(hung).await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { output, .. } if output == "going"), "{error}");
        let next = shell.run(Script::new("echo fine")).await.unwrap();
        assert_eq!(next.stdout, b"fine\n", "{}", shell.name());
        let holders = std::process::Command::new("sh")
            .args(["-c", &format!("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c {lock}")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&holders.stdout).trim(), "0", "{}", shell.name());
    });
    futures::future::join_all(hung).await;
}

#[tokio::test]
async fn a_dropped_call_kills_its_script() {
    let shell = Local::open("here").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo").display().to_string();
    let started = Script::new(format!("mkfifo {fifo}; echo $$ >{fifo}; sleep 1000"));
    let reader = tokio::task::spawn_blocking(move || {
        loop {
            if let Ok(pid) = std::fs::read_to_string(&fifo) {
                return pid.trim().to_owned();
            }
        }
    });
    let pid = tokio::select! {
        _ = shell.run(started) => panic!("it ended"),
        pid = reader => pid.unwrap(),
    };
    assert_eq!(shell.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    assert!(!std::path::Path::new(&format!("/proc/{pid}/root")).join("proc").exists(), "{pid} still runs");
}

#[tokio::test]
async fn a_shell_that_is_killed_is_replaced() {
    for shell in shells().await {
        let error = shell.run(Script::new("echo last words; kill -9 $$; sleep 10")).await.unwrap_err();
        assert!(matches!(&error, Error::ShellEnded { output, .. } if output == "last words"), "{error}");
        assert_eq!(shell.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    }
}

#[tokio::test]
async fn what_is_not_a_shell_is_refused() {
    for program in [&["true"][..], &["no-such-shell"]] {
        let Err(error) = Local::with_shell("here", program).await else { panic!("{program:?}") };
        assert!(matches!(error, Error::Start { .. }), "{error}");
    }
}
