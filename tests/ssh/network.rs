//! What answers, or does not, at the other end of a TCP connection.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use hoist::{
    exit::Exit,
    transport::{Error, Target, connect, dial, host_key},
};

use crate::support::namespace::Namespace;

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

#[tokio::test]
async fn another_network_namespace() {
    let Some(namespace) = Namespace::create("dial") else { return };
    let listener = namespace.run(|| TcpListener::bind("127.0.0.1:0").unwrap());
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
