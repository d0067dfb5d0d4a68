//! Which versions may meet in one cluster, and which step an upgrade may take.
//!
//! Source: <https://kubernetes.io/releases/version-skew-policy/>, and for kubeadm
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#version-skew-policy>.
//! Only minors count; patch releases of one minor always fit.

use semver::Version;

/// What is compared with an API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// Another API server of the same cluster.
    ApiServer,
    /// The controller manager, the scheduler and the cloud controller manager.
    Controller,
    Kubelet,
    KubeProxy,
    Kubectl,
}

/// Two versions that must not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum Skew {
    #[error("{component} {version} is too new for the API server {api_server}")]
    #[diagnostic(help("upgrade the API servers first"))]
    TooNew { component: &'static str, version: Version, api_server: Version },
    #[error(
        "{component} {version} is too old for the API server {api_server}: at most {allowed} minors older"
    )]
    #[diagnostic(help("upgrade it before the API servers go on"))]
    TooOld { component: &'static str, version: Version, api_server: Version, allowed: u64 },
    #[error("Kubernetes {from} cannot become {to}: that is a way back")]
    #[diagnostic(help("restore a backup that was taken with {to}"))]
    Downgrade { from: Version, to: Version },
    #[error("Kubernetes {from} cannot become {to} in one step")]
    #[diagnostic(help("upgrade minor by minor: the next is {}.{}", from.major, from.minor + 1))]
    SkippedMinor { from: Version, to: Version },
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Component::ApiServer => "the API server",
            Component::Controller => "the controller manager or scheduler",
            Component::Kubelet => "the kubelet",
            Component::KubeProxy => "kube-proxy",
            Component::Kubectl => "kubectl",
        }
    }

    /// How many minors it may be newer and older than the API server.
    fn allowed(self, version: &Version) -> (u64, u64) {
        match self {
            Component::ApiServer | Component::Kubectl => (1, 1),
            Component::Controller => (0, 1),
            // Three since 1.25, two before.
            Component::Kubelet | Component::KubeProxy => (0, if version.minor >= 25 { 3 } else { 2 }),
        }
    }
}

/// Whether a component of this version may talk to an API server of that one. With several API servers, it must
/// be allowed to talk to each.
///
/// # Errors
/// When it may not.
pub fn with_api_server(component: Component, version: &Version, api_server: &Version) -> Result<(), Skew> {
    let (newer, older) = component.allowed(version);
    let name = component.name();
    if version.major > api_server.major
        || version.major == api_server.major && version.minor > api_server.minor + newer
    {
        return Err(Skew::TooNew {
            component: name,
            version: version.clone(),
            api_server: api_server.clone(),
        });
    }
    if version.major < api_server.major || version.minor + older < api_server.minor {
        return Err(Skew::TooOld {
            component: name,
            version: version.clone(),
            api_server: api_server.clone(),
            allowed: older,
        });
    }
    Ok(())
}

/// Whether kubeadm can take a cluster from one version to another: forward, and at most one minor.
///
/// # Errors
/// When it cannot.
pub fn upgrade(from: &Version, to: &Version) -> Result<(), Skew> {
    if to < from {
        return Err(Skew::Downgrade { from: from.clone(), to: to.clone() });
    }
    if to.major != from.major || to.minor > from.minor + 1 {
        return Err(Skew::SkippedMinor { from: from.clone(), to: to.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// The examples of the policy's page, and the edges around them.
    #[test]
    fn what_may_talk_to_an_api_server() {
        use Component::{ApiServer, Controller, KubeProxy, Kubectl, Kubelet};
        for (component, own, api_server, fits) in [
            (ApiServer, "1.36.9", "1.37.0", true),
            (ApiServer, "1.37.0", "1.36.9", true),
            (ApiServer, "1.35.0", "1.37.0", false),
            (Controller, "1.37.0", "1.37.0", true),
            (Controller, "1.36.0", "1.37.0", true),
            (Controller, "1.35.0", "1.37.0", false),
            (Controller, "1.37.0", "1.36.0", false),
            (Kubelet, "1.37.9", "1.37.0", true),
            (Kubelet, "1.34.0", "1.37.9", true),
            (Kubelet, "1.33.9", "1.37.0", false),
            (Kubelet, "1.37.0", "1.36.9", false),
            (Kubelet, "1.25.0", "1.28.0", true),
            (Kubelet, "1.24.0", "1.27.0", false),
            (Kubelet, "1.24.0", "1.26.0", true),
            (KubeProxy, "1.34.0", "1.37.0", true),
            (KubeProxy, "1.37.0", "1.36.0", false),
            (Kubectl, "1.38.0", "1.37.0", true),
            (Kubectl, "1.36.0", "1.37.0", true),
            (Kubectl, "1.35.0", "1.37.0", false),
            (Kubectl, "1.39.0", "1.37.0", false),
            (Kubelet, "2.0.0", "1.37.0", false),
            (Kubelet, "1.37.0", "2.0.0", false),
        ] {
            let answer = with_api_server(component, &version(own), &version(api_server));
            assert_eq!(answer.is_ok(), fits, "{component:?} {own} with {api_server}: {answer:?}");
        }
    }

    #[test]
    fn an_upgrade_goes_forward_minor_by_minor() {
        for (from, to, fits) in [
            ("1.36.2", "1.36.2", true),
            ("1.36.2", "1.36.5", true),
            ("1.36.5", "1.37.0", true),
            ("1.36.5", "1.36.2", false),
            ("1.37.0", "1.36.5", false),
            ("1.35.0", "1.37.0", false),
            ("1.37.0", "2.0.0", false),
            ("1.37.0-rc.1", "1.37.0", true),
        ] {
            let answer = upgrade(&version(from), &version(to));
            assert_eq!(answer.is_ok(), fits, "{from} to {to}: {answer:?}");
        }
    }

    #[test]
    fn the_message_says_what_to_do() {
        let error = upgrade(&version("1.34.1"), &version("1.36.0")).unwrap_err();
        assert_eq!(error.to_string(), "Kubernetes 1.34.1 cannot become 1.36.0 in one step");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert_eq!(help, "upgrade minor by minor: the next is 1.35");
    }
}
