//! Requirements on labels: node selectors and affinity, and the selectors of pods.

use std::{collections::BTreeMap, fmt};

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// As integers; a label that is none never meets it.
    Gt,
    Lt,
}

impl Operator {
    /// By its name in Kubernetes.
    pub fn named(name: &str) -> Option<Operator> {
        Some(match name {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => return None,
        })
    }
}

impl Requirement {
    /// `key=value`.
    pub fn is(key: &str, value: &str) -> Requirement {
        Requirement { key: key.to_owned(), operator: Operator::In, values: vec![value.to_owned()] }
    }

    /// Whether these labels meet it. As in Kubernetes, `NotIn` is met where the label is missing.
    pub fn met_by(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        let compared = |holds: fn(i64, i64) -> bool| {
            let bound = self.values.first().and_then(|bound| bound.parse().ok());
            let value = value.and_then(|value| value.parse().ok());
            value.zip(bound).is_some_and(|(value, bound)| holds(value, bound))
        };
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compared(|value, bound| value > bound),
            Operator::Lt => compared(|value, bound| value < bound),
        }
    }
}

/// As `kubectl` writes selectors: `disk in (ssd,nvme)`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(formatter, "{key}={values}"),
            Operator::In => write!(formatter, "{key} in ({values})"),
            Operator::NotIn => write!(formatter, "{key} notin ({values})"),
            Operator::Exists => write!(formatter, "{key}"),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::Gt => write!(formatter, "{key}>{values}"),
            Operator::Lt => write!(formatter, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_met_as_kubernetes_documents_it() {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned()), ("cores".into(), "16".into())]);
        let cases = [
            ("disk", Operator::In, vec!["hdd", "ssd"], true),
            ("disk", Operator::In, vec!["hdd"], false),
            ("gpu", Operator::In, vec!["a"], false),
            ("disk", Operator::NotIn, vec!["ssd"], false),
            ("gpu", Operator::NotIn, vec!["a"], true),
            ("disk", Operator::Exists, vec![], true),
            ("gpu", Operator::Exists, vec![], false),
            ("gpu", Operator::DoesNotExist, vec![], true),
            ("disk", Operator::DoesNotExist, vec![], false),
            ("cores", Operator::Gt, vec!["8"], true),
            ("cores", Operator::Gt, vec!["16"], false),
            ("cores", Operator::Lt, vec!["17"], true),
            ("disk", Operator::Gt, vec!["8"], false),
            ("gpu", Operator::Lt, vec!["8"], false),
        ];
        for (key, operator, values, met) in cases {
            let values = values.into_iter().map(str::to_owned).collect();
            let requirement = Requirement { key: key.to_owned(), operator, values };
            assert_eq!(requirement.met_by(&labels), met, "{requirement}");
        }
    }
}
