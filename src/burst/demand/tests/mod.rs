//! Decisions on clusters as an API server tells of them.

mod home;
mod look;
mod renting;
mod rows;
mod workers;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    burst::{
        claim::{Claim, InVain, Phase, Why},
        controller::{Caps, Decision},
        offer::{Architecture, Capacity, InstanceType, Money, Offer},
        time::Time,
    },
    inventory::Burst,
};

const NOW: Time = Time(1_767_323_100_000); // 2026-01-02T03:05:00Z

fn told<T: serde::de::DeserializeOwned>(objects: Vec<Value>) -> Vec<T> {
    objects.into_iter().map(|object| serde_json::from_value(object).unwrap()).collect()
}

/// A pod that waits for a processor and a half since 03:04:00, and tolerates what rented nodes have.
fn pod(name: &str, change: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "web", "uid": name, "labels": {"app": "web"},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true}]},
        "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}}],
                 "tolerations": [{"key": "hoist.dev/burst", "operator": "Exists"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "lastTransitionTime": "2026-01-02T03:04:00Z"}]},
    });
    merge(&mut pod, change);
    pod
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, change) => *target = change,
    }
}

fn running(name: &str, node: &str) -> Value {
    pod(name, json!({"spec": {"nodeName": node}, "status": {"phase": "Running", "conditions": []}}))
}

/// A machine, or with a claim's labels a rented node: two processors.
fn node(name: &str, cpu: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"}},
    })
}

fn kind(name: &str, vcpus: u32) -> InstanceType {
    let (architecture, memory_mib) = (Architecture::Amd64, u64::from(vcpus) << 12);
    InstanceType { name: name.into(), architecture, vcpus, memory_mib, max_pods: 110 }
}

fn offer(name: &str, zone: &str, capacity: Capacity, price: u64) -> Offer {
    Offer { instance_type: name.into(), zone: zone.into(), capacity, price: Money(price) }
}

fn claim(name: &str, phase: Phase, pods: &[&str]) -> Claim {
    let offers = vec![offer("m7i.large", "eu-central-1a", Capacity::Spot, 40_000)];
    let mut claim = Claim::new(name.into(), offers, pods.iter().map(ToString::to_string).collect(), NOW);
    claim.phase = phase;
    claim
}

#[derive(Default)]
struct Scene {
    seen: Seen,
    claims: Vec<Claim>,
    wish: Wish,
    burst: Burst,
    spent: Money,
    waits: Waits,
    in_vain: InVain,
}

impl Scene {
    fn with_pods(pods: Vec<Value>) -> Scene {
        Scene { seen: Seen { pods: told(pods), ..Seen::default() }, ..Scene::default() }
    }

    fn decide(&mut self) -> (Decision, Explanation) {
        self.decide_at(NOW)
    }

    fn decide_at(&mut self, now: Time) -> (Decision, Explanation) {
        let types: BTreeMap<String, InstanceType> =
            [kind("m7i.large", 2), kind("m7i.xlarge", 4)].map(|it| (it.name.clone(), it)).into();
        let mut offers = Vec::new();
        for zone in ["eu-central-1a", "eu-central-1b"] {
            offers.push(offer("m7i.large", zone, Capacity::Spot, 40_000));
            offers.push(offer("m7i.large", zone, Capacity::OnDemand, 120_000));
            offers.push(offer("m7i.xlarge", zone, Capacity::OnDemand, 240_000));
        }
        let situation = Situation {
            seen: &self.seen,
            claims: self.claims.iter().collect(),
            wish: &self.wish,
            types: &types,
            offers: &offers,
            has: &|_| true,
            in_vain: &self.in_vain,
            spent: self.spent,
            now,
        };
        let caps = Caps { nodes: 5, vcpus: 16, hourly: None, monthly: Some(Money::dollars(100)) };
        decide(&situation, &Rules { burst: self.burst.clone(), caps }, &mut self.waits)
    }
}

fn wanted(decision: &Decision) -> Vec<(&str, Vec<&str>)> {
    let first = |wanted: &crate::burst::controller::Wanted| wanted.offers[0].instance_type.clone();
    let all = decision.wanted.iter();
    all.map(|it| {
        let name = if first(it) == "m7i.large" { "m7i.large" } else { "m7i.xlarge" };
        (name, it.pods.iter().map(String::as_str).collect())
    })
    .collect()
}

/// A rented node that is ready, with one pod, and a machine with room for so much.
fn at_rest(cpu: &str, change: Value) -> Scene {
    let mut busy = running("a", "burst-1");
    merge(&mut busy, change);
    let mut scene = Scene::with_pods(vec![busy]);
    scene.seen.nodes =
        told(vec![node("w1", cpu, json!({})), node("burst-1", "2", json!({"hoist.dev/claim": "burst-1"}))]);
    scene.claims = vec![claim("burst-1", Phase::Ready, &["web/a"])];
    scene
}
