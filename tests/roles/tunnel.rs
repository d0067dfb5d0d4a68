//! What keeps a machine's end of the tunnel, run by a real shell among programs that only write down how they were called.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::bed::{compiled, laid_out};

const KEY: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
const GATEWAY: &str = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=";

/// A machine of which the cluster knows nothing yet.
struct Machine {
    root: TempDir,
    script: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let roles = compiled("burst.yaml");
        let w1 = &roles.iter().find(|(host, _)| host == "w1").unwrap().1;
        let content = laid_out(w1, "/usr/local/sbin/hoist-tunnel");
        let here = root.path().to_str().unwrap();
        let script = at("hoist-tunnel");
        fs::write(
            &script,
            content.replace("/etc/wireguard", here).replace("/run/hoist-tunnel", &format!("{here}/run")),
        )
        .unwrap();
        fs::create_dir(at("bin")).unwrap();
        let program = |name: &str, text: &str| {
            let path = at("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\ncd {here}\n{text}\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let handshakes = "[ ! -e handshake ] || printf 'KEY\\t%s\\n' \"$(cat handshake)\"";
        let others = "show*) [ -e active ];; *) [ ! -e unset ] || exit 1; echo wg \"$@\" >> calls;; esac";
        program("wg", &format!("case $* in pubkey) echo {KEY};; *handshakes) {handshakes};; {others}"));
        program(
            "ip",
            "case $* in *'show root'*) cat routes 2>/dev/null;; *) [ ! -e active ] || echo there dev hoist scope link;; esac",
        );
        program(
            "systemctl",
            "echo systemctl \"$@\" >> calls\n\
             case $* in start*) [ ! -e broken ] || exit 1; touch active;; stop*|*disable*) rm -f active;; *is-active*) [ -e active ];; esac",
        );
        program(
            "kubectl",
            "case $* in\n\
             *annotate*) for word; do :; done; name=${word%%=*}; echo \"${word#*=}\" > \"${name#*/}\";;\n\
             *'get node'*) touch tunnel-key tunnel-answered; echo \"$(cat tunnel-key) $(cat tunnel-answered)\";;\n\
             *'get configmap'*) [ -e map ] || { echo Forbidden >&2; exit 1; }; cat map;;\n\
             esac",
        );
        fs::write(at("hoist.key"), "PRIVATE\n").unwrap();
        Machine { script, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// The exit status, and what the machine's own programs were called with.
    fn run(&self, arguments: &[&str]) -> (i32, Vec<String>) {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.at("bin").display());
        let ran = Command::new("sh").arg(&self.script).args(arguments).env("PATH", path).output();
        let ran = ran.unwrap();
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.at("calls"));
        let done = |call: &&str| !call.contains("is-active");
        assert!(!self.at("hoist.conf.new").exists(), "{}", String::from_utf8_lossy(&ran.stderr));
        (ran.status.code().unwrap(), calls.lines().filter(done).map(str::to_owned).collect())
    }

    fn told(&self, text: &str) {
        fs::write(self.at("map"), text).unwrap();
    }

    /// What it has written on its node.
    fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default().trim().to_owned()
    }

    fn conf(&self) -> Option<String> {
        fs::read_to_string(self.at("hoist.conf")).ok()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_tells_its_key_and_dials_as_soon_as_there_is_a_gateway() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["--check"]).0, 1);
    assert_eq!(machine.noted("tunnel-key"), "", "a check changes nothing");
    assert_eq!(machine.run(&[]), (0, vec![]));
    assert_eq!((machine.noted("tunnel-key").as_str(), machine.noted("tunnel-answered").as_str()), (KEY, ""));
    assert_eq!((machine.run(&["--check"]), machine.conf()), ((0, vec![]), None), "there is no gateway yet");

    machine.told(&format!("203.0.113.7:51820 {GATEWAY}"));
    assert_eq!((machine.run(&["--check"]), machine.conf()), ((1, vec![]), None));
    let (status, calls) = machine.run(&[]);
    let unit = "wg-quick@hoist.service";
    let assert = format!("wg set hoist peer {GATEWAY} endpoint 203.0.113.7:51820");
    let expected = [
        format!("systemctl stop {unit}"),
        format!("systemctl -q enable {unit}"),
        format!("systemctl start {unit}"),
        assert.clone(),
    ];
    assert_eq!((status, calls), (0, expected.to_vec()));
    insta::assert_snapshot!(machine.conf().unwrap(), @r"
    [Interface]
    PrivateKey = PRIVATE
    MTU = 1400
    Table = off
    PostUp = ip -4 route replace 172.16.0.0/22 dev %i src 192.168.18.211
    PostUp = ip -4 route replace 172.16.4.0/22 dev %i src 192.168.18.211
    PostUp = ip -4 route replace 172.16.8.0/22 dev %i src 192.168.18.211
    [Peer]
    PublicKey = 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=
    Endpoint = 203.0.113.7:51820
    AllowedIPs = 172.16.0.0/22, 172.16.4.0/22, 172.16.8.0/22
    PersistentKeepalive = 25
    ");
    assert_eq!(mode(&machine.at("hoist.conf")), 0o600, "its key is in it");
    // A second run only says again where the gateway is.
    assert_eq!(machine.run(&["--check"]), (0, vec![]));
    assert_eq!(machine.run(&[]), (0, vec![assert]));
    // What has ended, or was taken away, is begun again.
    fs::remove_file(machine.at("active")).unwrap();
    assert_eq!(machine.run(&["--check"]).0, 1);
    assert!(machine.run(&[]).1.contains(&format!("systemctl start {unit}")));
}

#[test]
fn it_follows_the_gateway_and_ends_with_it() {
    let machine = Machine::new();
    machine.told(&format!("203.0.113.7:51820 {GATEWAY}"));
    assert_eq!(machine.run(&[]).0, 0);
    machine.told(&format!("203.0.113.8:51820 {GATEWAY}"));
    assert_eq!(machine.run(&[]).0, 0);
    assert!(machine.conf().unwrap().contains("Endpoint = 203.0.113.8:51820\n"));
    // The API server does not answer: everything stays.
    fs::remove_file(machine.at("map")).unwrap();
    assert_eq!(machine.run(&[]).0, 1);
    assert_eq!(machine.run(&["--check"]).0, 0, "nobody knows of anything to do");
    assert!(machine.conf().is_some() && machine.at("active").exists());
    // There is none any more.
    machine.told("");
    assert_eq!(machine.run(&["--check"]).0, 1);
    assert_eq!(machine.run(&[]).0, 0);
    assert!(machine.conf().is_none() && !machine.at("active").exists());
    assert_eq!((machine.run(&[]), machine.run(&["--check"])), ((0, vec![]), (0, vec![])));
}

#[test]
fn it_tells_whether_the_gateway_answers() {
    let machine = Machine::new();
    machine.told(&format!("203.0.113.7:51820 {GATEWAY}"));
    let handshake = |seconds_ago: u64| {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        fs::write(machine.at("handshake"), (now - seconds_ago).to_string()).unwrap();
    };
    let told = || {
        assert_eq!(machine.run(&[]).0, 0);
        assert_eq!(machine.run(&["--check"]), (0, vec![]), "this is no change to be made");
        machine.noted("tunnel-answered")
    };
    assert_eq!(told(), "no", "there was no handshake");
    handshake(5);
    assert_eq!(machine.run(&["--check"]), (0, vec![]));
    assert_eq!(machine.noted("tunnel-answered"), "no");
    assert_eq!(told(), "yes");
    handshake(200);
    assert_eq!(told(), "no");
    handshake(5);
    assert_eq!(told(), "yes");
    machine.told("");
    assert_eq!(told(), "no");
}

/// What it said when the tunnel was up does not stay when that does not come up again.
#[test]
fn a_tunnel_that_does_not_come_up_is_not_answered() {
    for broken in ["broken", "unset"] {
        let machine = Machine::new();
        machine.told(&format!("203.0.113.7:51820 {GATEWAY}"));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        fs::write(machine.at("handshake"), now.to_string()).unwrap();
        assert_eq!((machine.run(&[]).0, machine.noted("tunnel-answered").as_str()), (0, "yes"));
        fs::write(machine.at(broken), "").unwrap();
        machine.told(&format!("203.0.113.8:51820 {GATEWAY}"));
        assert_eq!((machine.run(&[]).0, machine.noted("tunnel-answered").as_str()), (1, "no"), "{broken}");
        fs::remove_file(machine.at(broken)).unwrap();
        assert_eq!((machine.run(&[]).0, machine.noted("tunnel-answered").as_str()), (0, "yes"), "{broken}");
    }
}

#[test]
fn what_is_reached_in_another_way_is_not_taken_over() {
    let machine = Machine::new();
    machine.told(&format!("203.0.113.7:51820 {GATEWAY}"));
    fs::write(machine.at("routes"), "172.16.4.0/24 dev eth1 proto kernel scope link src 172.16.4.9\n")
        .unwrap();
    assert_eq!(machine.run(&[]), (1, vec![]));
    assert_eq!(machine.conf(), None);
    // Its own are no others.
    fs::write(machine.at("routes"), "172.16.4.0/22 dev hoist scope link\n").unwrap();
    assert_eq!(machine.run(&[]).0, 0);
}

#[test]
fn what_is_no_gateway_is_refused_and_changes_nothing() {
    for told in [
        "203.0.113.7:51820",
        "203.0.113.7 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=",
        "$(reboot):51820 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=",
        "203.0.113.7:51820 short",
        "203.0.113.7:51820 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08= PostUp=reboot",
    ] {
        let machine = Machine::new();
        machine.told(told);
        assert_eq!(machine.run(&[]), (1, vec![]), "{told}");
        assert_eq!(machine.conf(), None, "{told}");
    }
}
