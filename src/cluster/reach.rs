//! Whether an application answers from outside the cluster, through every node.

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

/// How long one node may take to answer one question.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The time between two questions to a node that has not answered well.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest answer that is read.
const LIMIT: u64 = 1 << 20;

/// A node and the address that it serves the application on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub node: String,
    pub address: SocketAddr,
}

/// Gets `/` from every target at the same time, again until `patience` is over, until each has answered 200
/// with exactly `expected`. Returns how long each took, in the order of `targets`.
///
/// `dial` opens the connection, such as [`crate::transport`]'s from inside a network namespace.
///
/// # Errors
/// [`Error::Unreachable`] with every node that did not, and what it did at last.
pub async fn reach<D, F, S, E>(
    targets: &[Target],
    expected: &str,
    patience: Duration,
    dial: D,
) -> Result<Vec<Duration>, Error>
where
    D: Fn(SocketAddr) -> F,
    F: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin,
    E: std::error::Error,
{
    let start = Instant::now();
    let limit = ATTEMPT.min(patience);
    let results = join_all(targets.iter().map(|target| async {
        loop {
            let failure = match timeout(limit, attempt(target.address, expected, &dial)).await {
                Ok(Ok(())) => return Ok(start.elapsed()),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Silent(limit),
            };
            let next = Instant::now() + PAUSE;
            if next >= start + patience {
                return Err(format!("{} ({}): {failure}", target.node, target.address));
            }
            sleep_until(next).await;
        }
    }))
    .await;
    let failures: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    if failures.is_empty() {
        Ok(results.into_iter().flatten().collect())
    } else {
        Err(Error::Unreachable { all: targets.len(), after: patience.as_secs(), failures })
    }
}

async fn attempt<D, F, S, E>(address: SocketAddr, expected: &str, dial: &D) -> Result<(), Failure>
where
    D: Fn(SocketAddr) -> F,
    F: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin,
    E: std::error::Error,
{
    let mut stream = dial(address).await.map_err(|error| Failure::Connect(error.to_string()))?;
    let broken = |error: std::io::Error| Failure::Broken(error.to_string());
    // HTTP/1.0: the answer ends with the connection and has no chunks.
    let request = format!("GET / HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).await.map_err(broken)?;
    judge(&String::from_utf8_lossy(&answer), expected)
}

fn judge(answer: &str, expected: &str) -> Result<(), Failure> {
    if answer.is_empty() {
        return Err(Failure::Broken("it closed the connection without an answer".to_owned()));
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let status = match (words.next(), words.next()) {
        (Some(protocol), Some(status)) if protocol.starts_with("HTTP/1.") => status,
        _ => return Err(Failure::NotHttp(clip(line))),
    };
    match status {
        "200" if body == expected => Ok(()),
        "200" => Err(Failure::Body(clip(body))),
        status => Err(Failure::Status(clip(status))),
    }
}

/// The start of a text that somebody else wrote, in one printable line.
fn clip(text: &str) -> String {
    text.chars().take(60).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Connect(String),
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("it does not speak HTTP: {0:?}")]
    NotHttp(String),
    #[error("it answered with status {0}")]
    Status(String),
    #[error("it answered with another page: {0:?}")]
    Body(String),
}

/// Why an application is not reached from outside.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(
        "the application is not reached through {} of {all} nodes after {after} s: {}",
        failures.len(),
        failures.join("; ")
    )]
    #[diagnostic(help(
        "refused: kube-proxy on that node has not set up the port (`kubectl -n kube-system get pods -o wide`); no \
         answer: a firewall before the node, or no route between the nodes' pod networks; another page: \
         something else uses that port"
    ))]
    Unreachable {
        all: usize,
        /// Seconds.
        after: u64,
        failures: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PAGE: &str = "hello\n";

    /// Serves each answer to one connection after another; the last one again and again.
    async fn serve(answers: Vec<&'static str>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answers[turn.min(answers.len() - 1)].as_bytes()).await;
                turn += 1;
            }
        });
        Target { node: format!("n{}", address.port()), address }
    }

    async fn try_reach(targets: &[Target], patience: Duration) -> Result<Vec<Duration>, Error> {
        reach(targets, PAGE, patience, TcpStream::connect).await
    }

    #[tokio::test]
    async fn every_node_is_asked_until_it_answers() {
        let fine = serve(vec!["HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello\n"]).await;
        let late = serve(vec!["HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello\n"]).await;
        let took = try_reach(&[fine, late], Duration::from_secs(10)).await.unwrap();
        assert!(took[1] >= PAUSE && took[0] < took[1], "{took:?}");
    }

    #[tokio::test]
    async fn nodes_that_fail_are_named_with_how() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let fine = serve(vec!["HTTP/1.0 200 OK\r\n\r\nhello\n"]).await;
        let other = serve(vec!["HTTP/1.0 200 OK\r\n\r\nnginx"]).await;
        let failing = serve(vec!["HTTP/1.0 500 Bad\r\n\r\nhello\n"]).await;
        let ssh = serve(vec!["SSH-2.0-OpenSSH\r\n"]).await;
        let refused = Target { node: "refused".into(), address: closed };
        let targets = [refused, fine.clone(), other.clone(), failing.clone(), ssh.clone()];
        let error = try_reach(&targets, Duration::from_millis(50)).await.unwrap_err().to_string();
        let at = |target: &Target| format!("{} ({})", target.node, target.address);
        assert!(error.starts_with("the application is not reached through 4 of 5 nodes"), "{error}");
        assert!(error.contains("refused (127.0.0.1") && error.contains("Connection refused"), "{error}");
        assert!(
            error.contains(&format!("{}: it answered with another page: \"nginx\"", at(&other))),
            "{error}"
        );
        assert!(error.contains(&format!("{}: it answered with status 500", at(&failing))), "{error}");
        assert!(
            error.contains(&format!("{}: it does not speak HTTP: \"SSH-2.0-OpenSSH\"", at(&ssh))),
            "{error}"
        );
        assert!(!error.contains(&at(&fine)), "{error}");
    }

    #[tokio::test]
    async fn a_node_that_says_nothing_is_given_up() {
        let silent = Target { node: "w1".into(), address: "192.0.2.1:30080".parse().unwrap() };
        let dial = |_| async {
            std::future::pending::<()>().await;
            Ok::<tokio::io::DuplexStream, std::io::Error>(tokio::io::duplex(1).0)
        };
        let error = reach(&[silent], PAGE, Duration::from_millis(200), dial).await.unwrap_err().to_string();
        assert!(error.ends_with("w1 (192.0.2.1:30080): it did not answer within 200ms"), "{error}");
    }
}
