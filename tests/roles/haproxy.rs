//! What haproxy itself makes of its configuration.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hoist::{
    cluster::{Observed, targets},
    engine::{Library, Templates, compile},
    facts::Facts,
    inventory,
};

use super::{
    bed::{METAL, laid_out},
    namespace::Namespace,
    skip::skip,
};

const LIVING: [u8; 4] = [14, 15, 16, 17];

/// The configuration of the fourth of seven control planes, with its files in a folder of the test's.
fn configuration(folder: &str) -> String {
    let host = |number| format!("  cp{number}: {{address: 10.77.0.1{number}, roles: [control-plane]}}\n");
    let hosts: String = (1..8).map(host).collect();
    let text = format!(
        "cluster: {{name: seven, kubernetes: \"1.20.2\", endpoint: {{vip: 10.77.0.10}}}}\nhosts:\n{hosts}"
    );
    let inventory = inventory::parse("seven.yaml", &text).unwrap().inventory;
    let facts = |(name, host): (&String, &inventory::Host)| {
        (name.clone(), Facts::parse(&format!("{METAL}address=eth0 {}/24\n", host.address)))
    };
    let observed: Observed = inventory.hosts.iter().map(facts).collect();
    let target = targets(&inventory, &observed, None, Some(&["load-balancer".to_owned()])).remove(3);
    let roles = compile(&Library::default(), &Templates::new(Library::default()), &target).unwrap();
    laid_out(&roles, "/etc/haproxy/haproxy.cfg").replace("/var/lib/haproxy", folder)
}

/// A network with seven control planes, of which these live.
fn network(purpose: &str, living: &[u8]) -> Option<Namespace> {
    for program in ["haproxy", "curl"] {
        if Command::new(program).arg("--help").output().is_err() {
            skip(&format!("there is no {program}"));
            return None;
        }
    }
    let network = Namespace::create(purpose)?;
    // Whatever goes to an address that nobody has is lost.
    network.ip(&["link", "add", "lost", "type", "veth", "peer", "nobody"]);
    network.ip(&["link", "set", "nobody", "up"]);
    network.ip(&["link", "set", "lost", "arp", "off", "up"]);
    network.ip(&["address", "add", "10.77.0.1/24", "dev", "lost"]);
    for last in living {
        network.address(&format!("10.77.0.{last}"));
    }
    Some(network)
}

/// haproxy, until this goes.
struct Running(Child);

impl Running {
    fn with(file: &Path, configuration: &str) -> Running {
        fs::write(file, configuration).unwrap();
        Running(Command::new("haproxy").args(["-q", "-f"]).arg(file).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// As while etcd chooses a leader, when three of seven have just died: nobody's API server says that it is ready, and whoever
/// asks must not be led to the dead ones again and again.
#[test]
fn whoever_asks_finds_one_that_lives_though_none_is_ready() {
    let Some(network) = network("unready", &LIVING) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, text) = (folder.path().join("haproxy.cfg"), configuration(folder.path().to_str().unwrap()));
    network.run(move || {
        for last in LIVING {
            let living = TcpListener::bind((Ipv4Addr::new(10, 77, 0, last), 6444)).unwrap();
            thread::spawn(move || {
                for client in living.incoming().flatten() {
                    thread::spawn(move || greet(client));
                }
            });
        }
        let _balancer = Running::with(&file, &text);
        thread::sleep(Duration::from_secs(5));
        // Clients stay, so that those that live have more of them than the dead.
        let (waited, clients): (Vec<Option<Duration>>, Vec<TcpStream>) = (0..12).map(|_| ask()).unzip();
        let limit = Duration::from_secs(10);
        assert!(waited.iter().all(|it| it.is_some_and(|it| it < limit)), "{waited:?}");
        drop(clients);
    });
}

/// Before it is known that they are dead as well as while it becomes known.
#[test]
fn whoever_asks_while_three_die_finds_one_that_lives() {
    let all: Vec<u8> = (11..18).collect();
    let Some(network) = network("dying", &all) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["api".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(path.join("pem"), key.serialize_pem() + &certificate.pem()).unwrap();
    let name = network.0.clone();
    network.run(move || {
        let mut servers =
            "defaults\n  mode http\n  timeout client 1h\n  timeout server 1h\n  timeout connect 1s\n".to_owned();
        for last in all {
            servers += &format!(
                "frontend s{last}\n  bind 10.77.0.{last}:6444 ssl crt {}/pem\n  http-request return status 200\n",
                path.display()
            );
        }
        let _servers = Running::with(&path.join("servers.cfg"), &servers);
        let _balancer =
            Running::with(&path.join("haproxy.cfg"), &configuration(path.to_str().unwrap()));
        thread::sleep(Duration::from_secs(4));
        for last in 11..14 {
            let gone = ["-n", &name, "address", "del", &format!("10.77.0.{last}/32"), "dev", "lo"];
            assert!(Command::new("ip").args(gone).status().unwrap().success());
        }
        // More of them at the same time than there are, for five seconds.
        let mut clients = Vec::new();
        for _ in 0..10 {
            for _ in 0..8 {
                let mut curl = Command::new("curl");
                curl.args(["-sk", "-o", "/dev/null", "--max-time", "15", "-w", "%{http_code} %{time_total}"]);
                clients.push(curl.arg("https://127.0.0.1:6443/").stdout(Stdio::piped()).spawn().unwrap());
            }
            thread::sleep(Duration::from_millis(500));
        }
        let answers = clients.into_iter().map(|client| client.wait_with_output().unwrap().stdout);
        let answers: Vec<String> = answers.map(|text| String::from_utf8(text).unwrap()).collect();
        assert!(answers.iter().all(|answer| answer.starts_with("200 ")), "{answers:?}");
        assert!(answers.iter().any(|answer| !answer.starts_with("200 0.")), "somebody waited: {answers:?}");
    });
}

/// An API server that lives and is not ready: a look at it fails, and a client gets an answer.
fn greet(mut client: TcpStream) {
    client.write_all(b"x").ok();
    client.read_exact(&mut [0; 64]).ok();
}

/// How long a client waits for it, where it comes, and its connection.
fn ask() -> (Option<Duration>, TcpStream) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 6443))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let came = stream.read(&mut [0; 1]).is_ok_and(|bytes| bytes == 1);
    (came.then(|| begun.elapsed()), stream)
}
