//! For tests: an HTTPS server on loopback with a certificate authority of its own, which answers as it is
//! told, and a host whose forwards lead there.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::transport::{Destination, Error, Host, Output, Script, Stream, Transfer};

/// The address that the kubeconfig names; the host forwards it to loopback.
pub const SERVER: &str = "192.0.2.10";

#[derive(Debug, Clone)]
pub enum Answer {
    /// A status and a JSON body.
    Json(u16, String),
    /// Half of an answer, then the end of the connection.
    Cut,
    /// No answer, ever.
    Hang,
}

impl Answer {
    /// A failure as an API server words it.
    pub fn failure(code: u16, reason: &str, message: &str) -> Self {
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                                        "message": message, "reason": reason, "code": code});
        Self::Json(code, status.to_string())
    }
}

pub struct Fake {
    pub address: SocketAddr,
    /// Of its certificate authority.
    pub ca: String,
    /// Method, path and query of all requests so far.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Serves `answer(turn, "METHOD /path?query")` with a certificate for `name`.
    pub async fn start(name: &str, answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(name, move |turn, request, _| answer(turn, request)).await
    }

    /// The same with the body of the request.
    pub async fn serve(
        name: &str,
        answer: impl Fn(usize, &str, &[u8]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (ca, config) = certificates(name);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (requests.clone(), Arc::new(answer));
        let turn = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), log.clone());
                let (answer, turn) = (answer.clone(), turn.clone());
                tokio::spawn(async move {
                    // A client that does not trust us ends the handshake.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some((request, body)) = read_request(&mut stream).await else { return };
                    log.lock().unwrap().push(request.clone());
                    let bytes = match answer(turn.fetch_add(1, Ordering::SeqCst), &request, &body) {
                        Answer::Json(status, body) => format!(
                            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                             connection: close\r\n\r\n{body}",
                            body.len()
                        ),
                        Answer::Cut => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
                        Answer::Hang => std::future::pending().await,
                    };
                    let _ = stream.write_all(bytes.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, ca, requests }
    }

    /// A kubeconfig that trusts `ca` and names [`SERVER`].
    pub fn kubeconfig(ca: &str) -> String {
        let ca = base64(ca.as_bytes());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{{name: c, cluster: {{server: 'https://{SERVER}:6443', certificate-authority-data: {ca}}}}}]\n\
             contexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{token: s3cr3t-t0ken}}}}]\n"
        )
    }

    pub fn host(&self) -> Arc<Loopback> {
        Arc::new(Loopback { address: self.address, wanted: Mutex::new(Vec::new()) })
    }
}

/// A host whose forwards all lead to one address.
pub struct Loopback {
    pub address: SocketAddr,
    /// Where forwards were asked to lead.
    pub wanted: Mutex<Vec<SocketAddr>>,
}

#[async_trait]
impl Host for Loopback {
    fn name(&self) -> &str {
        "cp1"
    }

    /// Knows one name.
    async fn run(&self, script: Script) -> Result<Output, Error> {
        let known = script.text.contains("'api.example.lan'");
        let stdout = if known { "192.0.2.77 STREAM api.example.lan\n192.0.2.77 DGRAM\n" } else { "" };
        Ok(Output { status: if known { 0 } else { 2 }, stdout: stdout.into(), stderr: vec![] })
    }

    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        unreachable!("nothing is sent")
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        self.wanted.lock().unwrap().push(to);
        match TcpStream::connect(self.address).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(_) => Err(Error::Lost { host: "cp1".into(), reason: "refused".into() }),
        }
    }
}

fn certificates(name: &str) -> (String, ServerConfig) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut server = CertificateParams::new(Vec::new()).unwrap();
    server.subject_alt_names = vec![match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }];
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (issuer.pem(), config)
}

/// Reads a request; returns its method and target, and its body.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let line = String::from_utf8_lossy(&bytes).lines().next()?.to_owned();
    Some((line.trim_end_matches(" HTTP/1.1").to_owned(), bytes.split_off(end)))
}

fn base64(bytes: &[u8]) -> String {
    let quoted = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap();
    quoted.as_str().unwrap().to_owned()
}
