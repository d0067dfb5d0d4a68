//! Asking from outside the cluster: from this machine, in the network that the inventory's hosts are reached from; from the
//! jump hosts before them; or else from a host that is no node.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Bench,
    http::{self, Answer, Question},
};
use crate::transport::{self, Route, Stream, Target};

const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LIMIT: u64 = 1 << 20;

/// A place outside of the cluster.
enum Place {
    Here,
    /// A jump host, over the connection to it.
    Jump(Arc<Target>),
    Host(Arc<dyn transport::Host>),
}

/// What came, and where it was asked from.
pub(super) type Asked<T> = Result<(String, T), Miss>;

/// Why nothing came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// Nobody outside is there to ask from.
    Unasked { why: String },
    /// From everywhere, in words, why there is no answer.
    Silent { from: String, reason: String },
}

/// Asks from outside.
pub(super) async fn ask(bench: &Bench<'_>, to: SocketAddr, question: &Question) -> Asked<Answer> {
    from_outside(bench, to, |stream| exchange(stream, question)).await
}

/// Whether something takes connections.
pub(super) async fn knock(bench: &Bench<'_>, to: SocketAddr) -> Asked<()> {
    from_outside(bench, to, |_| async { Ok(()) }).await
}

/// The certificate, as DER, that a server shows to who asks for a name; it is not verified.
pub(super) async fn certificate(bench: &Bench<'_>, to: SocketAddr, name: &str) -> Asked<Vec<u8>> {
    from_outside(bench, to, |stream| async move { Ok(handshake(stream, name).await?.1) }).await
}

/// An answer in words, or why there is none.
pub(super) fn told(came: &Asked<Answer>, what: &str) -> String {
    match came {
        Ok((from, answer)) => format!("{from} asked {what}: {}", http::told(&Ok(answer.clone()))),
        Err(Miss::Silent { from, reason }) => format!("{from} asked {what}: {reason}"),
        Err(Miss::Unasked { why }) => format!("{what} was not asked from outside: {why}"),
    }
}

async fn from_outside<T, Talk: Future<Output = Result<T, String>>>(
    bench: &Bench<'_>,
    to: SocketAddr,
    talk: impl Fn(Box<dyn Stream>) -> Talk,
) -> Asked<T> {
    let (mut refusals, mut forbidden) = (Vec::new(), 0);
    for (name, place) in places(bench, to.ip()) {
        let asked = async { talk(open(bench, &place, to).await?).await };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(came)) => return Ok((name, came)),
            Ok(Err(reason)) => {
                forbidden += usize::from(reason.contains(FORBIDDEN));
                refusals.push((name, reason));
            }
            Err(_) => refusals.push((name, format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
    let names: Vec<&str> = refusals.iter().map(|(name, _)| name.as_str()).collect();
    let from = names.join(" and ");
    if refusals.is_empty() {
        return Err(Miss::Unasked { why: NOWHERE.to_owned() });
    }
    if forbidden == refusals.len() {
        return Err(Miss::Unasked { why: format!("{from} may not open connections there") });
    }
    let reason = match refusals.as_slice() {
        [(_, reason)] => reason.clone(),
        several => {
            let all: Vec<String> = several.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
            all.join("; ")
        }
    };
    Err(Miss::Silent { from, reason })
}

/// What an SSH server says that forwards no connections, or not there (`AllowTcpForwarding`, `PermitOpen`).
const FORBIDDEN: &str = "prohibited";
const NOWHERE: &str =
    "nodes are reached by a ProxyCommand, and no host of the inventory is outside of the cluster";

/// The places outside of the cluster that something can be asked from, by name: this machine where it reaches nodes by itself;
/// the jump hosts before nodes; and of the hosts that are no node the one whose address is most like the one that is asked.
fn places(bench: &Bench<'_>, to: IpAddr) -> Vec<(String, Place)> {
    let mut places = Vec::new();
    let (nodes, others): (Vec<_>, Vec<_>) = bench
        .inventory
        .hosts
        .iter()
        .filter_map(|(name, host)| Some((host, bench.hosts.get(name)?)))
        .partition(|(host, _)| host.is_node());
    for (_, node) in nodes {
        let (name, place) = match node.route() {
            Route::Direct => ("this machine".to_owned(), Place::Here),
            Route::Jump(hop) => (hop.name.clone(), Place::Jump(hop)),
            Route::Command(_) => continue,
        };
        if places.iter().all(|(known, _)| *known != name) {
            places.push((name, place));
        }
    }
    let near = |address: Ipv4Addr| match to {
        IpAddr::V4(to) => (u32::from(to) ^ u32::from(address)).leading_zeros(),
        IpAddr::V6(_) => 0,
    };
    let other = others.into_iter().max_by_key(|(host, _)| near(host.address));
    places.extend(other.map(|(_, host)| (host.name().to_owned(), Place::Host(host.clone()))));
    places
}

async fn open(bench: &Bench<'_>, place: &Place, to: SocketAddr) -> Result<Box<dyn Stream>, String> {
    match place {
        Place::Here => {
            let namespace = bench.inventory.ssh.network_namespace.as_deref();
            let stream = transport::dial(namespace, to, PATIENCE).await.map_err(refusal)?;
            Ok(Box::new(stream))
        }
        Place::Jump(hop) => transport::dial_from(hop, to).await.map_err(|error| error.to_string()),
        Place::Host(host) => host.forward(to).await.map_err(refusal),
    }
}

/// Why no connection came about, in words.
pub(super) fn refusal(error: transport::Error) -> String {
    match error {
        transport::Error::Refused { .. } => "connection refused".to_owned(),
        transport::Error::NoAnswer { seconds, .. } => format!("no answer within {seconds} s"),
        transport::Error::Unreachable { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// One question and its answer on an open connection.
pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question,
) -> Result<Answer, String> {
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    stream.write_all(question.text().as_bytes()).await.map_err(broken)?;
    let mut came = Vec::new();
    stream.take(LIMIT).read_to_end(&mut came).await.map_err(broken)?;
    http::read(&came)
}

/// TLS on an open connection, and the certificate, as DER, that was shown; it is not verified.
pub(super) async fn handshake(
    stream: Box<dyn Stream>,
    name: &str,
) -> Result<(TlsStream<Box<dyn Stream>>, Vec<u8>), String> {
    let words = |error: &dyn std::fmt::Display| format!("no TLS: {error}");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| words(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|error| words(&error))?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| words(&error))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let shown = shown.map(|certificate| certificate.to_vec());
    Ok((stream, shown.ok_or_else(|| "no TLS: no certificate was shown".to_owned())?))
}

/// Takes any certificate: it is only looked at, or compared, before anything is said on the connection.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;

    use super::*;
    use crate::{
        addon::gate::testing::Cluster,
        inventory,
        kube::fake::{Answer, Fake},
    };

    #[tokio::test]
    async fn it_is_asked_where_nodes_are_reached_from_and_beside_them() {
        let mut cluster = Cluster::new(&["cp1", "w1", "balancer", "far"]).await;
        let text = "cluster: {name: a, kubernetes: 1.31.0, etcd: external}\nhosts:\n  \
                    cp1: {address: 10.0.0.1, roles: [control-plane]}\n  w1: {address: 10.0.0.2, roles: [worker]}\n  \
                    far: {address: 10.9.0.3, roles: [etcd]}\n  balancer: {address: 10.0.0.3, roles: [etcd]}\n  \
                    third: {address: 10.9.0.4, roles: [etcd]}\n";
        let inventory = inventory::parse("test", text).unwrap().inventory;
        let names = |cluster: &Cluster| {
            let bench = Bench { inventory: &inventory, ..cluster.bench("n") };
            let names = places(&bench, "10.0.0.200".parse().unwrap()).into_iter().map(|(name, _)| name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&cluster), ["this machine", "balancer"]);
        cluster.is_reached(Route::Jump(Arc::new(Target::new("bastion", "192.0.2.1", "root"))));
        assert_eq!(names(&cluster), ["bastion", "balancer"], "this machine reaches nothing by itself");
        cluster.is_reached(Route::Command("proxy".to_owned()));
        assert_eq!(names(&cluster), ["balancer"]);
    }

    #[tokio::test]
    async fn that_nobody_is_there_to_ask_from_is_told_from_silence() {
        let mut cluster = Cluster::new(&["cp1", "w1"]).await;
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let miss = knock(&cluster.bench("n"), closed).await.unwrap_err();
        let (from, reason) = ("this machine".to_owned(), "connection refused".to_owned());
        assert_eq!(miss, Miss::Silent { from, reason });
        cluster.is_reached(Route::Command("proxy".to_owned()));
        assert_eq!(
            knock(&cluster.bench("n"), closed).await.unwrap_err(),
            Miss::Unasked { why: NOWHERE.to_owned() }
        );
    }

    #[tokio::test]
    async fn the_certificate_of_a_server_is_seen_and_nothing_is_said_to_it() {
        let cluster = Cluster::new(&["cp1"]).await;
        let server = Fake::start("gate.hoist.test", |_, _| Answer::Cut).await;
        let bench = cluster.bench("n");
        let (_, shown) = certificate(&bench, server.address, "gate.hoist.test").await.unwrap();
        let (_, shown) = parse_x509_certificate(&shown).unwrap();
        let names = format!("{:?}", shown.subject_alternative_name().unwrap().unwrap().value.general_names);
        assert!(names.contains("gate.hoist.test"), "{names}");
        assert!(server.requests.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_does_not_speak_tls_is_told() {
        let cluster = Cluster::new(&["cp1"]).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
            }
        });
        let bench = cluster.bench("n");
        let miss = certificate(&bench, address, "gate.hoist.test").await.unwrap_err();
        assert!(matches!(&miss, Miss::Silent { reason, .. } if reason.starts_with("no TLS: ")), "{miss:?}");
    }
}
