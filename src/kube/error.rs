//! What can go wrong between here and the API server, sorted by what cures it.

use std::{sync::Arc, time::Duration};

use miette::Diagnostic;

use crate::transport;

/// Why the API server did not give an answer, or gave the wrong one.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error("the kubeconfig cannot be used: {reason}")]
    #[diagnostic(help(
        "hoist wants what kubeadm writes to /etc/kubernetes/admin.conf: one context, an https server, the \
         certificate authority and the credentials inline"
    ))]
    Kubeconfig { reason: String },

    #[error("no tunnel from {host} to the API server at {server}")]
    #[diagnostic(help(
        "see on {host} whether the API server runs (`crictl ps`, `journalctl -u kubelet`) and listens at \
         {server}; sshd there must allow TCP forwarding"
    ))]
    Tunnel { host: String, server: String, source: Arc<transport::Error> },

    #[error("{host} does not know the address of the API server, {server}")]
    #[diagnostic(help(
        "make `getent ahosts` on {host} answer for that name, or give the endpoint as an address"
    ))]
    Name { host: String, server: String },

    #[error("the API server at {server} is not who it should be: {reason}")]
    #[diagnostic(help(
        "its certificate is not signed by the certificate authority of this kubeconfig, or not made for this \
         name: take admin.conf from this very cluster, or renew the certificate with `kubeadm certs renew \
         apiserver`"
    ))]
    Untrusted { server: String, reason: String },

    #[error("no TLS connection to the API server at {server}: {reason}")]
    #[diagnostic(help("something other than an API server may listen there; check the endpoint"))]
    Tls { server: String, reason: String },

    #[error("failed to {action}: the API server does not accept our credentials")]
    #[diagnostic(help(
        "the client certificate in admin.conf has expired or is from another cluster: `kubeadm certs \
         check-expiration` on a control plane shows it, `kubeadm certs renew admin.conf` mends it"
    ))]
    Unauthorized { action: String },

    #[error("failed to {action}: not allowed: {message}")]
    #[diagnostic(help("use the admin.conf of a control plane, or grant its user the right named above"))]
    Forbidden { action: String, message: String },

    #[error("failed to {action}: the API server is not ready (HTTP {status}): {message}")]
    #[diagnostic(help(
        "it starts, or cannot reach etcd: run the same command again; if that persists, read \
         `crictl logs` of kube-apiserver and etcd on the control planes"
    ))]
    Unavailable { action: String, status: u16, message: String },

    #[error("failed to {action}: a webhook does not answer: {message}")]
    #[diagnostic(help(
        "whoever serves it may still start, or be gone: `kubectl get pods -A` shows it. Where its program is no more, its \
         ValidatingWebhookConfiguration or MutatingWebhookConfiguration has to be deleted"
    ))]
    Webhook { action: String, message: String },

    #[error("failed to {action}: the API server refused (HTTP {status}): {message}")]
    #[diagnostic(help("the message is the API server's own and names the object and the field"))]
    Refused { action: String, status: u16, message: String },

    #[error("failed to {action}: the connection to the API server broke: {reason}")]
    #[diagnostic(help("the API server or the SSH connection was restarted: run the same command again"))]
    Cut { action: String, reason: String },

    #[error("failed to {action}: no answer from the API server within {}", seconds(*after))]
    #[diagnostic(help(
        "the control plane is overloaded or its etcd hangs: look at load and disk latency there"
    ))]
    Timeout { action: String, after: Duration },

    #[error("failed to {action}: the answer is not what Kubernetes would say: {reason}")]
    #[diagnostic(help(
        "a proxy may sit in front of the API server; the kubeconfig must name the API server itself"
    ))]
    Unexpected { action: String, reason: String },

    #[error("the manifests are wrong: {}", mistakes.join("; "))]
    #[diagnostic(help("each YAML document needs apiVersion, kind and metadata.name"))]
    Manifest { mistakes: Vec<String> },

    #[error("the cluster does not know {kind} of {api_version}, which {object} asks for")]
    #[diagnostic(help(
        "this Kubernetes version serves that kind under another apiVersion, or its CustomResourceDefinition is \
         not installed yet (`kubectl api-resources`)"
    ))]
    UnknownKind { object: String, api_version: String, kind: String },

    #[error("after {} {what}: {}", seconds(*after), reasons.join("; "))]
    #[diagnostic(help("{help}"))]
    NotReady { what: String, after: Duration, reasons: Vec<String>, help: String },
}

impl Error {
    /// Whether asking again, after a moment, may succeed without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Tunnel { .. } => !self.is_lost(),
            Self::Unavailable { .. } | Self::Cut { .. } | Self::Timeout { .. } => true,
            Self::Kubeconfig { .. }
            | Self::Name { .. }
            | Self::Untrusted { .. }
            | Self::Tls { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            // Asking for a minute helps nobody where the one who should answer waits for this very answer.
            | Self::Webhook { .. }
            | Self::Refused { .. }
            | Self::Unexpected { .. }
            | Self::Manifest { .. }
            | Self::UnknownKind { .. }
            | Self::NotReady { .. } => false,
        }
    }

    /// Whether the host is lost that the connection to the API server leads through.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Tunnel { source, .. } if matches!(**source, transport::Error::Lost { .. }))
    }

    /// Sorts an error of the client library. `action` completes "failed to …".
    pub(super) fn classify(error: ::kube::Error, action: &str, host: &str, server: &str) -> Self {
        let action = action.to_owned();
        match error {
            ::kube::Error::Api(status) => {
                Self::answered(action, status.code, &status.message, &status.reason)
            }
            ::kube::Error::SerdeError(error) => Self::Unexpected { action, reason: error.to_string() },
            other => match root(&other) {
                Some(Root::Tunnel(source)) => {
                    Self::Tunnel { host: host.to_owned(), server: server.to_owned(), source }
                }
                Some(Root::Tls(rustls::Error::InvalidCertificate(why))) => {
                    Self::Untrusted { server: server.to_owned(), reason: why.to_string() }
                }
                Some(Root::Tls(error)) => Self::Tls { server: server.to_owned(), reason: error.to_string() },
                None => Self::Cut { action, reason: innermost(&other) },
            },
        }
    }

    fn answered(action: String, status: u16, message: &str, reason: &str) -> Self {
        let message = if message.is_empty() { reason } else { message }.trim().to_owned();
        match status {
            _ if message.contains("failed calling webhook") => Self::Webhook { action, message },
            401 => Self::Unauthorized { action },
            403 => Self::Forbidden { action, message },
            // 500 too: the API server says so while etcd elects a leader.
            408 | 429 | 500 | 502 | 503 | 504 => Self::Unavailable { action, status, message },
            _ => Self::Refused { action, status, message },
        }
    }
}

/// The connector's error: shared, because the HTTP client hands out references only.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(super) struct TunnelError(pub(super) Arc<transport::Error>);

enum Root {
    Tunnel(Arc<transport::Error>),
    Tls(rustls::Error),
}

/// Looks for the cause that we know how to name, however deep it is wrapped.
fn root(error: &(dyn std::error::Error + 'static)) -> Option<Root> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(TunnelError(source)) = error.downcast_ref() {
            return Some(Root::Tunnel(source.clone()));
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Root::Tls(tls.clone()));
        }
        // An io::Error hides the error it wraps from its own `source`.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A duration as a user reads it: whole seconds, or milliseconds below one.
pub(super) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs())
    }
}
