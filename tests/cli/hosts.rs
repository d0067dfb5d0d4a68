//! The verbs that ask hosts and no cluster, against OpenSSH's own server in a network of its own.

use std::fs;

use serde_json::Value;

use super::{answer, hoist, unread};
use crate::support::{namespace::Namespace, sshd::Sshd};

/// Two hosts that answer and one that does not.
struct Bed {
    sshd: Sshd,
    /// Ends after the server in it.
    namespace: Namespace,
    file: String,
}

impl Bed {
    fn new(purpose: &str) -> Option<Bed> {
        let namespace = Namespace::create(purpose)?;
        for address in ["10.79.0.1", "10.79.0.2"] {
            namespace.address(address);
        }
        let sshd = namespace.run(|| Sshd::with("ListenAddress 10.79.0.1\nListenAddress 10.79.0.2"))?;
        let known = ["10.79.0.1", "10.79.0.2"]
            .map(|it| format!("[{it}]:{} {}", sshd.port, sshd.public("host_ed25519")));
        fs::write(sshd.path("known_hosts"), known.concat()).unwrap();
        let file = sshd.path("inventory.yaml");
        let text = format!(
            "\
cluster: {{name: bed, kubernetes: \"1.20.2\"}}
ssh: {{port: {}, key: {}, known_hosts: {}, network_namespace: {}}}
sites: [here, there]
hosts:
  cp1: {{address: 10.79.0.1, roles: [control-plane], site: here}}
  worker-1: {{address: 10.79.0.2, roles: [worker], site: there}}
  gone: {{address: 10.79.0.9, roles: [worker], site: there}}
",
            sshd.port,
            sshd.path("user").display(),
            sshd.path("known_hosts").display(),
            namespace.0
        );
        fs::write(&file, text).unwrap();
        Some(Bed { sshd, namespace, file: file.to_str().unwrap().to_owned() })
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = hoist(arguments);
        answer(command.env("HOIST_INVENTORY", &self.file).env_remove("SSH_AUTH_SOCK"))
    }
}

fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn facts_of_those_that_answer_and_the_names_of_the_others() {
    let Some(bed) = Bed::new("facts") else { return };
    let (exit, text, errors) = bed.ask(&["facts", "--limit", "cp1,there"]);
    assert_eq!(exit, 69, "{errors}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, begins) in lines.iter().zip(["HOST ", "cp1 ", "worker-1 "]) {
        assert!(line.starts_with(begins), "{text}");
    }
    assert!(errors.contains("gone"), "{errors}");

    let (exit, text, errors) = bed.ask(&["facts", "--limit", "cp1", "--output", "json"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    let list = json(&text);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!((&list[0]["host"], &list[0]["facts"]["kernel"]), (&"cp1".into(), &kernel.trim().into()));

    let (exit, text, _) = bed.ask(&["facts", "--limit", "gone", "--output", "json"]);
    assert_eq!(exit, 69);
    assert!(json(&text)[0]["error"].as_str().unwrap().contains("gone"), "{text}");
}

#[test]
fn a_command_runs_as_root_on_each_host_of_a_group() {
    let Some(bed) = Bed::new("exec") else { return };
    let two = "cp1,worker-1";
    for (arguments, printed) in [
        (&[two, "--", "id", "-un"][..], "cp1      | root\nworker-1 | root\n"),
        (&["control-plane", "--", "id", "-un"], "root\n"),
        (&["here", "--", "printf", "%s", "a b"], "a b"),
        // Several words stay what they are.
        (&["cp1", "--", "printf", "%s|", "$HOME", "it's", "", "*"], "$HOME|it's||*|"),
        // One word is a line of shell.
        (&["cp1", "--", "echo a b | tr a-z A-Z; echo $((1 + 1))"], "A B\n2\n"),
        // Nothing is to be read.
        (&["cp1", "--", "cat"], ""),
        (
            &[two, "--forks", "1", "--", "printf '1\\n2'"],
            "cp1      | 1\ncp1      | 2\nworker-1 | 1\nworker-1 | 2\n",
        ),
    ] {
        let (exit, text, errors) = bed.ask(&[&["exec"], arguments].concat());
        assert_eq!((exit, text.as_str(), errors.as_str()), (0, printed, ""), "{arguments:?}");
    }
}

#[test]
fn hosts_are_asked_to_the_end_where_nobody_reads_the_answers() {
    let Some(bed) = Bed::new("unread") else { return };
    let begun = bed.sshd.path("begun");
    let line = format!("echo a; echo b >&2; echo x >> {}", begun.display());
    for (verb, exit) in [
        (&["facts", "--limit", "cp1"][..], 0),
        (&["facts", "--limit", "cp1", "--output", "json"], 0),
        (&["exec", "all", "--forks", "1", "--", &line], 69),
        (&["exec", "all", "--output", "json", "--", &line], 69),
        (&["ssh", "cp1", "--print"], 0),
    ] {
        let (name, more) = verb.split_first().unwrap();
        assert_eq!(unread(&[&[*name, "-i", &bed.file], more].concat()), Some(exit), "{verb:?}");
    }
    assert_eq!(fs::read_to_string(begun).unwrap(), "x\n".repeat(4), "two hosts, twice");
}

#[test]
fn a_command_that_fails_somewhere_is_told_and_the_others_still_run() {
    let Some(bed) = Bed::new("failures") else { return };
    let line = "echo out; echo err >&2; false";
    let (exit, text, errors) = bed.ask(&["exec", "cp1,worker-1", "--", line]);
    assert_eq!((exit, text.as_str()), (1, "cp1      | out\nworker-1 | out\n"));
    assert!(errors.contains("cp1      | err\n"), "{errors}");
    assert!(errors.ends_with("the command failed on 2 of 2 hosts: cp1 (1), worker-1 (1)\n"), "{errors}");

    // A host that is gone weighs more, and the others are asked all the same.
    let (exit, text, errors) = bed.ask(&["exec", "all", "--", "exit 3"]);
    assert_eq!((exit, text.as_str()), (69, ""));
    assert!(errors.contains("gone") && errors.contains("cp1 (3), worker-1 (3)"), "{errors}");

    let (exit, text, _) =
        bed.ask(&["exec", "all", "--output", "json", "--", "printf x; printf y >&2; exit 3"]);
    assert_eq!(exit, 69);
    let list = json(&text);
    assert_eq!(list[0], serde_json::json!({"host": "cp1", "status": 3, "stdout": "x", "stderr": "y"}));
    assert!(list[2]["host"] == "gone" && list[2]["error"].is_string(), "{text}");
}

#[test]
fn a_command_that_hangs_is_killed_there() {
    let Some(bed) = Bed::new("timeout") else { return };
    // No other process sleeps for just this long.
    let seconds = format!("600.{}", std::process::id());
    let (exit, _, errors) = bed.ask(&["exec", "cp1", "--timeout", "1", "--", "sleep", &seconds]);
    assert_eq!(exit, 1, "{errors}");
    assert!(errors.contains("cp1") && errors.contains("1 s"), "{errors}");
    // The host is this machine.
    let sleeps = |entry: fs::DirEntry| {
        fs::read_to_string(entry.path().join("cmdline"))
            .is_ok_and(|line| line == format!("sleep\0{seconds}\0"))
    };
    assert!(!fs::read_dir("/proc").unwrap().any(|entry| sleeps(entry.unwrap())));
}

#[test]
fn wrong_groups_are_refused_before_anybody_is_asked() {
    for (verb, word) in
        [(&["exec", "wroker", "--", "true"][..], "wroker"), (&["facts", "--limit", "w1,w9"], "w9")]
    {
        let (exit, text, errors) = answer(hoist(verb).env("HOIST_INVENTORY", "inventory/three.yaml"));
        assert_eq!((exit, text.as_str()), (64, ""), "{errors}");
        assert!(
            errors.contains(&format!("`{word}` is no host")) && errors.contains("did you mean"),
            "{errors}"
        );
    }
    // Nothing to run is a mistake of the command line.
    let (exit, ..) = answer(hoist(&["exec", "all"]).env("HOIST_INVENTORY", "inventory/three.yaml"));
    assert_eq!(exit, 64);
}

#[test]
fn a_shell_on_a_host() {
    let Some(bed) = Bed::new("ssh") else { return };
    for (arguments, exit, printed) in [
        (&["cp1", "--", "echo $USER; exit 7"][..], 7, "root\n"),
        (&["worker-1", "--", "printf", "%s|", "a b", "$USER"], 0, "a b|$USER|"),
    ] {
        let (code, text, errors) = bed.ask(&[&["ssh"], arguments].concat());
        assert_eq!((code, text.as_str()), (exit, printed), "{errors}");
    }
    // Through another, the line for which is quoted twice. Where nobody listens it does not come through.
    for (port, exit, printed) in [(bed.sshd.port, 0, "a b|"), (1, 255, "")] {
        let jump = format!("ssh: {{jump: \"root@10.79.0.1:{port}\", port");
        let through = fs::read_to_string(&bed.file).unwrap().replace("ssh: {port", &jump);
        let file = bed.sshd.path("through.yaml");
        fs::write(&file, through).unwrap();
        let file = file.to_str().unwrap();
        let (code, text, errors) = bed.ask(&["ssh", "-i", file, "worker-1", "--", "printf", "%s|", "a b"]);
        assert_eq!((code, text.as_str()), (exit, printed), "{errors}");
    }
    let (exit, text, _) = bed.ask(&["ssh", "cp1", "--print", "--", "uptime"]);
    assert_eq!(exit, 0);
    let expected = format!(
        "nsenter --net=/run/netns/{} ssh -p {} -l root -i {} -o 'UserKnownHostsFile=\"{}\"' \
         -o StrictHostKeyChecking=yes -o ProxyJump=none 10.79.0.1 -- uptime\n",
        bed.namespace.0,
        bed.sshd.port,
        bed.sshd.path("user").display(),
        bed.sshd.path("known_hosts").display()
    );
    assert_eq!(text, expected);
    // What is printed is what works.
    let output =
        std::process::Command::new("sh").args(["-c", &text.replace("uptime", "id -u")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
    // A key that is not the recorded one is refused.
    fs::write(
        bed.sshd.path("known_hosts"),
        format!("[10.79.0.1]:{} {}", bed.sshd.port, bed.sshd.public("user")),
    )
    .unwrap();
    let (exit, _, errors) = bed.ask(&["ssh", "cp1", "--", "true"]);
    assert_eq!(exit, 255, "{errors}");
}

#[test]
fn what_is_needed_for_a_shell_and_missing_is_named() {
    let ask = |text: &str, host: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = super::inventory(folder.path(), text);
        answer(hoist(&["ssh", "-i", &file, host]).env("PATH", "/nonexistent"))
    };
    let text = "cluster: {name: a, kubernetes: \"1.20.2\"}\nhosts:\n  a: {address: 10.0.0.1, roles: [control-plane]}\n";
    let (exit, _, errors) = ask(text, "a");
    assert_eq!(exit, 71);
    assert!(errors.contains("no program `ssh`") && errors.contains("openssh-client"), "{errors}");
    let (exit, _, errors) = ask(text, "b");
    assert_eq!(exit, 64);
    assert!(errors.contains("`b` is no host of the inventory"), "{errors}");
    for namespace in ["hoist-no-such", "../../proc/self/ns/net"] {
        let (exit, _, errors) = ask(&format!("{text}ssh: {{network_namespace: {namespace}}}\n"), "a");
        assert_eq!(exit, 71);
        assert!(errors.contains("failed to enter the network namespace"), "{errors}");
    }
}

/// Nobody can be asked about a key that is not known, which is worse than silence, for waiting does not cure it.
#[test]
fn what_trust_tells_programs_is_the_worst_of_all_hosts() {
    let Some(bed) = Bed::new("trust") else { return };
    let known = fs::read_to_string(bed.sshd.path("known_hosts")).unwrap();
    fs::write(bed.sshd.path("known_hosts"), known.lines().next().unwrap().to_owned() + "\n").unwrap();
    for (arguments, exit, told) in [
        (&["trust"][..], 77, "1 known already, 0 recorded, 1 not recorded"),
        (&["trust", "--yes"], 69, "1 known already, 1 recorded, 0 not recorded"),
        (&["trust", "cp1", "worker-1"], 0, "2 known already, 0 recorded, 0 not recorded"),
    ] {
        let (code, _, errors) = bed.ask(arguments);
        assert_eq!(code, exit, "{errors}");
        assert!(errors.contains(told), "{errors}");
        assert_eq!(errors.contains("10.79.0.9"), exit != 0, "{errors}");
    }
}
