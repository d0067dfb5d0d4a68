//! Logging in, scripts, files and forwards over a real server.

use std::{io::Read, net::TcpListener};

use hoist::transport::{Script, Transfer, connect};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::support::sshd::Sshd;

#[tokio::test]
async fn run_send_and_forward() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    let output = host.run(Script::new("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((output.status, &output.stdout[..], &output.stderr[..]), (3, &b"out\n"[..], &b"err\n"[..]));

    let content = vec![7u8; 3_000_000];
    let source = sshd.path("source");
    std::fs::write(&source, &content).unwrap();
    let destination = sshd.path("new/folder/it's here");
    let transfer = Transfer {
        source,
        destination: destination.display().to_string(),
        sha256: Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect(),
        mode: 0o750,
    };
    let seen = std::sync::Mutex::new(Vec::new());
    host.send(&transfer, &|bytes| seen.lock().unwrap().push(bytes)).await.unwrap();
    assert_eq!(std::fs::read(&destination).unwrap(), content);
    assert_eq!(seen.lock().unwrap().last(), Some(&3_000_000));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 4];
        stream.read_exact(&mut question).unwrap();
        std::io::Write::write_all(&mut stream, b"pong").unwrap();
        question
    });
    let mut stream = host.forward(to).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"pong");
    assert_eq!(&server.join().unwrap(), b"ping");
}
