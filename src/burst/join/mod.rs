//! What a rented node runs to join: the roles that hosts get over SSH, as one script.
//!
//! [`Joiner`] compiles them once, for a worker that no inventory has and that boots a known image; `steps` writes them as
//! sh. What is a node's own stands there under a name until it is filled in: `fill` has the names.

mod error;
mod fill;
mod steps;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io::Read as _};

use flate2::{Compression, bufread::GzEncoder};
use serde_json::json;

pub use error::Error;

use super::{
    kubernetes::{Joining, Unwritten, Writer},
    pack::CAPACITY,
    rented::{CLAIM, future_labels},
};
use crate::{
    artifact::Index,
    burst::cloud::UserData,
    cluster::{Observed, Rented, packages::Pinned, rented},
    engine::{Context, Library, RoleSteps, Target, Templates, compile},
    facts::Facts,
    inventory::{Architecture, Burst, Inventory, Plugin, System},
};

/// Until Cilium's agent takes it away, pods would be without a network:
/// <https://docs.cilium.io/en/stable/installation/taints/>
const STARTING: &str = "node.cilium.io/agent-not-ready=true:NoExecute";
/// Longer than those of any node, and packed as badly: whether what nodes run is too long is known before one is rented.
const LONGEST: [&str; 4] = [
    "burst-7d1e9a3c5b-0f2a7b3c4d5e",
    "k3v9qx.7f2m8w1p4c6z0d5h-x8r2n6y1t9b4g7j3l5s0",
    "u7in-32tb.224xlarge-flex",
    "on-demand",
];
/// What is called by this name in errors about all rented nodes.
const ALL: &str = "a rented node";

/// Writes what nodes run to join one cluster.
pub struct Joiner {
    script: String,
}

impl Joiner {
    /// Compiles what all rented nodes have in common. `index` has the files for their architecture; `ca_hash` is that of
    /// the cluster's authority, as kubeadm has it (`sha256:…`).
    ///
    /// # Errors
    /// What the inventory or a role asks for cannot be had by a node that nobody reaches over SSH.
    pub fn new(
        inventory: &Inventory,
        index: &Index,
        library: &Library,
        ca_hash: String,
    ) -> Result<Joiner, Error> {
        let burst = &inventory.burst;
        let [architecture] = burst.instances.architectures[..] else { return Err(Error::Architectures) };
        if inventory.cluster.network.plugin != Plugin::Cilium {
            return Err(Error::Plugin);
        }
        let labels = labels(burst)?;
        let taints: Vec<String> = burst.taints.iter().cloned().chain([STARTING.to_owned()]).collect();
        let provider_id = format!("aws:///{}/{}", fill::ZONE, fill::INSTANCE);
        let node = Rented {
            name: fill::CLAIM,
            address: fill::ADDRESS,
            provider_id: &provider_id,
            capacity: fill::CAPACITY,
            labels: &labels,
            taints: &taints,
        };
        let facts = facts(burst.image.system, architecture);
        let target = rented(inventory, Some(index), &facts, &node);
        let templates = Templates::new(library.clone());
        let mut roles = compile(library, &templates, &target)?;
        let observed = Observed::from_iter([(ALL.to_owned(), facts)]);
        Pinned::new(inventory, Some(index)).give(&mut roles, ALL, &observed)?;
        let script = script(&templates, &target, &roles, burst.script.as_deref(), &ca_hash)?;
        let joiner = Joiner { script };
        joiner.fill(LONGEST)?;
        Ok(joiner)
    }

    /// What a node runs, before what is its own is filled in. There is no secret in it.
    pub fn script(&self) -> &str {
        &self.script
    }

    /// The user data of one node: the same for the same node. EC2 takes 16 KiB, and cloud-init unpacks what is packed:
    /// <https://docs.cloud-init.io/en/latest/explanation/format.html>
    ///
    /// # Errors
    /// It is longer than EC2 takes, or a value of the node cannot be in it.
    pub fn write(&self, joining: &Joining<'_>) -> Result<UserData, Unwritten> {
        let (claim, offer) = (&joining.claim.name, joining.offer);
        self.fill([claim, joining.token, &offer.instance_type, offer.capacity.name()])
    }

    /// With a node's name, token, instance type and capacity.
    fn fill(&self, [claim, token, instance_type, capacity]: [&str; 4]) -> Result<UserData, Unwritten> {
        let values = [
            ("name", fill::CLAIM, claim),
            ("token", fill::TOKEN, token),
            ("instance type", fill::TYPE, instance_type),
            ("capacity", fill::CAPACITY, capacity),
        ];
        if let Some((what, ..)) = values.iter().find(|(.., value)| !fill::is_plain(value)) {
            return Err(Unwritten::Odd { what });
        }
        let script =
            values.iter().fold(self.script.clone(), |script, (_, name, value)| script.replace(name, value));
        Ok(UserData::new(packed(&script))?)
    }

    /// For whoever makes nodes.
    pub fn writer(self) -> Writer {
        Box::new(move |joining| self.write(joining))
    }
}

fn packed(script: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Reading from memory does not fail.
    let _ = GzEncoder::new(script.as_bytes(), Compression::best()).read_to_end(&mut bytes);
    bytes
}

/// All of it: what fills values in, and the steps of the roles. The administrator's own script comes as soon as the instance
/// is sure to end some day.
fn script(
    templates: &Templates,
    target: &Target,
    roles: &[RoleSteps],
    own: Option<&str>,
    ca_hash: &str,
) -> Result<String, Error> {
    let late = json!({
        "join": {"token": fill::TOKEN, "ca_hash": ca_hash},
        // Others wait for this word of a control plane. The API server of the controller has made room long ago.
        "place": {"made": "yes"},
    });
    let mut steps = steps::Steps::new(templates, late);
    for (index, role) in roles.iter().enumerate() {
        steps.role(role)?;
        // The first is `burst`.
        if index == 0 {
            steps.disarm();
            own.iter().for_each(|own| steps.own(own));
        }
    }
    let mut context: Context = target.context.clone();
    context.set("fill", json!({"instance": fill::INSTANCE, "zone": fill::ZONE, "address": fill::ADDRESS}));
    context.set("steps", steps.text());
    Ok(templates.file("burst/join.sh", &context)?)
}

/// Those of the inventory and hoist's own, which nobody's stand in for.
fn labels(burst: &Burst) -> Result<BTreeMap<String, String>, Error> {
    if let Some(key) = burst.labels.keys().find(|key| !may_label_itself(key)) {
        return Err(Error::Label { key: key.clone() });
    }
    let region = burst.region.as_deref().ok_or(Error::Region)?;
    let own = [
        (CLAIM, fill::CLAIM),
        (CAPACITY, fill::CAPACITY),
        ("node.kubernetes.io/instance-type", fill::TYPE),
        ("topology.kubernetes.io/region", region),
        ("topology.kubernetes.io/zone", fill::ZONE),
    ];
    let mut labels = future_labels(burst);
    labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(labels)
}

/// Whether a kubelet takes this label for its own node, and the API server (NodeRestriction) lets it:
/// <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>
fn may_label_itself(key: &str) -> bool {
    let Some((namespace, _)) = key.split_once('/') else { return true };
    let below = |parent: &str| {
        namespace.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    match key {
        "kubernetes.io/hostname"
        | "kubernetes.io/os"
        | "kubernetes.io/arch"
        | "topology.kubernetes.io/region"
        | "topology.kubernetes.io/zone" => true,
        _ => {
            let known = ["kubelet.kubernetes.io", "node.kubernetes.io"].into_iter().any(below);
            known || !["kubernetes.io", "k8s.io"].into_iter().any(below)
        }
    }
}

/// What a freshly booted image would answer, as far as roles look at it. Which containerd its repository has is not known
/// before: every one reads the older form of its configuration.
fn facts(system: System, architecture: Architecture) -> Facts {
    let (id, like, version) = match system {
        System::Debian12 => ("debian", "", "12"),
        System::Debian13 => ("debian", "", "13"),
        System::Ubuntu2404 => ("ubuntu", "debian", "24.04"),
    };
    let machine = match architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    };
    Facts::parse(&format!(
        "os.id={id}\nos.like={like}\nos.version={version}\ninit=systemd\npackages=apt\ncgroup=2\n\
         virtualization=amazon\narchitecture={machine}\n"
    ))
}
