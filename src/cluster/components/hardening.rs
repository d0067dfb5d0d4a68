//! The defences that are flags and fields: `docs/security.md` says which control each of them is.

use serde_json::json;

use super::{Component, Components, HostPath};
use crate::inventory::Inventory;

/// Where the role `hardening` puts the API server's files.
const FOLDER: &str = "/etc/kubernetes/security";
/// Where the API server writes its audit log.
const AUDIT_FOLDER: &str = "/var/log/kubernetes/audit";

/// Suites that the CIS Kubernetes Benchmark accepts, and that all known releases have. TLS 1.3 has its own, which
/// cannot be chosen.
const CIPHERS: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
const TLS: &str = "VersionTLS12";

/// The first minor whose `PodSecurity` reads a configuration of version v1; and whose kubelet knows `seccompDefault`
/// without a feature gate.
const POD_SECURITY: u64 = 25;

/// Whether the API server gets a configuration for what pods may ask for.
pub(in crate::cluster) fn limits_pods(inventory: &Inventory) -> bool {
    inventory.cluster.kubernetes.minor >= POD_SECURITY
}

pub(super) fn add(inventory: &Inventory, all: &mut Components) {
    let security = &inventory.cluster.security;
    if security.benchmark {
        benchmark(inventory.cluster.kubernetes.minor, all);
    }
    let api_server = &mut all.api_server;
    if security.encryption {
        api_server.arg("encryption-provider-config", format!("{FOLDER}/encryption.yaml"));
    }
    if limits_pods(inventory) {
        api_server.arg("admission-control-config-file", format!("{FOLDER}/admission.yaml"));
    }
    if security.audit.enabled {
        api_server.arg("audit-policy-file", format!("{FOLDER}/audit-policy.yaml"));
        api_server.arg("audit-log-path", format!("{AUDIT_FOLDER}/audit.log"));
        api_server.arg("audit-log-maxage", security.audit.days.to_string());
        api_server.arg("audit-log-maxbackup", security.audit.files.to_string());
        api_server.arg("audit-log-maxsize", security.audit.megabytes.to_string());
        api_server.volumes.push(folder("audit-log", AUDIT_FOLDER, false));
    }
    if security.encryption || security.audit.enabled || limits_pods(inventory) {
        api_server.volumes.push(folder("security", FOLDER, true));
    }
    if security.kubelet_certificates {
        // The authority that signs them is the cluster's own.
        api_server.arg("kubelet-certificate-authority", "/etc/kubernetes/pki/ca.crt");
        all.kubelet.insert("serverTLSBootstrap".to_string(), json!(true));
    }
    if security.kernel_defaults {
        all.kubelet.insert("protectKernelDefaults".to_string(), json!(true));
    }
}

fn benchmark(minor: u64, all: &mut Components) {
    for part in [&mut all.api_server, &mut all.controller_manager, &mut all.scheduler] {
        part.arg("profiling", "false");
        tls(part);
    }
    let mut field = |name: &str, value| all.kubelet.insert(name.to_string(), value);
    field("readOnlyPort", json!(0));
    field("rotateCertificates", json!(true));
    field("tlsMinVersion", json!(TLS));
    field("tlsCipherSuites", json!(CIPHERS));
    // Neither never nor soon: a shell that is looked at only now and then stays open.
    field("streamingConnectionIdleTimeout", json!("4h0m0s"));
    // What kubelets have by themselves since 1.27; 5 before, which loses events.
    field("eventRecordQPS", json!(50));
    field("eventBurst", json!(100));
    if minor >= POD_SECURITY {
        field("seccompDefault", json!(true));
    }
}

fn tls(part: &mut Component) {
    part.arg("tls-min-version", TLS);
    part.arg("tls-cipher-suites", CIPHERS.join(","));
}

fn folder(name: &str, path: &str, read_only: bool) -> HostPath {
    HostPath {
        name: name.to_string(),
        host_path: path.to_string(),
        mount_path: path.to_string(),
        read_only,
        // The role makes it: one that is missing is a mistake, and not to be made up for by an empty one.
        path_type: "Directory".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn of(version: &str, security: &str) -> Components {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"{version}\", security: {security}}}\n\
             hosts:\n  a: {{address: 10.0.0.1, roles: [control-plane]}}\n"
        );
        let mut all = Components::default();
        add(&inventory::parse("t.yaml", &text).unwrap().inventory, &mut all);
        all
    }

    const OFF: &str = "{encryption: false, audit: {enabled: false}, kubelet_certificates: false, \
        kernel_defaults: false, benchmark: false}";

    #[test]
    fn everything_is_on_unless_switched_off() {
        let all = of("1.20.2", "{}");
        let names: Vec<&str> = all.api_server.args.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "audit-log-maxage",
                "audit-log-maxbackup",
                "audit-log-maxsize",
                "audit-log-path",
                "audit-policy-file",
                "encryption-provider-config",
                "kubelet-certificate-authority",
                "profiling",
                "tls-cipher-suites",
                "tls-min-version",
            ]
        );
        let volumes: Vec<_> =
            all.api_server.volumes.iter().map(|it| (it.name.as_str(), it.read_only)).collect();
        assert_eq!(volumes, [("audit-log", false), ("security", true)]);
        assert_eq!(all.kubelet["serverTLSBootstrap"], true);
        assert_eq!(all.kubelet["protectKernelDefaults"], true);
        assert!(!all.kubelet.contains_key("seccompDefault"), "1.20 does not know it");

        let newer = of("1.36.0", "{}");
        assert_eq!(newer.kubelet["seccompDefault"], true);
        assert_eq!(
            newer.api_server.args["admission-control-config-file"],
            "/etc/kubernetes/security/admission.yaml"
        );
    }

    #[test]
    fn each_can_be_switched_off() {
        let off = of("1.20.2", OFF);
        assert_eq!((off.api_server, off.scheduler), (Component::default(), Component::default()));
        assert!(off.kubelet.is_empty(), "{:?}", off.kubelet);

        let without = |security: &str, name: &str| {
            let all = of("1.20.2", security);
            !all.api_server.args.contains_key(name) && !all.kubelet.contains_key(name)
        };
        for (security, name) in [
            ("{encryption: false}", "encryption-provider-config"),
            ("{audit: {enabled: false}}", "audit-log-path"),
            ("{kubelet_certificates: false}", "serverTLSBootstrap"),
            ("{kubelet_certificates: false}", "kubelet-certificate-authority"),
            ("{kernel_defaults: false}", "protectKernelDefaults"),
            ("{benchmark: false}", "profiling"),
            ("{benchmark: false}", "tlsMinVersion"),
        ] {
            assert!(!without("{}", name), "{name} is there");
            assert!(without(security, name), "{name} is gone with {security}");
        }
    }

    #[test]
    fn the_audit_log_is_as_large_as_the_inventory_says() {
        let args = of("1.20.2", "{audit: {days: 7, files: 3, megabytes: 50}}").api_server.args;
        let size = ["maxage", "maxbackup", "maxsize"].map(|name| args[&format!("audit-log-{name}")].as_str());
        assert_eq!(size, ["7", "3", "50"]);
    }
}
