//! A client of the API server whose every byte goes through a host's SSH connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::kube::{
    Client, Config,
    client::{Body, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig},
};
use http::Uri;
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use super::{
    api::Api,
    error::{Error, TunnelError},
};
use crate::transport::{Host, Script, Stream};

/// How long a control plane may take to look up the name of its own endpoint.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client of the API server that `kubeconfig` (the text of an admin.conf, secret) names, reached from
/// `host`, which is one of its control planes. Opens no connection yet; the first question does.
///
/// The server must prove the name in the kubeconfig to the certificate authority in the kubeconfig. Proxies in
/// the environment are ignored: SSH is the way there.
///
/// # Errors
/// [`Error::Kubeconfig`] if the text is not a kubeconfig, or one that would run programs, read local files or
/// trust anybody; [`Error::Name`] if the server is a name which the host cannot resolve.
pub async fn connect(host: Arc<dyn Host>, kubeconfig: &str) -> Result<Api, Error> {
    let config = configuration(kubeconfig).await?;
    let server = authority(&config.cluster_url)?;
    let destination = resolve(host.as_ref(), &server).await?;
    through(host, &config, &server, destination)
}

/// The same, but of the API server at `address` as the host sees it, whatever the endpoint leads to now. It must prove
/// the name in the kubeconfig all the same.
///
/// # Errors
/// As [`connect`].
pub async fn connect_at(host: Arc<dyn Host>, kubeconfig: &str, address: SocketAddr) -> Result<Api, Error> {
    let config = configuration(kubeconfig).await?;
    let server = authority(&config.cluster_url)?;
    through(host, &config, &server, address)
}

fn through(
    host: Arc<dyn Host>,
    config: &Config,
    server: &Server,
    destination: SocketAddr,
) -> Result<Api, Error> {
    let name = host.name().to_owned();
    let client = client(host, destination, config).map_err(|error| unusable(&error))?;
    Ok(Api::new(client, name, server.to_string()))
}

/// Reads the kubeconfig and refuses what a kubeadm cluster never writes and what would be a danger here.
pub(super) async fn configuration(text: &str) -> Result<Config, Error> {
    let refuse = |reason: &str| Error::Kubeconfig { reason: reason.to_owned() };
    // The parser's own message could quote a line, and lines hold keys.
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| refuse("it is not the YAML of a kubeconfig"))?;
    for user in kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref()) {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(refuse("its user runs a program to log in"));
        }
        if user.client_certificate.is_some() || user.client_key.is_some() || user.token_file.is_some() {
            return Err(refuse("its user's credentials are in other files"));
        }
    }
    for cluster in kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref()) {
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(refuse("it switches off the check of the server's certificate"));
        }
        if cluster.certificate_authority_data.is_none() {
            return Err(refuse("it has no certificate-authority-data"));
        }
    }
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| unusable(&error))
}

pub(super) fn unusable(error: &dyn std::error::Error) -> Error {
    Error::Kubeconfig { reason: error.to_string() }
}

/// Host and port of the API server as the kubeconfig writes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    name: String,
    port: u16,
}

impl std::fmt::Display for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.contains(':') {
            write!(formatter, "[{}]:{}", self.name, self.port)
        } else {
            write!(formatter, "{}:{}", self.name, self.port)
        }
    }
}

pub(super) fn authority(url: &Uri) -> Result<Server, Error> {
    if url.scheme_str() != Some("https") {
        return Err(Error::Kubeconfig { reason: format!("its server {url} is not an https address") });
    }
    let name = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(Server { name, port: url.port_u16().unwrap_or(443) })
}

/// Where the tunnel leads, as the host sees it: names are looked up there, not here.
async fn resolve(host: &dyn Host, server: &Server) -> Result<SocketAddr, Error> {
    if let Ok(address) = server.name.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, server.port));
    }
    let unknown = || Error::Name { host: host.name().to_owned(), server: server.to_string() };
    // A name of a URI holds no quotes, so that single quotes are enough.
    let text = format!("getent ahosts '{}' </dev/null", server.name.replace('\'', ""));
    let output = host.run(Script { text, stdin: None, timeout: LOOKUP_TIMEOUT }).await.map_err(|source| {
        Error::Tunnel { host: host.name().to_owned(), server: server.to_string(), source: Arc::new(source) }
    })?;
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .and_then(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, server.port))
        .ok_or_else(unknown)
}

fn client(host: Arc<dyn Host>, to: SocketAddr, config: &Config) -> Result<Client, ::kube::Error> {
    // Two rustls providers may be in the graph of a program that uses this one: choose before TLS does. An
    // error means that somebody has chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tunnel = service_fn(move |_: Uri| {
        let host = host.clone();
        async move {
            let stream = host.forward(to).await.map_err(|error| TunnelError(Arc::new(error)))?;
            Ok::<_, TunnelError>(TokioIo::new(Tunnel(stream)))
        }
    });
    let https = config.rustls_https_connector_with_connector(tunnel)?;
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(https).map_err(BoxError::from);
    let base = config.base_uri_layer();
    Ok(match config.auth_layer()? {
        Some(auth) => Client::new(base.layer(auth.layer(http)), "default"),
        None => Client::new(base.layer(http), "default"),
    })
}

/// The forwarded connection, in the form that the HTTP client wants.
struct Tunnel(Box<dyn Stream>);

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
