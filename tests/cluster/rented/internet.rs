//! What is between an office and EC2: the office's NAT router, the internet, and the router of a VPC. The lab's own machine
//! plays them; between machines and instances there is no other way.

use std::{
    fs::File,
    io::{self, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
};

use nix::sched::{CloneFlags, setns};

/// The network of the machines.
pub const LAN: &str = "10.77.0.0/25";
/// That of the VPC, and its parts: for workers and for the gateway.
pub const VPC: &str = "10.77.0.128/25";
pub const WORKERS: &str = "10.77.0.128/26";
pub const GATEWAYS: &str = "10.77.0.192/28";
/// The gateway's address in the internet: what the emulator gives to whom asks for one.
pub const PUBLIC: &str = "203.0.113.7";
/// A server in the internet.
pub const SERVER: &str = "198.51.100.1";
/// The lab's own machine, which every node reaches, as EC2 itself does.
const HERE: &str = "10.77.0.1";

/// The internet, and the office's router: machines come to the gateway with an address that is not theirs.
pub fn open(lab: &str, gateway: &str) {
    inside(lab, "ip", &["address", "add", &format!("{SERVER}/32"), "dev", "gateway0"], "");
    // It would tell machines of a shorter way, which the internet has not.
    for device in ["all", "gateway0"] {
        inside(lab, "sysctl", &["-qw", &format!("net.ipv4.conf.{device}.send_redirects=0")], "");
    }
    let rules = format!(
        "table ip internet {{\n\
           chain arrive {{ type nat hook prerouting priority dstnat;\n\
             ip daddr {PUBLIC} udp dport 51820 dnat to {gateway}\n }}\n\
           chain leave {{ type nat hook postrouting priority srcnat;\n\
             ip daddr {gateway} udp dport 51820 masquerade\n }}\n}}\n"
    );
    inside(lab, "nft", &["-f", "-"], &rules);
}

/// What the routes of the VPC come to for a worker: machines and the internet are behind the gateway. EC2's own services, and
/// whoever looks into the node from outside, are not.
pub fn route(lab: &str, node: &str, gateway: &str) {
    let routes = format!(
        "ip route replace {HERE} dev host0 && ip route replace 169.254.169.254 via {HERE} && \
         ip route replace {LAN} via {gateway} && ip route replace default via {gateway}"
    );
    self::lab(lab, &["lab", "ssh", node, "--", &routes]).unwrap();
}

/// Instances and machines are in the lab's one network: what they send each other without a router is lost.
pub fn no_other_way(lab: &str) {
    self::lab(lab, &["lab", "cut", "office", "ec2"]).unwrap();
}

/// `hoist lab`, one at a time, as it wants it; or what it said.
pub fn lab(lab: &str, arguments: &[&str]) -> Result<(), String> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    let output = command.args(arguments).env("HOIST_LAB", lab).stdin(Stdio::null()).output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// EC2's address in the internet: whoever comes there, out of a pod as well, is passed on to the emulator, which listens on this
/// machine's loopback alone. The new URL.
pub fn forward(lab: &str, url: &str) -> String {
    const PORT: u16 = 5000;
    let network = File::open(format!("/run/netns/{lab}")).unwrap();
    let (pass, passed) = mpsc::channel();
    thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind((SERVER, PORT)).unwrap();
        listener.incoming().flatten().for_each(|client| pass.send(client).unwrap());
    });
    let emulator = url.trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for client in passed {
            // An emulator that has ended is one that does not answer.
            let _ = TcpStream::connect(&emulator).and_then(|server| join(&client, &server));
        }
    });
    format!("http://{SERVER}:{PORT}")
}

/// What each says is told the other.
fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write));
        });
    }
    Ok(())
}

fn inside(lab: &str, program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", lab, program]).args(arguments).stdin(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(running.wait().unwrap().success(), "{command:?}");
}
