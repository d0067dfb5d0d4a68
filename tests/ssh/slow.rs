//! A slow link is not a broken one: what applies to silence does not hit what only takes long.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hoist::{
    facts,
    transport::{Host, Script, Target, Transfer, connect},
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{sleep, sleep_until},
};

use crate::{cuts::through_port, support::sshd::Sshd};

/// Bytes a second, in either direction.
const RATE: usize = 200_000;
/// One way.
const DELAY: Duration = Duration::from_millis(50);

/// Passes one connection on as a link of [`RATE`] and [`DELAY`] does. It ends with the runtime. Returns its port.
async fn slow_link(server: SocketAddr) -> u16 {
    // Small buffers, so that what was written cannot hide in them.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener: TcpListener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = tokio::net::TcpStream::connect(server).await.unwrap();
        let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
        tokio::join!(pass(client_in, server_out), pass(server_in, client_out));
    });
    port
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // What does not fit waits at the sender's.
    let (sender, mut underway) = mpsc::channel(8);
    let read = async move {
        let mut buffer = [0; 2000];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            sleep(Duration::from_secs_f64(count as f64 / RATE as f64)).await;
            let arrival = tokio::time::Instant::now() + DELAY;
            if sender.send((arrival, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((arrival, bytes)) = underway.recv().await {
            sleep_until(arrival).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

/// A connection that is given up after four seconds of silence.
async fn connected(sshd: &Sshd) -> std::sync::Arc<dyn Host> {
    let target = through_port(sshd, slow_link(sshd.address()).await);
    connect(&Target { keepalive: Duration::from_secs(1), ..target }).await.unwrap()
}

/// Nobody can have been quicker than the link.
fn took_its_time(begun: Instant, bytes: usize) {
    let least = Duration::from_secs_f64(bytes as f64 / RATE as f64);
    assert!(begun.elapsed() >= least, "{:?} for {bytes} bytes: the link is not slow", begun.elapsed());
}

#[tokio::test]
async fn a_session_a_probe_and_a_file_arrive() {
    let Some(sshd) = Sshd::start() else { return };
    let begun = Instant::now();
    let host = connected(&sshd).await;
    assert!(begun.elapsed() > 8 * DELAY, "the link has no delay");
    let facts = facts::observe(&*host).await.unwrap();
    assert_eq!(facts.hostname, nix::unistd::gethostname().unwrap().to_str().unwrap());

    // Longer than the time after which a connection that is silent is lost.
    let content: Vec<u8> =
        (0..250_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (source, destination) = (sshd.path("source"), sshd.path("destination"));
    std::fs::write(&source, &content).unwrap();
    let transfer = Transfer {
        source,
        destination: destination.display().to_string(),
        sha256: Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect(),
        mode: 0o600,
        beside: None,
    };
    let begun = Instant::now();
    host.send(&transfer, &|_| {}).await.unwrap();
    took_its_time(begun, content.len());
    assert!(std::fs::read(destination).unwrap() == content);
}

/// How long a script may take is not how long its text is underway.
#[tokio::test]
async fn a_long_script_has_its_time_when_it_is_there() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connected(&sshd).await;
    let text = format!(": {}; echo there", "x".repeat(500_000));
    let begun = Instant::now();
    let output = host.run(Script::new(text).timeout(Duration::from_secs(1))).await.unwrap();
    took_its_time(begun, 500_000);
    assert_eq!(output.stdout, b"there\n");
    // And what hangs is still ended.
    let begun = Instant::now();
    let hung = host.run(Script::new("sleep 60").timeout(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(hung, hoist::transport::Error::Timeout { seconds: 1, .. }), "{hung}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
