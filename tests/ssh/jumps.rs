//! Hosts behind other hosts: every server is a real one on this machine.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hoist::{
    cli::trust::trust,
    exit::Exit,
    transport::{Agent, Error, Route, Script, Target, Transfer, connect, dial_from},
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    cuts::through,
    login::refusal,
    proxy::{Cut, Proxy},
    support::sshd::Sshd,
};

fn behind(hop: Target, target: Target) -> Target {
    Target { route: Route::Jump(Arc::new(hop)), ..target }
}

fn named(name: &str, target: Target) -> Target {
    Target { name: name.into(), ..target }
}

fn cause(error: &Error) -> &Error {
    match error {
        Error::Jump { cause, .. } => cause,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn one_hop_and_two() {
    let (Some(a), Some(b), Some(c)) = (Sshd::start(), Sshd::start(), Sshd::start()) else { return };
    let one = behind(named("a", a.target()), c.target());
    let host = connect(&one).await.unwrap();
    assert_eq!(host.run(Script::new("id -u")).await.unwrap().stdout, b"0\n");
    let two = behind(behind(named("a", a.target()), named("b", b.target())), c.target());
    let host = connect(&two).await.unwrap();
    assert_eq!(host.run(Script::new("id -u")).await.unwrap().stdout, b"0\n");
    // The first hop was connected to already.
    assert_eq!((a.logins(), b.logins(), c.logins()), (1, 1, 2));
    let jumps: Vec<&str> = two.jumps().iter().map(|jump| jump.name.as_str()).collect();
    assert_eq!(jumps, ["a", "b"]);
}

#[tokio::test]
async fn one_connection_for_all_hosts_behind_it() {
    // What is allowed of sessions and of logins that are not finished does not matter to tunnels.
    let Some(bastion) = Sshd::with("MaxSessions 1\nMaxStartups 1") else { return };
    let Some(inner) = Sshd::start() else { return };
    let target = behind(bastion.target(), inner.target());
    let hosts = join_all((0..12).map(|_| connect(&target))).await;
    let answers = hosts.iter().map(|host| host.as_ref().unwrap().run(Script::new("echo $$")));
    for answer in join_all(answers).await {
        assert_eq!(answer.unwrap().status, 0);
    }
    assert_eq!((bastion.logins(), inner.logins()), (1, 12));
    drop(hosts);
    // It ended with the last of them; who comes later opens another.
    tokio::time::sleep(Duration::from_millis(300)).await;
    connect(&target).await.unwrap();
    assert_eq!(bastion.logins(), 2);
}

#[tokio::test]
async fn what_a_jump_host_reaches_is_asked_over_the_connection_to_it() {
    let (Some(bastion), Some(inner)) = (Sshd::start(), Sshd::start()) else { return };
    let host = connect(&behind(bastion.target(), inner.target())).await.unwrap();
    let Route::Jump(hop) = host.route() else { panic!("it is behind another") };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
    let mut heard = String::new();
    dial_from(&hop, to).await.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!((heard.as_str(), bastion.logins()), ("hello", 1));
    server.join().unwrap();
    let refused = dial_from(&hop, to).await.err().unwrap();
    assert!(matches!(&*refused, Error::Forward { .. }), "{refused}");
}

#[tokio::test]
async fn another_user_or_key_is_another_connection() {
    let (Some(bastion), Some(inner)) = (Sshd::start(), Sshd::start()) else { return };
    let first = connect(&behind(bastion.target(), inner.target())).await.unwrap();
    let stranger = Target { keys: vec![bastion.keygen("stranger", "ed25519", "")], ..bastion.target() };
    let error = refusal(&behind(stranger, inner.target())).await;
    assert!(matches!(cause(&error), Error::Login { .. }), "{error}");
    assert_eq!(first.run(Script::new("echo fine")).await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn what_goes_wrong_names_the_hop() {
    let (Some(a), Some(b)) = (Sshd::start(), Sshd::start()) else { return };
    let Some(closed) = Sshd::with("AllowTcpForwarding no") else { return };
    // The hop's key has changed.
    a.keygen("old", "ed25519", "");
    let changed = named("bastion", a.target());
    a.write_known_hosts(&["old"]);
    let error = refusal(&behind(changed, b.target())).await;
    assert!(matches!(cause(&error), Error::HostKeyChanged { host, .. } if host == "bastion"), "{error}");
    assert_eq!(error.exit(), Exit::Permission);
    let text = error.to_string();
    assert!(
        text.starts_with("failed to connect to cp1 through bastion: the key of bastion has changed"),
        "{text}"
    );
    assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("ssh-keygen -R"));
    // The hop forbids it.
    let error = refusal(&behind(named("bastion", closed.target()), b.target())).await;
    assert_eq!(
        error.to_string(),
        format!(
            "failed to connect to cp1 through bastion: failed to reach 127.0.0.1:{} from bastion \
             (administratively prohibited: open failed)",
            b.port
        )
    );
    // Nothing listens behind it.
    let nothing = Target { port: 1, ..b.target() };
    let error = refusal(&behind(named("bastion", a.target()), nothing)).await;
    assert!(error.to_string().ends_with("from bastion (Connection refused)"), "{error}");
    assert_eq!(error.exit(), Exit::Unavailable);
    // What is behind it is not what is known.
    b.keygen("old", "ed25519", "");
    let target = behind(named("bastion", a.target()), b.target());
    b.write_known_hosts(&["old"]);
    let error = refusal(&target).await;
    assert!(matches!(&error, Error::HostKeyChanged { host, .. } if host == "cp1"), "{error}");
}

#[tokio::test]
async fn a_hop_that_does_not_answer_is_waited_for_once() {
    let Some(inner) = Sshd::start() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hop = Target {
        port: silent.local_addr().unwrap().port(),
        connect_timeout: Duration::from_millis(500),
        agent: Agent::Off,
        ..inner.target()
    };
    let target = behind(named("bastion", hop), inner.target());
    let start = Instant::now();
    for error in join_all((0..10).map(|_| refusal(&target))).await {
        assert!(matches!(cause(&error), Error::NoAnswer { host, .. } if host == "bastion"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    silent.set_nonblocking(true).unwrap();
    assert_eq!(silent.incoming().take_while(Result::is_ok).count(), 1);
}

#[tokio::test]
async fn a_hop_that_goes_away() {
    let (Some(bastion), Some(inner)) = (Sshd::start(), Sshd::start()) else { return };
    let proxy = Proxy::start(bastion.address(), Cut::Close).await;
    let hop = named("bastion", through(&bastion, &proxy));
    let host = connect(&behind(hop, inner.target())).await.unwrap();
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.cut();
    };
    let (gone, ()) = tokio::join!(host.run(Script::new("sleep 60")), cut);
    match gone {
        Err(error @ Error::Lost { .. }) => {
            assert!(error.to_string().contains("the connection to bastion was lost"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let error = host.run(Script::new("true")).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}

#[tokio::test]
async fn large_files_and_forwards_at_the_same_time() {
    let (Some(a), Some(b), Some(c)) = (Sshd::start(), Sshd::start(), Sshd::start()) else { return };
    let host = connect(&behind(behind(a.target(), b.target()), c.target())).await.unwrap();
    let content: Vec<u8> = (0..24_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let source = c.path("source");
    fs::write(&source, &content).unwrap();
    let destination = c.path("destination");
    let digest = Sha256::digest(&content);
    let transfer = Transfer {
        source,
        destination: destination.display().to_string(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        mode: 0o600,
        beside: None,
    };
    // Meanwhile as much comes the other way as fits.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let sent = content.clone();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(&sent).unwrap());
    let mut stream = host.forward(to).await.unwrap();
    let mut received = Vec::new();
    let both = async { tokio::join!(host.send(&transfer, &|_| {}), stream.read_to_end(&mut received)) };
    let (sent, read) = tokio::time::timeout(Duration::from_secs(120), both).await.expect("it hangs");
    sent.unwrap();
    read.unwrap();
    assert!(received == content && fs::read(destination).unwrap() == content);
    // Nothing is left over that would confuse the next.
    let mut echo = host.forward(c.address()).await.unwrap();
    let mut banner = [0; 8];
    echo.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    echo.shutdown().await.unwrap();
}

#[tokio::test]
async fn trust_begins_with_the_jump_hosts() {
    let (Some(a), Some(b)) = (Sshd::start(), Sshd::start()) else { return };
    let file = a.path("new/known_hosts");
    let target = |sshd: &Sshd| Target { known_hosts: vec![file.clone()], ..sshd.target() };
    let target = behind(named("bastion", target(&a)), target(&b));
    let unknown = refusal(&target).await;
    assert!(matches!(cause(&unknown), Error::HostKeyUnknown { host, .. } if host == "bastion"), "{unknown}");
    // Declined, for there is no terminal: what is behind it cannot be asked.
    let declined = trust(std::slice::from_ref(&target), false).await;
    assert_eq!((declined.known, declined.recorded, declined.declined), (0, 0, 1));
    assert!(matches!(&declined.failures[..], [Error::Jump { .. }]), "{:?}", declined.failures);

    let trusted = trust(std::slice::from_ref(&target), true).await;
    assert_eq!((trusted.known, trusted.recorded, trusted.failures.len()), (0, 2, 0));
    connect(&target).await.unwrap();
    let again = trust(&[target.clone(), target], true).await;
    assert_eq!((again.known, again.recorded, again.failures.len()), (2, 0, 0));
}
