//! A file for many hosts leaves this machine once, and comes to all of them whatever fails between them.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    bed::{Fleet, Ran, address},
    skip::skip,
};

const NAMES: [&str; 4] = ["cp1", "w1", "w2", "w3"];

/// Hosts, and a role that puts `size` bytes on each. Nothing where there is no socat.
fn fleet(size: usize) -> Option<Fleet> {
    if !Command::new("socat").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        skip("hosts pass files on with socat (Debian: socat)");
        return None;
    }
    let fleet = Fleet::start(&NAMES)?;
    let content: Vec<u8> =
        (0..size as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(size).collect();
    fs::write(fleet.path("file"), &content).unwrap();
    role(&fleet, &digest(&content), "");
    Some(fleet)
}

pub fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn role(fleet: &Fleet, digest: &str, more: &str) {
    // They share a file system: each has a folder of its own.
    let source = fleet.path("file");
    let root = fleet.root();
    fleet.role(
        "big",
        &format!(
            "tasks:\n  - name: the file\n    artifact: {{source: {}, sha256: {digest}, path: '{}/{{{{ host.name }}}}/big'{more}}}",
            source.display(),
            root.display(),
        ),
    );
}

fn apply(fleet: &Fleet) -> Ran {
    fleet.hoist("apply", &["--only", "big", "--output", "json"])
}

pub fn events(ran: &Ran, kind: &str) -> Vec<Value> {
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["event"] == kind).collect()
}

/// From whom the file came, in alphabetical order.
pub fn sources(ran: &Ran) -> Vec<String> {
    let events = events(ran, "received");
    let mut from: Vec<String> =
        events.iter().map(|event| event["from"].as_str().unwrap().to_string()).collect();
    from.sort();
    from
}

fn everybody_has_it(fleet: &Fleet) {
    let content = fs::read(fleet.path("file")).unwrap();
    for name in NAMES {
        assert!(fs::read(fleet.root().join(name).join("big")).unwrap() == content, "{name}");
    }
    for name in NAMES {
        let left: Vec<_> =
            fs::read_dir(fleet.root().join(name)).unwrap().flatten().map(|it| it.file_name()).collect();
        assert_eq!(left, ["big"], "no part of a file is left");
    }
    nobody_serves(fleet);
}

/// The processes that pass files on have ended, or do so at once.
fn nobody_serves(fleet: &Fleet) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let here = fleet.path("").display().to_string();
    let serving = || {
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let mut found = Vec::new();
        for process in processes.filter(|path| path.join("fd").exists()) {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let input = fs::read_link(process.join("fd/0")).unwrap_or_default();
            let holds = line.starts_with("sleep 7200") && input.display().to_string().starts_with(&here);
            let serves = line.starts_with("socat") && line.contains("bind=10.78.0.");
            let ours = fs::read_link(process.join("ns/net")).ok()
                == fleet.enter(|| fs::read_link("/proc/thread-self/ns/net").ok());
            if holds || (serves && ours) {
                found.push(line);
            }
        }
        found
    };
    while !serving().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", serving());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_file_leaves_this_machine_once() {
    let Some(fleet) = fleet(3_000_000) else { return };
    let ran = apply(&fleet).exits(0);
    let from = sources(&ran);
    assert_eq!(from.iter().filter(|from| *from == "installer").count(), 1, "{from:?}");
    assert_eq!(from.len(), NAMES.len());
    assert_eq!(events(&ran, "fallback"), [] as [Value; 0]);
    everybody_has_it(&fleet);
    // The journal says the same.
    let journal = fs::read_to_string(fleet.records("jsonl").pop().unwrap()).unwrap();
    let takes = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut takes: Vec<String> = takes
        .filter(|line| line["state"] == "takes")
        .map(|line| line["from"].as_str().unwrap().to_string())
        .collect();
    takes.sort();
    assert_eq!(takes, from);
    fleet.hoist("plan", &["--only", "big"]).exits(0).says("Nothing to change");
    // One that has lost it gets it from those who have it, and not from here.
    fs::remove_file(fleet.root().join("w2/big")).unwrap();
    let ran = apply(&fleet).exits(0);
    assert_eq!(sources(&ran).len(), 1);
    assert!(NAMES.contains(&sources(&ran)[0].as_str()), "{ran}");
    everybody_has_it(&fleet);
}

#[test]
fn each_site_gets_it_once_and_the_inventory_can_forbid_it() {
    let Some(fleet) = fleet(300_000) else { return };
    let plain = fs::read_to_string(fleet.path("inventory.yaml")).unwrap();
    let mut text = format!("sites: [north, south]\n{plain}");
    for (name, site) in NAMES.iter().zip(["north", "south", "north", "south"]) {
        text = text.replace(&format!("  {name}: {{"), &format!("  {name}: {{site: {site}, "));
    }
    fleet.write("inventory.yaml", &text);
    let from = sources(&apply(&fleet).exits(0));
    assert_eq!(from.iter().filter(|from| *from == "installer").count(), 2, "{from:?}");
    everybody_has_it(&fleet);
    for name in NAMES {
        fs::remove_file(fleet.root().join(name).join("big")).unwrap();
    }
    fleet.write("inventory.yaml", &plain.replace("artifacts: {", "artifacts: {from: installer, "));
    assert_eq!(sources(&apply(&fleet).exits(0)), ["installer"; 4]);
    everybody_has_it(&fleet);
}

/// A program in place of socat on some hosts: the real one where it listens, and this where it connects.
fn connects(fleet: &Fleet, hosts: &[usize], connect: &str) {
    replace(
        fleet,
        hosts,
        &format!("case \"$*\" in *LISTEN*) exec {} \"$@\" ;; esac\n{connect}", fleet.path("real").display()),
    );
}

fn replace(fleet: &Fleet, hosts: &[usize], text: &str) {
    let (real, path) = (fleet.path("real"), fleet.path("socat"));
    fleet.write("socat", &format!("#!/bin/sh\n{text}\n"));
    for host in hosts {
        let (real, path) = (real.display(), path.display());
        let script = format!(
            "set -e; it=$(readlink -f \"$(command -v socat)\"); [ -e {real} ] || cp \"$it\" {real}; chmod 755 {path}; mount --bind {path} \"$it\""
        );
        fleet.on("2222", *host, &script);
    }
}

#[test]
fn where_hosts_cannot_fetch_from_each_other_it_comes_from_here_and_that_is_said() {
    let Some(fleet) = fleet(300_000) else { return };
    replace(&fleet, &[0, 1, 2, 3], "echo 'it is broken' >&2; exit 1");
    let ran = apply(&fleet).exits(0);
    assert_eq!(sources(&ran), ["installer"; 4]);
    let said = events(&ran, "fallback");
    assert!(!said.is_empty() && said.len() <= 6, "{said:?}");
    assert!(said.iter().all(|event| event["reason"].as_str().unwrap().contains("cannot listen")), "{said:?}");
    everybody_has_it(&fleet);
}

#[test]
fn one_that_reaches_nobody_is_sent_to_and_the_others_go_on() {
    let Some(fleet) = fleet(300_000) else { return };
    connects(&fleet, &[2], "echo 'no route to host' >&2; exit 1");
    let ran = apply(&fleet).exits(0);
    let from: Vec<(String, String)> = events(&ran, "received")
        .iter()
        .map(|event| (event["host"].as_str().unwrap().into(), event["from"].as_str().unwrap().into()))
        .collect();
    assert!(from.contains(&("w2".into(), "installer".into())), "{from:?}");
    for event in events(&ran, "fallback") {
        assert_eq!(event["host"], "w2", "{event}");
        assert!(event["reason"].as_str().unwrap().contains("no route to host"), "{event}");
    }
    everybody_has_it(&fleet);
}

#[test]
fn a_neighbour_that_sends_something_else_is_found_out() {
    let Some(fleet) = fleet(300_000) else { return };
    // As many bytes, and others.
    connects(&fleet, &[0, 1, 2, 3], "head -c 300000 /dev/zero");
    let ran = apply(&fleet).exits(0);
    assert_eq!(sources(&ran), ["installer"; 4]);
    let said = events(&ran, "fallback");
    assert!(!said.is_empty(), "{ran}");
    assert!(said.iter().all(|event| event["reason"].as_str().unwrap().contains("digest")), "{said:?}");
    everybody_has_it(&fleet);
}

#[test]
fn a_run_that_is_killed_leaves_nobody_who_serves_and_the_next_one_goes_on() {
    let Some(fleet) = fleet(60_000_000) else { return };
    for pause in [300u64, 700, 1100] {
        let roles = fleet.path("roles");
        let mut command = fleet.command(&["apply", "--roles", roles.to_str().unwrap(), "--only", "big"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(pause));
        kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        nobody_serves(&fleet);
    }
    apply(&fleet).exits(0);
    everybody_has_it(&fleet);
}

/// Serves this body on a host of its own to everybody who asks for `/file` with whatever extension. Gives the address, and how
/// often it was asked for.
pub fn serve(fleet: &Fleet, body: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let (address, count) = (address(0), Arc::new(AtomicUsize::new(0)));
    let listener = fleet.enter(|| std::net::TcpListener::bind((address.as_str(), 0)).unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]);
            // Whoever asks a proxy says the whole address.
            let asked = request.split(' ').nth(1).unwrap_or_default();
            let found = asked.rsplit('/').next().is_some_and(|name| name.split('.').next() == Some("file"));
            let (status, body) = if found { ("200 OK", &body[..]) } else { ("404 Not Found", &b""[..]) };
            let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            counted.fetch_add(usize::from(found), Ordering::SeqCst);
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    (url, count)
}

#[test]
fn hosts_fetch_for_themselves_where_they_can() {
    let Some(fleet) = fleet(300_000) else { return };
    let content = fs::read(fleet.path("file")).unwrap();
    let (url, count) = serve(&fleet, content.clone());
    role(&fleet, &digest(&content), &format!(", url: '{url}/file'"));
    let ran = apply(&fleet).exits(0);
    assert_eq!(
        sources(&ran),
        [format!("{url}/file"), format!("{url}/file"), format!("{url}/file"), format!("{url}/file")]
    );
    assert_eq!(count.load(Ordering::SeqCst), 4);
    everybody_has_it(&fleet);
    // Where it is not there it comes from here, once.
    for name in NAMES {
        fs::remove_file(fleet.root().join(name).join("big")).unwrap();
    }
    role(&fleet, &digest(&content), &format!(", url: '{url}/none'"));
    let ran = apply(&fleet).exits(0);
    assert_eq!(sources(&ran).iter().filter(|from| *from == "installer").count(), 1, "{ran}");
    assert_eq!(events(&ran, "fallback").len(), 4, "{ran}");
    everybody_has_it(&fleet);
}
