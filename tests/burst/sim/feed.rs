//! What the program that runs reads and shows, simulated: pods and nodes as Kubernetes has them, and the board.

use std::sync::Arc;

use async_trait::async_trait;
use hoist::{
    burst::{
        claim::LedgerError,
        controller::Controller,
        demand::{Look, Seen, Wish},
        gateway::{Records, SETTLED},
        service::{Beside, Board, Connect, Connection, Error, Status},
    },
    kube,
};
use serde_json::{Value, json};

use super::{
    bed::{Handle, settings},
    cluster,
    world::World,
};
use crate::keeper::keeper;

/// Two of them fill a node of two processors.
const CPU: &str = "900m";

#[async_trait]
impl Look for Handle {
    async fn look(&self) -> Result<Seen, kube::Error> {
        self.call(|world| match world.faults.away {
            true => {
                let (action, reason) = ("list pods".to_owned(), "the line is cut".to_owned());
                Err(kube::Error::Cut { action, reason })
            }
            false => Ok(seen(world)),
        })
        .await
    }
}

fn seen(world: &World) -> Seen {
    let pods = world.pods.iter().map(|(full_name, pod)| {
        let (namespace, name) = full_name.split_once('/').unwrap();
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "1", "controller": true}]);
        let conditions = match &pod.node {
            None => json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
            Some(_) => json!([]),
        };
        read(json!({
            "metadata": {"name": name, "namespace": namespace, "uid": full_name, "ownerReferences": owner},
            "spec": {"nodeName": pod.node, "tolerations": [{"operator": "Exists"}],
                     "containers": [{"name": "a", "resources": {"requests": {"cpu": CPU}}}]},
            "status": {"conditions": conditions},
        }))
    });
    let nodes = world.nodes.iter().map(|(name, node)| {
        read(json!({
            "metadata": {"name": name, "labels": {"hoist.dev/claim": name}},
            "spec": {"unschedulable": node.cordoned, "taints": cordon(node.cordoned)},
            "status": {"allocatable": {"cpu": "1930m", "memory": "6Gi", "pods": "110"}},
        }))
    });
    Seen { pods: pods.collect(), nodes: nodes.collect(), ..Seen::default() }
}

fn cordon(is_cordoned: bool) -> Value {
    match is_cordoned {
        true => json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
        false => json!([]),
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

#[async_trait]
impl Board for Handle {
    async fn wish(&self) -> Result<Wish, LedgerError> {
        if self.call(|world| world.faults.scrawled).await {
            return Err(LedgerError::Unreadable { what: "wish".to_owned(), reason: "no JSON".to_owned() });
        }
        Ok(self.call(|world| world.wish.clone()).await)
    }

    async fn show(&self, status: &Status) -> Result<(), LedgerError> {
        self.call(|world| {
            world.shown += 1;
            world.status = Some(status.clone());
        })
        .await;
        Ok(())
    }
}

/// The way to the simulated cluster, for a controller of this name.
pub struct Road(pub Handle, pub &'static str);

#[async_trait]
impl Connect for Road {
    async fn connect(&self) -> Result<Connection, Error> {
        let Road(handle, name) = self;
        if handle.call(|world| world.faults.away).await {
            return Err(Error::Away { reason: "no control plane answers".to_owned() });
        }
        handle.call(|world| world.ways += 1).await;
        let has_gateway = handle.call(|world| world.has_gateway).await;
        let keeper = has_gateway.then(|| Beside::new(keeper(handle, SETTLED)));
        let written = has_gateway.then(|| -> Arc<dyn Records> { Arc::new(handle.clone()) });
        let around = cluster::all(handle.clone());
        Ok(Connection {
            keeper,
            written,
            controller: Controller::new(around, settings(), (*name).to_owned()),
            look: Box::new(handle.clone()),
            board: Box::new(handle.clone()),
        })
    }
}
