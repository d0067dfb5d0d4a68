//! Credentials for people who run applications and do not administer the cluster.

use std::time::Duration;

use secrecy::SecretString;
use semver::Version;

use super::kubeconfig;
use crate::{
    kube::{self, Api},
    transport::{self, Host, Script, quote},
};

/// What they may do.
const OPERATOR: &str = include_str!("../../templates/security/operator.yaml");
/// The group in the certificate, which `OPERATOR` is bound to.
const GROUP: &str = "hoist:operators";

const ISSUE_TIMEOUT: Duration = Duration::from_secs(60);
/// The first minor whose kubeadm lets one say how long a certificate lives. Before, it is a year, and the command is
/// among those that are not stable yet.
const CHOOSES_LIFETIME: u64 = 22;

/// Whose certificate, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Days; a year if nothing is said.
    pub days: Option<u32>,
}

/// Makes sure that the limited may do what they may, and has a control plane make a kubeconfig for one of them. The key
/// is made there and kept nowhere but in what is returned.
///
/// # Errors
/// When the API server or kubeadm refuses.
pub async fn issue(
    host: &dyn Host,
    api: &Api,
    kubernetes: &Version,
    person: &Person,
) -> Result<SecretString, Error> {
    let command = command(kubernetes, person)?;
    api.apply(OPERATOR).await?;
    let output = host.run(Script::new(command).timeout(ISSUE_TIMEOUT)).await?;
    if output.status != 0 {
        // Standard output may hold half a key.
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Refused { host: host.name().to_owned(), reason });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned().into())
}

fn command(kubernetes: &Version, person: &Person) -> Result<String, Error> {
    let (kubeadm, lifetime) = match (kubernetes.minor >= CHOOSES_LIFETIME, person.days) {
        (true, days) => {
            ("kubeadm kubeconfig", format!(" --validity-period {}h", 24 * u64::from(days.unwrap_or(365))))
        }
        (false, None) => ("kubeadm alpha kubeconfig", String::new()),
        (false, Some(_)) => return Err(Error::Lifetime { kubernetes: kubernetes.clone() }),
    };
    Ok(format!(
        "config=$(kubectl --kubeconfig {} -n kube-system get configmap kubeadm-config \
         -o 'jsonpath={{.data.ClusterConfiguration}}') || exit\n\
         printf '%s\\n' \"$config\" | \
         {kubeadm} user --config /dev/stdin --client-name {} --org {GROUP}{lifetime}",
        kubeconfig::ADMIN_CONF,
        quote(&person.name)
    ))
}

/// Why there are no limited credentials.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),
    #[error("kubeadm on {host} made no kubeconfig: {reason}")]
    #[diagnostic(help(
        "it needs the authority's key in /etc/kubernetes/pki, and the ConfigMap kubeadm-config in kube-system"
    ))]
    Refused { host: String, reason: String },
    #[error("kubeadm of Kubernetes {kubernetes} makes certificates for a year and no other time")]
    #[diagnostic(help("leave --days out"))]
    Lifetime { kubernetes: Version },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kubeadm_is_told_in_its_own_words() {
        let command = |version: &str, days| {
            command(&version.parse().unwrap(), &Person { name: "ada".to_string(), days })
        };
        let old = command("1.20.2", None).unwrap();
        assert!(
            old.ends_with(
                "kubeadm alpha kubeconfig user --config /dev/stdin --client-name 'ada' --org hoist:operators"
            ),
            "{old}"
        );
        let new = command("1.36.0", Some(7)).unwrap();
        assert!(
            new.ends_with(
                "kubeadm kubeconfig user --config /dev/stdin --client-name 'ada' --org hoist:operators --validity-period 168h"
            ),
            "{new}"
        );
        assert!(command("1.36.0", None).unwrap().ends_with("--validity-period 8760h"));
        assert!(matches!(command("1.20.2", Some(7)), Err(Error::Lifetime { .. })));
    }

    /// The built-in role `view` has no Secrets, and this one must not bring a way to them.
    #[test]
    fn the_limited_cannot_reach_secrets() {
        let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(OPERATOR).unwrap();
        let rules = documents[0]["rules"].as_array().unwrap();
        for rule in rules {
            let resources: Vec<&str> =
                rule["resources"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
            let verbs: Vec<&str> =
                rule["verbs"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
            for forbidden in
                ["*", "secrets", "pods/exec", "pods/attach", "serviceaccounts/token", "nodes/proxy"]
            {
                assert!(!resources.contains(&forbidden), "{forbidden}");
            }
            assert!(!verbs.contains(&"*"));
            // Whoever writes a pod's template reads the namespace's Secrets through it.
            let writes = verbs.iter().any(|verb| ["create", "update", "patch"].contains(verb));
            assert!(
                !writes || resources.iter().all(|it| it.ends_with("/scale") || it.ends_with("/eviction"))
            );
        }
        assert_eq!(documents[1]["subjects"][0]["name"], GROUP);
        assert_eq!(documents[2]["subjects"][0]["name"], GROUP);
    }
}
