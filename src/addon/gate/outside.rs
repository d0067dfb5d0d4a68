//! Asking from outside the cluster: from this machine, in the network that the inventory's hosts are reached from, or
//! else from a host that is no node.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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
use crate::transport::{self, Stream};

const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LIMIT: u64 = 1 << 20;

/// A place outside of the cluster.
enum Place {
    Here,
    Host(Arc<dyn transport::Host>),
}

/// Asks from outside; the answer and where it was asked from. In words, from everywhere, why there is none.
pub(super) async fn ask(
    bench: &Bench<'_>,
    to: SocketAddr,
    question: &Question,
) -> (String, Result<Answer, String>) {
    let mut refusals = Vec::new();
    for (name, place) in places(bench) {
        let asked = async { exchange(open(bench, &place, to).await?, question).await };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => return (name, Ok(answer)),
            Ok(Err(reason)) => refusals.push((name, reason)),
            Err(_) => refusals.push((name, format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
    let names: Vec<&str> = refusals.iter().map(|(name, _)| name.as_str()).collect();
    let reasons: Vec<String> = match refusals.as_slice() {
        [(_, reason)] => vec![reason.clone()],
        several => several.iter().map(|(name, reason)| format!("{name}: {reason}")).collect(),
    };
    (names.join(" and "), Err(reasons.join("; ")))
}

/// The certificate, as DER, that a server shows to who asks for a name; it is not verified.
pub(super) async fn certificate(bench: &Bench<'_>, to: SocketAddr, name: &str) -> Result<Vec<u8>, String> {
    let mut refusal = String::new();
    for (_, place) in places(bench) {
        let shown = async { Ok(handshake(open(bench, &place, to).await?, name).await?.1) };
        match timeout(PATIENCE, shown).await {
            Ok(Ok(certificate)) => return Ok(certificate),
            Ok(Err(reason)) => refusal = reason,
            Err(_) => refusal = format!("no answer within {} s", PATIENCE.as_secs()),
        }
    }
    Err(refusal)
}

fn places(bench: &Bench<'_>) -> Vec<(String, Place)> {
    let others = bench.inventory.hosts.iter().filter(|(_, host)| !host.is_node());
    let other = others.filter_map(|(name, _)| bench.hosts.get(name)).next();
    let here = ("this machine".to_owned(), Place::Here);
    let other = other.map(|host| (host.name().to_owned(), Place::Host(host.clone())));
    [Some(here), other].into_iter().flatten().collect()
}

async fn open(bench: &Bench<'_>, place: &Place, to: SocketAddr) -> Result<Box<dyn Stream>, String> {
    let opened: Result<Box<dyn Stream>, transport::Error> = match place {
        Place::Here => {
            let namespace = bench.inventory.ssh.network_namespace.as_deref();
            transport::dial(namespace, to, PATIENCE).await.map(|stream| Box::new(stream) as Box<dyn Stream>)
        }
        Place::Host(host) => host.forward(to).await,
    };
    opened.map_err(refusal)
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
        kube::fake::{Answer, Fake},
    };

    #[tokio::test]
    async fn the_certificate_of_a_server_is_seen_and_nothing_is_said_to_it() {
        let cluster = Cluster::new(&["cp1"]).await;
        let server = Fake::start("gate.hoist.test", |_, _| Answer::Cut).await;
        let bench = cluster.bench("n");
        let shown = certificate(&bench, server.address, "gate.hoist.test").await.unwrap();
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
        let refusal = certificate(&bench, address, "gate.hoist.test").await.unwrap_err();
        assert!(refusal.starts_with("no TLS: "), "{refusal}");
    }
}
