//! What a drain needs: which pods it moves, evictions that respect budgets, and certificates that are approved.

use std::time::Duration;

use ::kube::api::{Api as Resources, DeleteParams, ListParams, Patch, PatchParams};
use k8s_openapi::{
    api::{certificates::v1::CertificateSigningRequest, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Status,
};
use serde_json::json;

use super::{api::Api, error::Error};

/// A pod that has to be somewhere else when its node goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Movable {
    pub namespace: String,
    pub name: String,
    pub node: String,
    /// Seconds that it has to end by itself (`terminationGracePeriodSeconds`).
    pub grace: u64,
}

/// What came of an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// It ends, or has ended.
    Ends,
    /// A PodDisruptionBudget allows none now; the API server's words.
    Refused(String),
}

impl Api {
    /// The pods of a node, or of all nodes, that a drain moves: neither of DaemonSets, nor static, nor done.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn movable(&self, node: Option<&str>) -> Result<Vec<Movable>, Error> {
        let mut which = ListParams::default();
        if let Some(node) = node {
            which = which.fields(&format!("spec.nodeName={node}"));
        }
        let pods = self.list_pods(None, &which).await?;
        let mut movable: Vec<Movable> = pods.iter().filter_map(Movable::read).collect();
        movable.sort();
        Ok(movable)
    }

    /// Evicts a pod (`pods/eviction`), with at most this much grace.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses for another reason than a budget.
    pub async fn evict(&self, pod: &Movable, grace: Option<Duration>) -> Result<Evicted, Error> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", pod.namespace, pod.name);
        // Without a version: it is that of the API server, which is `policy/v1beta1` before 1.22.
        let mut body = json!({"metadata": {"name": pod.name, "namespace": pod.namespace}});
        if let Some(grace) = grace {
            body["deleteOptions"] = json!({"gracePeriodSeconds": pod.capped(grace)});
        }
        let request = || async {
            let request = http::Request::post(path.as_str()).header("content-type", "application/json");
            let request = request.body(body.to_string().into_bytes()).map_err(::kube::Error::HttpError)?;
            self.client.request::<Status>(request).await
        };
        // Once: who drains asks again, and a budget's refusal looks like a server that is busy.
        match self.ask_once(&format!("evict pod {}/{}", pod.namespace, pod.name), request).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(Evicted::Ends),
            Err(Error::Unavailable { status: 429, message, .. }) => Ok(Evicted::Refused(message)),
            Err(error) => Err(error),
        }
    }

    /// Deletes a pod whatever budgets say, with at most this much grace.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn delete_pod(&self, pod: &Movable, grace: Option<Duration>) -> Result<(), Error> {
        let pods: Resources<Pod> = Resources::namespaced(self.client.clone(), &pod.namespace);
        let grace_period_seconds = grace.map(|grace| u32::try_from(pod.capped(grace)).unwrap_or(u32::MAX));
        let params = DeleteParams { grace_period_seconds, ..DeleteParams::default() };
        let action = format!("delete pod {}/{}", pod.namespace, pod.name);
        match self.ask(&action, || pods.delete(&pod.name, &params)).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Approves a CertificateSigningRequest; one that is gone or decided needs nothing. `reason` is one word, `message`
    /// says to people who did it.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn approve(&self, request: &str, reason: &str, message: &str) -> Result<(), Error> {
        let requests: Resources<CertificateSigningRequest> = Resources::all(self.client.clone());
        let action = format!("approve the request for a certificate {request}");
        let Some(found) = self.ask(&action, || requests.get_opt(request)).await? else { return Ok(()) };
        let decided = found.status.and_then(|status| status.conditions).unwrap_or_default();
        if !decided.is_empty() {
            return Ok(());
        }
        let condition = json!({"type": "Approved", "status": "True", "reason": reason, "message": message});
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        let params = PatchParams::default();
        match self.ask(&action, || requests.patch_approval(request, &params, &patch)).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Movable {
    fn read(pod: &Pod) -> Option<Movable> {
        let annotations = pod.metadata.annotations.as_ref();
        let is_static = annotations.is_some_and(|known| known.contains_key("kubernetes.io/config.mirror"));
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        let is_daemon =
            owners.iter().any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if is_static || is_daemon || matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        Some(Movable {
            namespace: pod.metadata.namespace.clone()?,
            name: pod.metadata.name.clone()?,
            node: pod.spec.as_ref()?.node_name.clone()?,
            grace: pod
                .spec
                .as_ref()?
                .termination_grace_period_seconds
                .map_or(30, |seconds| u64::try_from(seconds).unwrap_or(0)),
        })
    }

    /// Never more than its own, and never none: that would take the object away while its containers run.
    fn capped(&self, most: Duration) -> u64 {
        most.as_secs().min(self.grace).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::kube::{
        Patience,
        fake::{Answer, Fake, SERVER},
    };

    fn pod(name: &str, more: serde_json::Value) -> Pod {
        let mut object = json!({"metadata": {"name": name, "namespace": "web"}, "spec": {"nodeName": "burst-1", "containers": []},
                                "status": {"phase": "Running"}});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_drain_moves_what_would_not_come_back_there_by_itself() {
        assert_eq!(
            Movable::read(&pod("a", json!({}))),
            Some(Movable { namespace: "web".into(), name: "a".into(), node: "burst-1".into(), grace: 30 })
        );
        let patient = Movable { namespace: "web".into(), name: "a".into(), node: "n".into(), grace: 60 };
        let capped = |seconds: u64| patient.capped(Duration::from_secs(seconds));
        assert_eq!((capped(90), capped(20), capped(0)), (60, 20, 1));
        let owner = json!([{"kind": "DaemonSet", "name": "d", "controller": true, "apiVersion": "apps/v1", "uid": "1"}]);
        for more in [
            json!({"status": {"phase": "Succeeded"}}),
            json!({"status": {"phase": "Failed"}}),
            json!({"spec": {"containers": []}}),
            json!({"metadata": {"name": "a", "namespace": "web", "ownerReferences": owner}}),
            json!({"metadata": {"name": "a", "namespace": "web", "annotations": {"kubernetes.io/config.mirror": "x"}}}),
        ] {
            assert_eq!(Movable::read(&pod("a", more.clone())), None, "{more}");
        }
    }

    async fn asked(answer: Answer) -> (Result<Evicted, Error>, Vec<(String, String)>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        let fake = Fake::serve(SERVER, move |_, request, body| {
            seen.lock().unwrap().push((request.to_owned(), String::from_utf8_lossy(body).into_owned()));
            answer.clone()
        })
        .await;
        let patience = Patience { request: Duration::from_secs(5), total: Duration::from_secs(5) };
        let api = crate::kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let pod = Movable { namespace: "web".into(), name: "a".into(), node: "burst-1".into(), grace: 120 };
        let evicted = api.with_patience(patience).evict(&pod, Some(Duration::from_secs(90))).await;
        let log = log.lock().unwrap().clone();
        (evicted, log)
    }

    #[tokio::test]
    async fn an_eviction_is_asked_for_once_and_a_budget_is_no_error() {
        let (evicted, log) = asked(Answer::Json(201, r#"{"status": "Success"}"#.into())).await;
        assert_eq!(evicted.unwrap(), Evicted::Ends);
        assert_eq!(log[0].0, "POST /api/v1/namespaces/web/pods/a/eviction");
        assert!(log[0].1.contains(r#""deleteOptions":{"gracePeriodSeconds":90}"#), "{log:?}");
        let words = "Cannot evict pod as it would violate the pod's disruption budget.";
        let (evicted, log) = asked(Answer::failure(429, "TooManyRequests", words)).await;
        assert_eq!(evicted.unwrap(), Evicted::Refused(words.into()));
        assert_eq!(log.len(), 1);
        let (evicted, _) = asked(Answer::failure(404, "NotFound", "gone")).await;
        assert_eq!(evicted.unwrap(), Evicted::Ends);
        let (evicted, _) = asked(Answer::failure(403, "Forbidden", "no")).await;
        assert!(matches!(evicted, Err(Error::Forbidden { .. })));
    }
}
