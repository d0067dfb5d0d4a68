//! What answers, or does not, at the other end of a TCP connection.

use std::{
    fs::File,
    io::Write,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use hoist::{
    exit::Exit,
    transport::{Error, Target, connect, dial, host_key},
};
use nix::sched::{CloneFlags, setns};

use crate::support::skip::skip;

fn target(address: SocketAddr) -> Target {
    Target {
        port: address.port(),
        connect_timeout: Duration::from_millis(500),
        known_hosts: Vec::new(),
        ..Target::new("cp1", address.ip().to_string(), "root")
    }
}

async fn refusal(address: SocketAddr) -> Error {
    let Err(key) = host_key(&target(address)).await else { panic!("it has a key") };
    let Err(error) = connect(&target(address)).await else { panic!("connected") };
    assert_eq!(std::mem::discriminant(&key), std::mem::discriminant(&error), "{key} {error}");
    assert_eq!(error.exit(), Exit::Unavailable);
    error
}

#[tokio::test]
async fn servers_of_other_kinds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let body = "<p>not here</p>\n".repeat(2000);
            stream.unwrap().write_all(format!("HTTP/1.1 400 Bad Request\r\n\r\n{body}").as_bytes()).ok();
        }
    });
    let error = refusal(address).await;
    assert!(matches!(error, Error::NotSsh { .. } | Error::Closed { .. }), "{error}");
}

#[tokio::test]
async fn servers_that_say_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(listener.local_addr().unwrap()).await;
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn ports_that_are_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = refusal(address).await;
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

/// A network namespace that ends with this value.
struct Namespace(String);

impl Namespace {
    fn create() -> Option<Namespace> {
        let name = format!("hoist-test-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).status();
        if !made.is_ok_and(|status| status.success()) {
            skip("a network namespace cannot be made here");
            return None;
        }
        let namespace = Namespace(name);
        let up = ["link", "set", "lo", "up"];
        assert!(Command::new("ip").args(["-n", &namespace.0]).args(up).status().unwrap().success());
        Some(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).status().ok();
    }
}

#[tokio::test]
async fn another_network_namespace() {
    let Some(namespace) = Namespace::create() else { return };
    let handle = File::open(format!("/run/netns/{}", namespace.0)).unwrap();
    let inside = std::thread::spawn(move || {
        setns(handle, CloneFlags::CLONE_NEWNET).unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap()
    });
    let listener = inside.join().unwrap();
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_secs(2);
    let (stream, accepted) =
        (dial(Some(&namespace.0), address, patience).await.unwrap(), listener.accept().unwrap());
    assert_eq!(accepted.1, stream.local_addr().unwrap());
    assert!(matches!(dial(None, address, patience).await, Err(Error::Refused { .. })));
    let nowhere = "192.0.2.1:22".parse().unwrap();
    let error = dial(Some(&namespace.0), nowhere, patience).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
