//! What happens to servers: nodes lose their power, links are cut and slow, a disk is full, nodes come and go.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::stage::{Lab, said, wait};

/// Two nodes in the north, one in the south.
const UP: [&str; 3] = ["up", "--nodes", "a=10.77.0.31@north,b=10.77.0.32@north,c=10.77.0.33@south"];

fn address(node: &str) -> &'static str {
    match node {
        "a" => "10.77.0.31",
        "b" => "10.77.0.32",
        "c" => "10.77.0.33",
        "d" => "10.77.0.34",
        _ => panic!("no node {node}"),
    }
}

/// Which of the nodes `all` each of `nodes` reaches. Asked all at once, for silence takes its time: a second, after which
/// the kernel asks again for an address that it asked for in vain while the link was cut.
fn reach<const N: usize>(lab: &Lab, nodes: [&str; N], all: &[&str]) -> [String; N] {
    let ask = &|node: &str| {
        let ping = |other: &&str| {
            format!("{{ ping -q -c 1 -W 1.2 {} >/dev/null && echo {other}; }} &", address(other))
        };
        let pings: String = all.iter().filter(|other| **other != node).map(ping).collect();
        let output = lab.on(node, &format!("{pings} wait"));
        let mut found: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().split_whitespace().collect();
        found.sort_unstable();
        found.join(" ")
    };
    thread::scope(|scope| nodes.map(|node| scope.spawn(move || ask(node))).map(|asked| asked.join().unwrap()))
}

/// Fails unless each of `nodes` comes to reach just these of the nodes `all`: a link that has been healed may take a
/// moment, until the kernel asks for the other address again.
#[track_caller]
fn reaches<const N: usize>(lab: &Lab, nodes: [&str; N], all: &[&str], expected: [&str; N]) {
    let mut found = reach(lab, nodes, all);
    for _ in 0..4 {
        if found == expected {
            return;
        }
        found = reach(lab, nodes, all);
    }
    assert_eq!(found, expected);
}

/// The shortest of three round trips, in milliseconds.
fn round_trip(lab: &Lab, node: &str, other: &str) -> f64 {
    let output = lab.on(node, &format!("ping -q -c 3 -i 0.2 -W 2 {}", address(other)));
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, numbers) = text.split_once("mdev = ").unwrap_or_else(|| panic!("no answer: {text}"));
    numbers.split('/').next().unwrap().parse().unwrap()
}

/// The rules as they are kept.
fn rules(lab: &Lab) -> String {
    fs::read_to_string(lab.folder().join("run/links.json")).unwrap_or_default()
}

#[test]
fn what_happens_to_servers_happens_to_nodes() {
    let Some(lab) = Lab::open("lab-power") else { return };
    let before = lab.traces();
    lab.ok(&UP);
    assert_eq!(lab.status()[2]["site"], "south");

    power(&lab);
    cuts(&lab);
    slow_links(&lab);
    full_disk(&lab);
    let marks = lab.marks();
    killed_commands(&lab);

    // One node goes, the others stay.
    let boot = lab.boot("a");
    lab.ok(&["down", "d", "b"]);
    let status = lab.status();
    let names: Vec<_> =
        status.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(lab.boot("a"), boot);

    lab.ok(&["slow", "a", "--delay", "1ms"]);
    lab.close(&before, &marks);
}

fn power(lab: &Lab) {
    // A power cut reaches no service.
    let service =
        "systemd-run -q --unit=last --property=ExecStop='/bin/sh -c \"echo bye >> /root/last\"' sleep 999";
    lab.on("a", &format!("echo kept > /root/data; sync; {service}"));
    let boots = [lab.boot("a"), lab.boot("b")];
    let since = Instant::now();
    lab.ok(&["stop", "a"]);
    assert!(since.elapsed() < Duration::from_secs(5), "no shutdown: {:?}", since.elapsed());
    assert_eq!(lab.status()[0]["state"], "stopped");
    assert_eq!(lab.status()[0]["address"], address("a"));
    assert!(said(&lab.run(&["stop", "a"])).contains("a was stopped already"));

    lab.ok(&["start", "a"]);
    assert!(said(&lab.run(&["start", "a", "b"])).contains("b is running already"));
    assert_ne!(lab.boot("a"), boots[0]);
    assert_eq!(lab.boot("b"), boots[1], "the other one was left alone");
    assert_eq!(lab.on("a", "cat /root/data; hostname -I").stdout, b"kept\n10.77.0.31 \n");

    // An order to shut down does.
    assert!(!lab.on("a", "cat /root/last").status.success());
    lab.on("a", service);
    lab.ok(&["stop", "--gently", "a"]);
    lab.ok(&["start", "a"]);
    assert_eq!(lab.on("a", "cat /root/last").stdout, b"bye\n");

    // A site is all nodes that stand there.
    let boots = [lab.boot("a"), lab.boot("b"), lab.boot("c")];
    lab.ok(&["stop", "north", "b"]);
    let states = || [0, 1, 2].map(|node| lab.status()[node]["state"].as_str().unwrap().to_owned());
    assert_eq!(states(), ["stopped", "stopped", "running"]);
    assert!(said(&lab.run(&["stop", "north"])).contains("b was stopped already"));
    lab.ok(&["start", "north"]);
    assert_eq!(states(), ["running"; 3]);
    assert_eq!(lab.boot("c"), boots[2], "the other site was left alone");

    for verb in ["stop", "start", "down"] {
        let refused = lab.run(&[verb, "a", "nobody"]);
        assert_eq!(refused.status.code(), Some(64));
        assert!(said(&refused).contains("no node `nobody`"));
    }
    assert_eq!(lab.status()[0]["state"], "running", "nothing is done when a name is wrong");

    // All is as it was asked for: nothing changes.
    let boots = [lab.boot("a"), lab.boot("b"), lab.boot("c")];
    assert!(said(&lab.run(&UP)).contains("running already"));
    assert_eq!([lab.boot("a"), lab.boot("b"), lab.boot("c")], boots);
}

fn cuts(lab: &Lab) {
    lab.ok(&["cut", "a", "b"]);
    let three = ["a", "b", "c"];
    reaches(lab, three, &three, ["c", "c", "a b"]);
    let once = rules(lab);
    lab.ok(&["cut", "b", "a"]);
    assert_eq!(
        rules(lab).matches("cut").count(),
        once.matches("cut").count(),
        "a second time changes nothing"
    );

    // Cut off from everything, this machine included, and still after a reboot of its own.
    lab.ok(&["cut", "c"]);
    assert_eq!(lab.status()[2]["state"], "unseen");
    assert_eq!(lab.run(&["ssh", "c"]).status.code(), Some(69));
    reaches(lab, ["a"], &three, [""]);
    lab.ok(&["stop", "c"]);
    lab.ok(&["start", "c"]);
    lab.ok(&["heal", "c", "gateway"]);
    wait("c answers", || lab.status()[2]["state"] == "running");
    reaches(lab, ["c"], &three, [""]);

    lab.ok(&["heal"]);
    reaches(lab, ["a"], &three, ["b c"]);
    assert!(lab.ok(&["status"]).lines().skip(1).all(|line| line.ends_with('-')));

    // A site goes on inside, and a node that is added to it is on its side. Nodes of other kinds go together.
    lab.ok(&["cut", "north", "south"]);
    lab.ok(&["up", "--disk", "1G", "--nodes", "d=10.77.0.34@south"]);
    let four = ["a", "b", "c", "d"];
    reaches(lab, four, &four, ["b", "a", "d", "c"]);
    lab.ok(&["heal", "d"]);
    reaches(lab, four, &four, ["b d", "a d", "d", "a b c"]);
    lab.ok(&["heal", "north", "south"]);
    reaches(lab, ["c"], &four, ["a b d"]);

    let refused = lab.run(&["cut", "a", "west"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(said(&refused).contains("`west` is neither a node nor a site"));
}

fn slow_links(lab: &Lab) {
    assert!(round_trip(lab, "a", "b") < 20.0);
    lab.ok(&["slow", "a", "b", "--delay", "50ms"]);
    let both = [round_trip(lab, "a", "b"), round_trip(lab, "b", "a")];
    assert!(both.iter().all(|time| (100.0..150.0).contains(time)), "{both:?}");
    assert!(round_trip(lab, "a", "c") < 20.0, "only there");

    // The port of a node that reboots is another one.
    lab.reboot("b");
    assert!(round_trip(lab, "b", "a") >= 100.0);

    // SSH over a slow link, with frames that the kernel did not cut to size yet; what arrives is what was sent.
    lab.ok(&["slow", "c", "gateway", "--delay", "10ms", "--rate", "20mbit"]);
    let since = Instant::now();
    let output = lab.on("c", "head -c 2500000 /dev/urandom > r; cat r; md5sum < r >&2");
    let took = since.elapsed();
    let mut sum = Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    let sum = sum.wait_with_output().unwrap().stdout;
    assert_eq!(output.stdout.len(), 2_500_000);
    assert_eq!(output.stderr, sum);
    assert!(took > Duration::from_secs(1), "20 Mbit at 20 Mbit/s take a second: {took:?}");

    lab.ok(&["slow", "a", "c", "--loss", "50%"]);
    let output = lab.on("a", &format!("ping -q -c 100 -i 0.005 -W 1 {}", address("c")));
    let text = String::from_utf8(output.stdout).unwrap();
    let received: u32 =
        text.split(", ").find_map(|part| part.strip_suffix(" received")).unwrap().parse().unwrap();
    // A quarter comes back; 5 and 60 are five and eight standard deviations away.
    assert!((5..60).contains(&received), "{text}");

    // Without its relay a slow link is cut; that is said, and the same command again puts it right.
    let relay = fs::read_dir("/proc").unwrap().flatten().find_map(|item| {
        let words = fs::read_to_string(item.path().join("cmdline")).ok()?;
        let ours = words.contains(lab.name) && words.ends_with("\0relay\0");
        ours.then(|| item.file_name().to_str()?.parse::<i32>().ok())?
    });
    kill(Pid::from_raw(relay.unwrap()), Signal::SIGKILL).unwrap();
    wait("the end of the relay is seen", || said(&lab.run(&["status"])).contains("hoist lab heal"));
    lab.ok(&["slow", "a", "b", "--delay", "50ms"]);
    assert!(round_trip(lab, "a", "b") >= 100.0);
    assert!(!said(&lab.run(&["status"])).contains("hoist lab heal"));

    let table = lab.ok(&["status"]);
    assert!(table.contains("slow (50%): c; slow (50ms): b"), "{table}");
    lab.ok(&["heal"]);
    assert!(round_trip(lab, "a", "b") < 20.0);
}

fn full_disk(lab: &Lab) {
    let write = || lab.on("d", "dd if=/dev/zero of=/root/x bs=1M count=30 2>&1; rm -f /root/x").stdout;
    lab.ok(&["fill", "d", "--leave", "10M"]);
    assert!(String::from_utf8(write()).unwrap().contains("No space left"));
    // It may be said again, with another number.
    lab.ok(&["fill", "d", "--leave", "60M"]);
    lab.ok(&["fill", "d", "--leave", "60M"]);
    let free = String::from_utf8(lab.on("d", "df -m --output=avail / | tail -1").stdout).unwrap();
    assert!((55..=61).contains(&free.trim().parse::<u32>().unwrap()), "{free}");
    assert!(!String::from_utf8(write()).unwrap().contains("No space left"));
    lab.ok(&["fill", "d"]);
    assert!(String::from_utf8(write()).unwrap().contains("No space left"));
    lab.ok(&["fill", "d", "--undo"]);
    lab.ok(&["fill", "d", "--undo"]);
    assert!(!String::from_utf8(write()).unwrap().contains("No space left"));

    // The disk stays when the node is off, and when the machine has forgotten its mounts.
    lab.on("d", "echo kept > /root/data");
    lab.ok(&["stop", "d"]);
    lab.ok(&["start", "d"]);
    assert_eq!(lab.on("d", "cat /root/data").stdout, b"kept\n");

    let refused = lab.run(&["fill", "a"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(said(&refused).contains("no disk of its own"));
}

/// Commands that are killed at any moment leave what the next one can go on from.
fn killed_commands(lab: &Lab) {
    for round in 0..12 {
        let arguments: &[&str] = match round % 3 {
            0 => &["cut", "a", "b"],
            1 => &["slow", "a", "b", "--delay", "20ms"],
            _ => &["heal"],
        };
        let mut child = lab.command(arguments).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 4));
        let _ = child.kill();
        child.wait().unwrap();
        lab.ok(&["status"]);
    }
    lab.ok(&["slow", "a", "b", "--delay", "20ms"]);
    assert!(round_trip(lab, "a", "b") >= 40.0);
    lab.ok(&["heal"]);
    assert!(!said(&lab.run(&["status"])).contains("hoist lab heal"));
    assert!(round_trip(lab, "a", "b") < 20.0);
}
