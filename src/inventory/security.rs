//! What an inventory can say about the cluster's defences. All of them are up unless it says otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::yaml::schema;

/// The cluster's defences, all of them up unless switched off. What each does, and for which Kubernetes versions:
/// `docs/security.md`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Secrets are encrypted before they are written to etcd, with one key that all control planes have. Once it is on
    /// it stays on until the Secrets have been decrypted, as `docs/security.md` says.
    pub encryption: bool,
    /// The log of who asked the API server for what.
    pub audit: Audit,
    /// Kubelets prove who they are with certificates that the cluster's own authority has signed.
    pub kubelet_certificates: bool,
    /// What pods may ask for, in namespaces that have no labels of their own for it. Since Kubernetes 1.25.
    pub pod_security: PodSecurity,
    /// Kubelets do not start where the kernel differs from what they expect; hoist sets it so. Switch it off where hosts
    /// are containers that may not set kernel parameters.
    pub kernel_defaults: bool,
    /// What the CIS Kubernetes Benchmark asks for beyond kubeadm's own defaults: no profiling, TLS 1.2 or later with
    /// ciphers that are known to be good, seccomp, and files that only root reads.
    pub benchmark: bool,
}

impl Default for Security {
    fn default() -> Self {
        Security {
            encryption: true,
            audit: Audit::default(),
            kubelet_certificates: true,
            pod_security: PodSecurity::default(),
            kernel_defaults: true,
            benchmark: true,
        }
    }
}

/// The audit log, `/var/log/kubernetes/audit/audit.log` on each control plane. Bodies of Secrets are never in it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Whether it is written.
    pub enabled: bool,
    /// Days after which a file of it is deleted.
    #[schemars(range(min = 1, max = 3650))]
    pub days: u32,
    /// Files that are kept besides the present one.
    #[schemars(range(min = 1, max = 1000))]
    pub files: u32,
    /// Megabytes after which a new file begins.
    #[schemars(range(min = 1, max = 10000))]
    pub megabytes: u32,
}

impl Default for Audit {
    /// The benchmark's figures.
    fn default() -> Self {
        Audit { enabled: true, days: 30, files: 10, megabytes: 100 }
    }
}

/// What pods may ask for: https://kubernetes.io/docs/concepts/security/pod-security-standards/
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PodSecurity {
    /// Pods beyond this are refused; `privileged` refuses none.
    pub enforce: Level,
    /// Pods beyond this are noted in the audit log, and whoever makes them is warned; `privileged` is silence.
    pub warn: Level,
    /// Namespaces that this does not apply to, besides `kube-system`.
    #[schemars(schema_with = "schema::dns_labels")]
    pub exempt: Vec<String>,
}

impl Default for PodSecurity {
    fn default() -> Self {
        PodSecurity { enforce: Level::Baseline, warn: Level::Restricted, exempt: Vec::new() }
    }
}

/// A level of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Everything.
    Privileged,
    /// Nothing that is known to give a pod power over its host.
    Baseline,
    /// Only what follows the best practice.
    Restricted,
}
