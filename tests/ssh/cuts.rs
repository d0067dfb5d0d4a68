//! Connections that break: always a clear error, soon, and never a hang.

use std::time::{Duration, Instant};

use hoist::transport::{Error, Script, Target, connect};

use crate::{
    proxy::{Cut, Direction, Proxy},
    support::sshd::Sshd,
};

/// The target, reached through the proxy.
pub fn through(sshd: &Sshd, proxy: &Proxy) -> Target {
    through_port(sshd, proxy.port)
}

/// The target, reached by another port.
pub fn through_port(sshd: &Sshd, port: u16) -> Target {
    let target = Target { port, ..sshd.target() };
    let known = std::fs::read_to_string(sshd.path("known_hosts")).unwrap();
    let file = sshd.path(&format!("known_hosts_{port}"));
    std::fs::write(&file, known.replace(&format!(":{} ", sshd.port), &format!(":{port} "))).unwrap();
    Target { known_hosts: vec![file], connect_timeout: Duration::from_secs(5), ..target }
}

#[tokio::test]
async fn at_any_byte_of_connecting() {
    let Some(sshd) = Sshd::start() else { return };
    let whole = Proxy::start(sshd.address(), Cut::Close).await;
    drop(connect(&through(&sshd, &whole)).await.unwrap());
    for direction in [Direction::FromServer, Direction::ToServer] {
        let total = whole.passed(direction);
        // In the banner, at its end, in the packets that follow it, and spread over everything up to the shell.
        let first = [0, 1, 8, 20, 21, 40, 41, 42, 45, 60];
        let spread = (1..=14).map(|i| total * i / 15);
        for after in first.into_iter().chain(spread) {
            let proxy = Proxy::cutting(sshd.address(), Cut::Close, direction, after).await;
            let started = Instant::now();
            let result = connect(&through(&sshd, &proxy)).await;
            assert!(started.elapsed() < Duration::from_secs(3), "{direction:?} {after}");
            // What is cut last may be something that nobody waits for, such as the end of the connection.
            let Err(error) = result else { panic!("{direction:?} {after} of {total}: connected") };
            let named =
                matches!(error, Error::Closed { .. } | Error::Lost { .. } | Error::Unreachable { .. });
            assert!(named, "{direction:?} {after} of {total}: {error}");
        }
    }
}

#[tokio::test]
async fn silence_while_connecting_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    for after in [0, 500, 1300] {
        let proxy = Proxy::cutting(sshd.address(), Cut::Silence, Direction::FromServer, after).await;
        let target = Target { connect_timeout: Duration::from_millis(300), ..through(&sshd, &proxy) };
        let started = Instant::now();
        let Err(error) = connect(&target).await else { panic!("connected") };
        assert!(started.elapsed() < Duration::from_secs(2));
        let named = matches!(error, Error::NoAnswer { .. } | Error::Closed { .. } | Error::Start { .. });
        assert!(named, "{after}: {error}");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_script() {
    let Some(sshd) = Sshd::start() else { return };
    let proxy = Proxy::start(sshd.address(), Cut::Close).await;
    let host = connect(&through(&sshd, &proxy)).await.unwrap();
    let before = proxy.passed(Direction::FromServer);
    let cutter = async {
        while proxy.passed(Direction::FromServer) < before + 1_000_000 {
            tokio::task::yield_now().await;
        }
        proxy.cut();
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = host.run(Script::new("while :; do echo some output; done >&2")) => result,
        () = cutter => unreachable!(),
    };
    assert!(matches!(result, Err(Error::Lost { .. } | Error::TooMuchOutput { .. })), "{result:?}");
    let started = Instant::now();
    let again = host.run(Script::new("true")).await.unwrap_err();
    assert!(matches!(again, Error::Lost { .. }), "{again}");
    assert!(host.forward("127.0.0.1:1".parse().unwrap()).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_silent_connection_is_noticed() {
    let Some(sshd) = Sshd::start() else { return };
    let proxy = Proxy::start(sshd.address(), Cut::Silence).await;
    let target = Target { keepalive: Duration::from_secs(1), ..through(&sshd, &proxy) };
    let host = connect(&target).await.unwrap();
    proxy.cut();
    let started = Instant::now();
    let error = host.run(Script::new("echo nobody hears this")).await.unwrap_err();
    assert!(matches!(&error, Error::Lost { reason, .. } if reason.contains("answer")), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_goes_away() {
    let Some(sshd) = Sshd::start() else { return };
    let host = connect(&sshd.target()).await.unwrap();
    // Of this connection only: the process between the shell and the listener.
    let error = host.run(Script::new("kill -9 $(cut -d' ' -f4 /proc/$$/stat); sleep 1")).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}
