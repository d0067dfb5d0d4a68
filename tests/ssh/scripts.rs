//! Scripts and forwards over a real server.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use hoist::transport::{Error, Script, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::sshd::Sshd;

#[tokio::test]
async fn a_script_and_its_output() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    assert_eq!(host.name(), "cp1");
    let output = host.run(Script::new("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((output.status, &output.stdout[..], &output.stderr[..]), (3, &b"out\n"[..], &b"err\n"[..]));
    let output =
        host.run(Script::new("head -c 20000000 /dev/zero; cat").stdin("it's".to_owned().into())).await;
    assert_eq!(output.unwrap().stdout.len(), 20_000_004);
    let error = host.run(Script::new("head -c 100000000 /dev/zero")).await.unwrap_err();
    assert!(matches!(error, Error::TooMuchOutput { .. }), "{error}");
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn many_callers_at_once() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let calls = (0..50).map(|i| {
        let host = host.clone();
        async move {
            let output = host.run(Script::new(format!("echo {i}; echo {i} >&2"))).await.unwrap();
            let expected = format!("{i}\n").into_bytes();
            assert_eq!((&output.stdout, &output.stderr), (&expected, &expected));
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn a_hung_script_does_not_end_the_connection() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let started = Instant::now();
    let hung = Script::new("echo waiting for a lock >&2; sleep 1000").timeout(Duration::from_millis(200));
    let error = host.run(hung).await.unwrap_err();
    let named = matches!(&error, Error::Timeout { output, .. } if output == "waiting for a lock");
    assert!(named, "{error}");
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn forwards() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(&question).unwrap();
        question.len()
    });
    let stream = host.forward(to).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent = vec![42; 3_000_000];
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut answer = Vec::new();
    let (answered, ()) = tokio::join!(reader.read_to_end(&mut answer), write);
    answered.unwrap();
    assert_eq!(server.join().unwrap(), sent.len());
    assert!(answer == sent);
    // Nobody listens there any more.
    let Err(error) = host.forward(to).await else { panic!("connected") };
    assert!(matches!(&error, Error::Forward { reason, .. } if reason == "Connection refused"), "{error}");
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn forwards_that_the_server_forbids() {
    let Some(sshd) = Sshd::with("AllowTcpForwarding no") else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let Err(error) = host.forward(sshd.address()).await else { panic!("connected") };
    assert!(error.to_string().ends_with("(administratively prohibited: open failed)"), "{error}");
}

#[tokio::test]
async fn each_of_many_forwards_is_told_its_own_reason() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nobody can connect to a broadcast address.
    let attempts = (0..40).map(|i| {
        let host = &host;
        async move {
            let to = if i % 2 == 0 { closed } else { "255.255.255.255:9".parse().unwrap() };
            match host.forward(to).await {
                Err(Error::Forward { to, reason, .. }) => (to.starts_with("127."), reason),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("connected to {to}"),
            }
        }
    });
    for (closed, reason) in futures::future::join_all(attempts).await {
        assert_eq!(reason == "Connection refused", closed, "{reason}");
    }
    assert_eq!(host.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}
