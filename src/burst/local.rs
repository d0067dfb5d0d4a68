//! Services that take what comes from outside to pods of the node alone on which it arrives (`externalTrafficPolicy: Local`).
//! Nothing arrives on rented nodes, so pods of such Services get nothing there.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use serde::Serialize;

use crate::kube::{Api, Error};

/// A Service with pods on rented nodes that get nothing from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Local {
    /// With its namespace.
    pub service: String,
    /// The names of these pods.
    pub pods: Vec<String>,
}

/// Those of a cluster whose rented nodes are these.
///
/// # Errors
/// The API server does not answer, or refuses to list Services or pods.
pub async fn local(api: &Api, rented: &BTreeSet<&str>) -> Result<Vec<Local>, Error> {
    let mut services: Vec<Service> = match rented.is_empty() {
        true => Vec::new(),
        false => api.everything().await?,
    };
    services.retain(is_local);
    match services.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(on_rented(&services, &api.everything().await?, rented)),
    }
}

/// Kubernetes keeps the policy only where something can come from outside: in Services with node ports, a load balancer, or
/// external addresses.
fn is_local(service: &Service) -> bool {
    let policy = service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref());
    policy == Some("Local")
}

fn on_rented(services: &[Service], pods: &[Pod], rented: &BTreeSet<&str>) -> Vec<Local> {
    let runs_there = |pod: &&Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        node.is_some_and(|node| rented.contains(node)) && !matches!(phase, Some("Succeeded" | "Failed"))
    };
    let there: Vec<&Pod> = pods.iter().filter(runs_there).collect();
    let found = services.iter().map(|service| {
        let of_it = there.iter().filter(|pod| selects(service, pod));
        let name = |pod: &&&Pod| pod.metadata.name.clone().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let service = format!("{namespace}/{}", service.metadata.name.as_deref().unwrap_or_default());
        Local { service, pods: of_it.map(|pod| name(&pod)).collect() }
    });
    found.filter(|local| !local.pods.is_empty()).collect()
}

/// A Service without a selector has endpoints that somebody else writes: they are not looked for.
fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = pod.metadata.labels.as_ref();
    service.metadata.namespace == pod.metadata.namespace
        && selector.is_some_and(|selector| {
            let has = |(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value));
            !selector.is_empty() && selector.iter().all(has)
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::kube::{
        self,
        fake::{Fake, SERVER},
        memory::Memory,
    };

    fn service(name: &str, policy: &str, selector: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "web"},
               "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy, "selector": selector}})
    }

    fn pod(name: &str, namespace: &str, node: &str, phase: &str) -> Value {
        let metadata = json!({"name": name, "namespace": namespace, "labels": {"app": "front", "v": "1"}});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
               "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}})
    }

    #[tokio::test]
    async fn only_local_services_with_pods_on_rented_nodes_are_told() {
        let mut memory = Memory::default();
        for object in [
            service("front", "Local", &json!({"app": "front"})),
            service("anywhere", "Cluster", &json!({"app": "front"})),
            service("other", "Local", &json!({"app": "front", "v": "2"})),
            service("by-hand", "Local", &json!({})),
            pod("at-home", "web", "w1", "Running"),
            pod("away", "web", "burst-1", "Running"),
            pod("starts", "web", "burst-1", "Pending"),
            pod("done", "web", "burst-1", "Succeeded"),
            pod("elsewhere", "shop", "burst-1", "Running"),
        ] {
            memory.objects.put(object);
        }
        let memory = Mutex::new(memory);
        let fake =
            Fake::serve(SERVER, move |_, request, body| memory.lock().unwrap().answer(request, body)).await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let told = local(&api, &BTreeSet::from(["burst-1", "burst-2"])).await.unwrap();
        assert_eq!(told, [Local { service: "web/front".into(), pods: vec!["away".into(), "starts".into()] }]);
        assert_eq!(local(&api, &BTreeSet::from(["burst-2"])).await.unwrap(), []);
        let asked = fake.requests.lock().unwrap().len();
        assert_eq!(local(&api, &BTreeSet::new()).await.unwrap(), []);
        assert_eq!(fake.requests.lock().unwrap().len(), asked, "where nothing is rented nobody is asked");
    }
}
