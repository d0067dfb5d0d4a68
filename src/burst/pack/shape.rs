//! What a node of an instance type will have for pods.

use std::collections::BTreeMap;

use super::{
    node::{Node, Origin, Taint},
    pod::HOSTNAME,
    resources::Resources,
};
use crate::burst::offer::{Architecture, InstanceType, Offer};

/// The label that says how a rented node is paid for.
pub const CAPACITY: &str = "hoist.dev/capacity-type";

/// An instance type as a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The instance type's name, by which offers refer to it.
    pub name: String,
    pub architecture: Architecture,
    pub vcpus: u32,
    /// What pods can have of it, daemons included.
    pub allocatable: Resources,
    pub max_pods: u32,
}

/// What of an instance pods cannot have.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserved {
    /// The part of the memory, in thousandths, that the hypervisor and the kernel keep. Karpenter's default
    /// `VM_MEMORY_OVERHEAD_PERCENT` is 0.075.
    pub memory_permille: u64,
    /// Whether kubelet reserves for itself what EKS' nodes do (`kubeReserved` of the EKS AMI, amazon-eks-ami
    /// `nodeadm/internal/kubelet/config.go`): memory 255 MiB and 11 MiB a pod; of the processors 6 % of the first, 1 %
    /// of the second, 0.5 % of the next two and 0.25 % of the others.
    pub kube: bool,
    /// Bytes below which kubelet evicts (`evictionHard: memory.available`, by default 100 MiB).
    pub eviction: u64,
    /// Bytes of the root disk that pods can have as ephemeral storage.
    pub storage: u64,
}

impl Default for Reserved {
    /// A root disk of 30 GB, of which the system and images take a third.
    fn default() -> Self {
        Reserved { memory_permille: 75, kube: true, eviction: 100 << 20, storage: 20_000_000_000 }
    }
}

impl Reserved {
    /// Nothing reserved, and disk without end: for comparisons with what was measured that way.
    pub fn none() -> Self {
        Reserved { memory_permille: 0, kube: false, eviction: 0, storage: u64::MAX / 4 }
    }
}

impl Shape {
    /// What a node of this type will have.
    pub fn of(instance: &InstanceType, reserved: &Reserved) -> Shape {
        let bytes = instance.memory_mib << 20;
        let kube_memory = if reserved.kube { (255 + 11 * u64::from(instance.max_pods)) << 20 } else { 0 };
        let kube_cpu = if reserved.kube { reserved_milli_cpu(instance.vcpus) } else { 0 };
        let memory = bytes - bytes / 1000 * reserved.memory_permille;
        Shape {
            name: instance.name.clone(),
            architecture: instance.architecture,
            vcpus: instance.vcpus,
            allocatable: Resources {
                milli_cpu: (u64::from(instance.vcpus) * 1000).saturating_sub(kube_cpu),
                memory: memory.saturating_sub(kube_memory).saturating_sub(reserved.eviction),
                storage: reserved.storage,
                extended: BTreeMap::new(),
            },
            max_pods: instance.max_pods,
        }
    }

    /// The node that is asked for with this offer, with `labels` beside its own.
    pub fn node(
        &self,
        name: &str,
        offer: &Offer,
        labels: &BTreeMap<String, String>,
        taints: Vec<Taint>,
    ) -> Node {
        let mut all = self.labels(offer);
        all.extend(labels.clone());
        all.insert(HOSTNAME.to_owned(), name.to_owned());
        Node {
            name: name.to_owned(),
            labels: all,
            taints,
            allocatable: self.allocatable.clone(),
            max_pods: self.max_pods,
            pods: Vec::new(),
            origin: Origin::Rented { price: offer.price, vcpus: self.vcpus, in_flight: true },
        }
    }

    /// The labels that a node of this offer gets, those of its kubelet included.
    pub fn labels(&self, offer: &Offer) -> BTreeMap<String, String> {
        let architecture = match self.architecture {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        };
        let mut labels = offer_labels(offer);
        for (key, value) in [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", architecture)] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }
}

/// The labels that follow from an offer alone.
pub fn offer_labels(offer: &Offer) -> BTreeMap<String, String> {
    // `eu-central-1a` is in `eu-central-1`.
    let region = offer.zone.trim_end_matches(|c: char| c.is_ascii_lowercase());
    [
        ("node.kubernetes.io/instance-type", offer.instance_type.as_str()),
        ("topology.kubernetes.io/region", region),
        (super::pod::ZONE, &offer.zone),
        (CAPACITY, offer.capacity.name()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn reserved_milli_cpu(vcpus: u32) -> u64 {
    // In hundred-thousandths of a processor: 6 %, 1 %, 0.5 % twice, then 0.25 %.
    let parts: u64 = (0..vcpus).map(|core| [6000, 1000, 500, 500].get(core as usize).unwrap_or(&250)).sum();
    parts / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::offer::Capacity;

    fn large() -> InstanceType {
        InstanceType {
            name: "m7i.large".into(),
            architecture: Architecture::Amd64,
            vcpus: 2,
            memory_mib: 8192,
            max_pods: 110,
        }
    }

    #[test]
    fn a_node_has_less_than_its_instance() {
        let shape = Shape::of(&large(), &Reserved::default());
        assert_eq!(shape.allocatable.milli_cpu, 1930);
        // 8192 MiB less 7.5 %, 255 + 11 × 110 MiB and 100 MiB.
        assert_eq!(shape.allocatable.memory.div_ceil(1 << 20), 6013);
        assert_eq!([4, 8, 96].map(reserved_milli_cpu), [80, 90, 310]);
        let whole = Shape::of(&large(), &Reserved::none());
        assert_eq!((whole.allocatable.milli_cpu, whole.allocatable.memory), (2000, 8192 << 20));
    }

    #[test]
    fn what_is_reserved_is_never_more_than_there_is() {
        let nano = InstanceType { memory_mib: 512, vcpus: 0, ..large() };
        assert_eq!(Shape::of(&nano, &Reserved::default()).allocatable.memory, 0);
    }

    #[test]
    fn a_node_is_labelled_with_what_it_is() {
        let shape = Shape::of(&large(), &Reserved::default());
        let offer = Offer {
            instance_type: "m7i.large".into(),
            zone: "eu-central-1a".into(),
            capacity: Capacity::Spot,
            price: Default::default(),
        };
        let labels = shape.labels(&offer);
        assert_eq!(labels["topology.kubernetes.io/region"], "eu-central-1");
        assert_eq!(labels["topology.kubernetes.io/zone"], "eu-central-1a");
        assert_eq!(labels["kubernetes.io/arch"], "amd64");
        assert_eq!(labels[CAPACITY], "spot");
    }
}
