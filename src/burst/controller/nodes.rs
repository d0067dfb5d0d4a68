//! What the controller wants of Kubernetes, and whose certificates it lets be signed.

use std::time::Duration;

use async_trait::async_trait;

use crate::burst::{
    claim::{Claim, NodeSeen, Phase},
    cloud::{UserData, hex},
    offer::Offer,
};

/// Kubernetes did not do it. `reason` names cause and fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("Kubernetes: failed to {action}: {reason}")]
#[diagnostic(help("nothing to do if it passes: it is tried again"))]
pub struct NodeError {
    /// Completes "failed to …".
    pub action: String,
    pub reason: String,
    /// Whether it is in vain to try again before something else is configured.
    pub lasts: bool,
}

/// What is done about a claim's Node. Each may be repeated, and is no error if it is so already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Approve this CertificateSigningRequest.
    Approve(String),
    Cordon,
    /// Pods may come again.
    Uncordon,
    /// Evict what a drain moves; after budgets are not respected any more, delete it.
    Evict {
        grace: Option<Duration>,
        respect_budgets: bool,
    },
    /// Delete the token to join with.
    DropToken,
    /// Give the Node the label of its claim.
    Label,
    /// Delete the Node, if it has the claim's label or is one of these instances; the token and requests for certificates. Done
    /// only when all of them are gone.
    DropNode(Vec<String>),
}

/// A request for a certificate that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    pub name: String,
    /// Who asks.
    pub user: String,
    /// `spec.signerName`
    pub signer: String,
    /// The common name that it asks for.
    pub common_name: String,
    /// The names and addresses that it asks for besides; nothing where they cannot be read.
    pub alternatives: Option<Vec<String>>,
}

/// Kubernetes, as far as rented nodes go.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// The Nodes of claims, whole or an error: those with a claim's label, and those which one of these [`Claim::owns`]
    /// although somebody has taken it away.
    ///
    /// # Errors
    /// The API server did not answer.
    async fn nodes(&self, claims: &[&Claim]) -> Result<Vec<NodeSeen>, NodeError>;

    /// Requests for certificates that nobody has decided.
    ///
    /// # Errors
    /// As above.
    async fn requests(&self) -> Result<Vec<CertificateRequest>, NodeError>;

    /// Makes a token of this [`token_id`] that lasts 20 minutes, in place of an earlier one, and with it the user data
    /// for attempt `number`.
    ///
    /// # Errors
    /// As above, or the user data is too long.
    async fn prepare(&self, claim: &Claim, number: u32, offer: &Offer) -> Result<UserData, NodeError>;

    /// # Errors
    /// As above.
    async fn work(&self, claim: &str, work: &Work) -> Result<(), NodeError>;
}

/// The public part of a claim's token, which is also the end of its user's name. Follows from the claim, so that a
/// token made by a controller that was killed is replaced and not forgotten.
pub fn token_id(claim: &str) -> String {
    hex(format!("token of {claim}").as_bytes()).chars().take(6).collect()
}

/// Whether a request is that of a claim's kubelet, at a time when it may ask. A token is good for the certificate of the
/// one Node that it was made for, and only until that Node is there.
pub fn may_sign(request: &CertificateRequest, claims: &[&Claim]) -> bool {
    let Some(name) = request.common_name.strip_prefix("system:node:") else { return false };
    let Some(claim) = claims.iter().find(|claim| claim.name == name && claim.may_join()) else {
        return false;
    };
    match request.signer.as_str() {
        "kubernetes.io/kube-apiserver-client-kubelet" => {
            claim.phase < Phase::Registered
                && request.user == format!("system:bootstrap:{}", token_id(&claim.name))
        }
        // The signer does not look whose addresses these are.
        "kubernetes.io/kubelet-serving" => {
            let own = |it: &String| *it == claim.name || Some(it) == claim.address.as_ref();
            let alternatives = request.alternatives.as_deref().unwrap_or_default();
            request.user == request.common_name && !alternatives.is_empty() && alternatives.iter().all(own)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::time::Time;

    const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

    fn request(claim: &str, user: &str, signer: &str) -> CertificateRequest {
        CertificateRequest {
            name: "csr-1".into(),
            user: user.into(),
            signer: signer.into(),
            common_name: format!("system:node:{claim}"),
            alternatives: Some(vec![claim.into(), "172.16.0.9".into()]),
        }
    }

    fn claim(phase: Phase) -> Claim {
        let mut claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
        claim.phase = phase;
        claim
    }

    #[test]
    fn a_token_joins_the_node_that_it_was_made_for_once() {
        let user = format!("system:bootstrap:{}", token_id("burst-1"));
        let own = request("burst-1", &user, CLIENT);
        for (phase, expected) in [
            (Phase::Planned, false),
            (Phase::Launching, true),
            (Phase::Launched, true),
            (Phase::Running, true),
            (Phase::Registered, false),
            (Phase::Ready, false),
            (Phase::Terminating, false),
        ] {
            assert_eq!(may_sign(&own, &[&claim(phase)]), expected, "{phase:?}");
        }
        let open = claim(Phase::Running);
        let mut ending = open.clone();
        ending.why = Some(crate::burst::claim::Why::Removed);
        assert!(!may_sign(&own, &[&ending]), "it ends");
        assert!(!may_sign(&own, &[]), "no claim");
        assert!(
            !may_sign(&request("burst-1", "system:bootstrap:abcdef", CLIENT), &[&open]),
            "a foreign token"
        );
        assert!(!may_sign(&request("cp1", &user, CLIENT), &[&open]), "a foreign name");
        assert!(!may_sign(&request("burst-1", &user, "kubernetes.io/legacy-unknown"), &[&open]));
        let mut admin = own;
        admin.common_name = "system:masters".into();
        assert!(!may_sign(&admin, &[&open]));
    }

    #[test]
    fn a_node_asks_for_its_own_serving_certificate() {
        let serving = "kubernetes.io/kubelet-serving";
        let mut open = claim(Phase::Ready);
        let own = request("burst-1", "system:node:burst-1", serving);
        assert!(!may_sign(&own, &[&open]), "EC2 has not told that address");
        open.address = Some("172.16.0.9".into());
        assert!(may_sign(&own, &[&open]));
        for alternatives in [None, Some(vec![]), Some(vec!["burst-1".into(), "192.168.18.200".into()])] {
            assert!(!may_sign(&CertificateRequest { alternatives, ..own.clone() }, &[&open]));
        }
        assert!(!may_sign(&request("burst-1", "system:node:cp1", serving), &[&open]));
    }

    #[test]
    fn a_token_id_is_what_kubernetes_takes() {
        let id = token_id("burst-1");
        assert!(id.len() == 6 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
        assert_ne!(id, token_id("burst-2"));
    }
}
