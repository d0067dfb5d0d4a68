//! Pods that are alike, and what their wishes about nodes and other pods come to.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use super::{
    node::{Node, Taint},
    pod::{HOSTNAME, Pod, Spread, Toleration},
    select::Requirement,
};

/// Which pods of which namespaces are counted, by which label of their nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Group<'a> {
    pub key: &'a str,
    pub pods: &'a [Requirement],
    /// Empty: all.
    pub namespaces: Vec<&'a str>,
    /// On which nodes.
    pub over: Over<'a>,
}

/// Which nodes count for spread. By default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Over<'a> {
    /// Whose selector and affinity they meet.
    selected: Option<Demand<'a>>,
    /// Whose taints these are for.
    tolerated: Option<&'a [Toleration]>,
    /// That have these labels.
    keys: Vec<&'a str>,
}

impl<'a> Over<'a> {
    /// Source: `calPreFilterState` of the scheduler's plugin PodTopologySpread.
    fn of(pod: &'a Pod, spread: &'a Spread) -> Over<'a> {
        let asks = !(spread.any_labels || pod.selector.is_empty() && pod.affinity.is_empty());
        let keys = pod.spread.iter().map(|spread| spread.key.as_str());
        // Nodes without the constraint's own label are in no domain, and all have a name.
        let mut keys: Vec<&str> = keys.filter(|key| *key != spread.key && *key != HOSTNAME).collect();
        keys.sort_unstable();
        Over {
            selected: asks.then(|| Demand { tolerations: &[], stays_home: false, ..Demand::of(pod) }),
            tolerated: spread.no_taints.then_some(pod.tolerations.as_slice()),
            keys,
        }
    }

    pub fn is_all(&self) -> bool {
        *self == Over::default()
    }

    pub fn counts(&self, labels: &BTreeMap<String, String>, taints: &[Taint]) -> bool {
        self.selected.is_none_or(|demand| demand.selects(labels))
            && self.tolerated.is_none_or(|tolerations| taints.iter().all(|it| it.tolerated_by(tolerations)))
            && self.keys.iter().all(|key| labels.contains_key(*key))
    }
}

impl Group<'_> {
    fn counts(&self, pod: &Pod) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&pod.namespace.as_str()))
            && self.pods.iter().all(|requirement| requirement.met_by(&pod.labels))
    }
}

/// What pods say about the labels and taints of their nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Demand<'a> {
    selector: &'a BTreeMap<String, String>,
    affinity: &'a [Vec<Requirement>],
    tolerations: &'a [Toleration],
    pub stays_home: bool,
}

impl<'a> Demand<'a> {
    pub fn of(pod: &'a Pod) -> Demand<'a> {
        Demand {
            selector: &pod.selector,
            affinity: &pod.affinity,
            tolerations: &pod.tolerations,
            stays_home: pod.stays_home.is_some(),
        }
    }

    /// Whether selector and affinity are met.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && (self.affinity.is_empty()
                || self.affinity.iter().any(|term| term.iter().all(|requirement| requirement.met_by(labels))))
    }

    pub fn tolerates(&self, taints: &[Taint]) -> bool {
        taints.iter().all(|taint| taint.tolerated_by(self.tolerations))
    }

    pub fn accepts(&self, node: &Node) -> bool {
        self.selects(&node.labels) && self.tolerates(&node.taints) && (!self.stays_home || node.is_metal())
    }
}

/// Pods that differ only in name, controller and priority.
#[derive(Debug, Clone)]
pub(super) struct Class<'a> {
    /// One of them.
    pub pod: &'a Pod,
    /// Of the interned demands.
    pub demand: usize,
    /// Groups in which these pods count.
    pub counted_in: Vec<usize>,
    pub spread: Vec<Constraint>,
    pub near: Vec<usize>,
    pub apart: Vec<usize>,
}

/// A constraint of spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constraint {
    pub group: usize,
    pub skew: u32,
    pub min_domains: u32,
}

impl Class<'_> {
    /// Whether other pods matter for where these can go, or these for others.
    pub fn is_bound(&self) -> bool {
        !(self.spread.is_empty() && self.near.is_empty() && self.apart.is_empty())
    }

    pub fn counts_in(&self, group: usize) -> bool {
        self.counted_in.contains(&group)
    }
}

/// All classes of some pods.
#[derive(Debug, Default)]
pub(super) struct Classes<'a> {
    pub list: Vec<Class<'a>>,
    pub groups: Interned<Group<'a>>,
    pub demands: Interned<Demand<'a>>,
    known: HashMap<Likeness<'a>, usize>,
}

/// Values, each kept once and known by its number.
#[derive(Debug)]
pub(super) struct Interned<T> {
    pub list: Vec<T>,
    numbers: HashMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { list: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    pub fn number(&mut self, value: T) -> usize {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        self.list.push(value.clone());
        self.numbers.insert(value, self.list.len() - 1);
        self.list.len() - 1
    }
}

/// A pod without what does not matter: all that makes it one of a class.
#[derive(Debug)]
struct Likeness<'a>(&'a Pod);

impl<'a> Likeness<'a> {
    fn parts(&self) -> impl Hash + Eq + 'a {
        let pod = self.0;
        (
            (&pod.namespace, &pod.labels, &pod.requests, &pod.selector, &pod.affinity),
            (&pod.tolerations, &pod.ports, &pod.spread, &pod.near, &pod.apart, &pod.stays_home),
        )
    }
}

impl PartialEq for Likeness<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Likeness<'_> {}

impl Hash for Likeness<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl<'a> Classes<'a> {
    /// The class of a pod.
    pub fn number(&mut self, pod: &'a Pod) -> usize {
        if let Some(number) = self.known.get(&Likeness(pod)) {
            return *number;
        }
        let spread = pod.spread.iter().map(|spread| Constraint {
            group: self.groups.number(Group {
                key: &spread.key,
                pods: &spread.pods,
                namespaces: vec![&pod.namespace],
                over: Over::of(pod, spread),
            }),
            skew: spread.max_skew,
            min_domains: spread.min_domains,
        });
        let spread = spread.collect();
        let mut peers = |list: &'a [super::pod::Peers]| {
            let group = |peers: &'a super::pod::Peers| Group {
                key: peers.key.as_str(),
                pods: &peers.pods,
                namespaces: peers.namespaces.iter().map(String::as_str).collect(),
                over: Over::default(),
            };
            list.iter().map(|peers| self.groups.number(group(peers))).collect::<Vec<_>>()
        };
        let (near, apart) = (peers(&pod.near), peers(&pod.apart));
        let demand = self.demands.number(Demand::of(pod));
        self.list.push(Class { pod, demand, counted_in: Vec::new(), spread, near, apart });
        self.known.insert(Likeness(pod), self.list.len() - 1);
        self.list.len() - 1
    }

    /// To be called when all pods have their classes.
    pub fn count(&mut self) {
        for class in &mut self.list {
            let groups = self.groups.list.iter().enumerate();
            class.counted_in =
                groups.filter(|(_, group)| group.counts(class.pod)).map(|(number, _)| number).collect();
        }
    }
}
