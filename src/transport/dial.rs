//! TCP connections, if need be from another network namespace.

use std::{fs::File, io, net::SocketAddr, os::fd::AsFd, time::Duration};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{setsockopt, sockopt::TcpUserTimeout},
};
use tokio::{net::TcpStream, sync::oneshot, time::timeout};

use super::{Error, Target};

/// Connects to `to`, from inside the named network namespace (one of `/run/netns`) when there is one.
///
/// # Errors
/// The network's variants of [`Error`], with the address in place of a host's name.
pub async fn dial(namespace: Option<&str>, to: SocketAddr, patience: Duration) -> Result<TcpStream, Error> {
    let host = to.to_string();
    let connected = match namespace {
        Some(namespace) => dial_inside(namespace, to, patience).await?,
        None => match timeout(patience, TcpStream::connect(to)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    connected.map_err(|error| classify(&host, &host, patience, &error))
}

/// Connects to a target: its addresses one after another, the first that answers.
pub(super) async fn dial_target(target: &Target) -> Result<TcpStream, Error> {
    let resolve = |reason: String| Error::Resolve {
        host: target.name.clone(),
        address: target.address.clone(),
        reason,
    };
    let lookup = tokio::net::lookup_host((target.address.as_str(), target.port));
    let addresses = match timeout(target.connect_timeout, lookup).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(resolve(error.to_string())),
        Err(_) => return Err(resolve("the name server does not answer".into())),
    };
    let mut failure = resolve("it has no address".into());
    for address in addresses {
        match dial(target.network_namespace.as_deref(), address, target.connect_timeout).await {
            Ok(stream) => {
                tune(&stream, target.keepalive);
                return Ok(stream);
            }
            Err(error) => failure = error.named(&target.name),
        }
    }
    Err(failure)
}

/// Small packets at once, and an end to connections whose packets nobody acknowledges: while data waits to be
/// written no keepalive is sent, so the kernel has to notice. Both are only optimisations; failing is harmless.
fn tune(stream: &TcpStream, keepalive: Duration) {
    let _ = stream.set_nodelay(true);
    let patience = u32::try_from(keepalive.as_millis() * 4).unwrap_or(u32::MAX);
    let _ = setsockopt(stream, TcpUserTimeout, &patience);
}

/// A thread of its own enters the namespace, connects and ends: a namespace belongs to a thread, and a socket to
/// the namespace it was made in.
async fn dial_inside(
    namespace: &str,
    to: SocketAddr,
    patience: Duration,
) -> Result<io::Result<TcpStream>, Error> {
    let failed =
        |error: io::Error| Error::Namespace { namespace: namespace.into(), reason: error.to_string() };
    if namespace.is_empty() || namespace.contains(['/', '\0']) || namespace.starts_with('.') {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a name of a namespace")));
    }
    let handle = File::open(format!("/run/netns/{namespace}")).map_err(failed)?;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("netns-{namespace}"))
        .spawn(move || {
            let entered = setns(handle.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            let connected = entered.map(|()| std::net::TcpStream::connect_timeout(&to, patience));
            // Nobody waits any more when the receiver is gone.
            let _ = sender.send(connected);
        })
        .map_err(failed)?;
    let connected =
        receiver.await.map_err(|_| failed(io::Error::other("its thread ended")))?.map_err(failed)?;
    Ok(connected.and_then(|stream| {
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }))
}

fn classify(host: &str, address: &str, patience: Duration, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    let (host, address, reason) = (host.to_owned(), address.to_owned(), error.to_string());
    match error.kind() {
        Kind::ConnectionRefused => Error::Refused { host, address },
        Kind::TimedOut => Error::NoAnswer { host, address, seconds: patience.as_secs() },
        Kind::ConnectionReset | Kind::ConnectionAborted => {
            Error::Closed { host, address, stage: "while connecting", reason }
        }
        Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable
        | Kind::InvalidInput => Error::Unreachable { host, address, reason },
        _ => Error::Socket { host, reason },
    }
}

impl Error {
    /// The same error about a host of that name.
    fn named(self, name: &str) -> Error {
        let host = name.to_owned();
        match self {
            Error::Refused { address, .. } => Error::Refused { host, address },
            Error::NoAnswer { address, seconds, .. } => Error::NoAnswer { host, address, seconds },
            Error::Unreachable { address, reason, .. } => Error::Unreachable { host, address, reason },
            Error::Closed { address, stage, reason, .. } => Error::Closed { host, address, stage, reason },
            Error::Socket { reason, .. } => Error::Socket { host, reason },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(dial(None, address, PATIENCE).await, Err(Error::Refused { .. })));
    }

    #[tokio::test]
    async fn a_missing_namespace_is_named() {
        let to = "127.0.0.1:1".parse().unwrap();
        for namespace in ["hoist-no-such-namespace", "../../proc/self/ns/net", ""] {
            let error = dial(Some(namespace), to, PATIENCE).await.unwrap_err();
            assert!(matches!(error, Error::Namespace { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist() {
        let target = Target::new("cp1", "no-such-host.invalid", "root");
        let error = dial_target(&target).await.unwrap_err();
        assert!(matches!(error, Error::Resolve { .. }), "{error}");
    }

    #[test]
    fn every_failure_has_its_own_name() {
        let kind = |kind: io::ErrorKind| classify("cp1", "192.0.2.1:22", PATIENCE, &kind.into()).to_string();
        insta::assert_snapshot!(
            [
                kind(io::ErrorKind::ConnectionRefused),
                kind(io::ErrorKind::TimedOut),
                kind(io::ErrorKind::HostUnreachable),
                kind(io::ErrorKind::NetworkUnreachable),
                kind(io::ErrorKind::ConnectionReset),
                kind(io::ErrorKind::PermissionDenied),
            ]
            .join("\n"),
            @r"
        failed to connect to cp1: 192.0.2.1:22 refused the connection
        failed to connect to cp1: 192.0.2.1:22 did not answer within 2 s
        failed to connect to cp1: 192.0.2.1:22 cannot be reached (host unreachable)
        failed to connect to cp1: 192.0.2.1:22 cannot be reached (network unreachable)
        failed to connect to cp1: 192.0.2.1:22 closed the connection while connecting (connection reset)
        failed to open a socket for cp1 (permission denied)
        "
        );
    }
}
