//! Nodes that are there, or that were asked for already.

use std::{collections::BTreeMap, fmt};

use super::{
    pod::{Pod, Toleration},
    resources::Resources,
};
use crate::burst::offer::Money;

/// A node and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// A node that is cordoned has the taint `node.kubernetes.io/unschedulable:NoSchedule`, as Kubernetes sees to.
    pub taints: Vec<Taint>,
    /// What pods can have of it.
    pub allocatable: Resources,
    /// The most pods on it.
    pub max_pods: u32,
    /// Its pods, daemons included.
    pub pods: Vec<Pod>,
    pub origin: Origin,
}

/// Whose node it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// One of the administrator's own machines, which cost the same whether they are used or not.
    Metal,
    /// A rented one.
    Rented {
        /// For an hour.
        price: Money,
        vcpus: u32,
        /// Asked for, and not ready yet: counts as room.
        in_flight: bool,
    },
}

impl Node {
    pub fn is_metal(&self) -> bool {
        self.origin == Origin::Metal
    }

    /// What an hour of it costs; nothing where it is metal.
    pub fn price(&self) -> Money {
        match self.origin {
            Origin::Metal => Money(0),
            Origin::Rented { price, .. } => price,
        }
    }
}

/// A mark that keeps pods away which do not tolerate it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    NoSchedule,
    /// A wish, which is not looked at here.
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    /// By its name in Kubernetes.
    pub fn named(name: &str) -> Option<Effect> {
        Some(match name {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
        }
    }
}

impl Taint {
    /// Whether one of the tolerations is for it, or it is only a wish.
    pub fn tolerated_by(&self, tolerations: &[Toleration]) -> bool {
        self.effect == Effect::PreferNoSchedule
            || tolerations.iter().any(|toleration| {
                toleration.key.as_ref().is_none_or(|key| *key == self.key)
                    && toleration.value.as_ref().is_none_or(|value| *value == self.value)
                    && toleration.effect.is_none_or(|effect| effect == self.effect)
            })
    }
}

/// As `kubectl taint` writes it: `key=value:Effect`.
impl fmt::Display for Taint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(formatter, "{}{equals}{}:{}", self.key, self.value, self.effect.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_is_tolerated_by_key_value_and_effect() {
        let taint = Taint { key: "a".into(), value: "b".into(), effect: Effect::NoSchedule };
        assert_eq!(taint.to_string(), "a=b:NoSchedule");
        let with = |key: Option<&str>, value: Option<&str>, effect| Toleration {
            key: key.map(str::to_owned),
            value: value.map(str::to_owned),
            effect,
        };
        for (toleration, tolerated) in [
            (with(None, None, None), true),
            (with(Some("a"), None, None), true),
            (with(Some("a"), Some("b"), Some(Effect::NoSchedule)), true),
            (with(Some("a"), Some("c"), None), false),
            (with(Some("c"), None, None), false),
            (with(Some("a"), None, Some(Effect::NoExecute)), false),
        ] {
            assert_eq!(taint.tolerated_by(std::slice::from_ref(&toleration)), tolerated, "{toleration:?}");
        }
        assert!(Taint { effect: Effect::PreferNoSchedule, ..taint }.tolerated_by(&[]));
    }
}
