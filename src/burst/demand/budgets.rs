//! How many more pods may be evicted now, for each pod that a disruption budget is about.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::burst::pack::{Pod, read::selector};

/// By the pods' full names. Where several budgets are about one pod, the one that allows least.
pub fn allowances<'a>(
    budgets: &[PodDisruptionBudget],
    pods: impl Iterator<Item = &'a Pod> + Clone,
) -> BTreeMap<String, u32> {
    let mut allowed: BTreeMap<String, u32> = BTreeMap::new();
    for budget in budgets {
        let namespace = budget.metadata.namespace.as_deref().unwrap_or("default");
        let wanted = selector(budget.spec.as_ref().and_then(|spec| spec.selector.clone()));
        // What nobody has counted yet allows nothing.
        let left = budget.status.as_ref().map_or(0, |status| status.disruptions_allowed);
        let left = u32::try_from(left).unwrap_or(0);
        let concerns =
            |pod: &&Pod| pod.namespace == namespace && wanted.iter().all(|it| it.met_by(&pod.labels));
        for pod in pods.clone().filter(concerns) {
            let least = allowed.entry(pod.full_name()).or_insert(left);
            *least = left.min(*least);
        }
    }
    allowed
}
