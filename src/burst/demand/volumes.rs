//! What the claims for volumes come to: those that are bound, and those that wait for their pod.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};

use super::Seen;
use crate::burst::pack::{
    ZONE,
    read::{Volume, Volumes, volume},
};

/// On a class: it is that of claims which name none.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// Provisioners whose volumes are on the disks of the administrator's machines.
const AT_HOME: [&str; 4] =
    ["driver.longhorn.io", "kubernetes.io/no-provisioner", "rancher.io/local-path", "openebs.io/local"];

/// What the claims of pods come to, by `namespace/claim`. A claim that `pods` name and that is not there keeps them at
/// home: no node cures that.
pub fn volumes(seen: &Seen, pods: &[&Pod]) -> Volumes {
    let by_name: BTreeMap<&str, &PersistentVolume> =
        seen.volumes.iter().filter_map(|it| Some((it.metadata.name.as_deref()?, it))).collect();
    let full_name = |claim: &PersistentVolumeClaim| {
        let (namespace, name) = (claim.metadata.namespace.as_deref(), claim.metadata.name.as_deref());
        format!("{}/{}", namespace.unwrap_or("default"), name.unwrap_or_default())
    };
    let mut all: Volumes = seen
        .claims
        .iter()
        .map(|claim| (full_name(claim), comes_to(claim, &by_name, &seen.classes)))
        .collect();
    for pod in pods {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let named = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for claim in named.filter_map(|it| it.persistent_volume_claim.as_ref()) {
            let name = &claim.claim_name;
            all.entry(format!("{namespace}/{name}"))
                .or_insert_with(|| Volume::Home(format!("there is no PersistentVolumeClaim {name}")));
        }
    }
    all
}

fn comes_to(
    claim: &PersistentVolumeClaim,
    volumes: &BTreeMap<&str, &PersistentVolume>,
    classes: &[StorageClass],
) -> Volume {
    let Some(spec) = &claim.spec else { return Volume::Anywhere };
    if let Some(bound) = spec.volume_name.as_deref().and_then(|name| volumes.get(name)) {
        return volume(bound);
    }
    let is_default = |class: &&StorageClass| {
        class.metadata.annotations.as_ref().is_some_and(|all| all.get(DEFAULT).is_some_and(|it| it == "true"))
    };
    let class = match &spec.storage_class_name {
        Some(name) => classes.iter().find(|class| class.metadata.name.as_ref() == Some(name)),
        None => classes.iter().find(is_default),
    };
    class.map_or(Volume::Anywhere, of_class)
}

/// Where a volume of this class will be.
fn of_class(class: &StorageClass) -> Volume {
    if AT_HOME.contains(&class.provisioner.as_str()) {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        return Volume::Home(format!("its volume will be of the class {name}, on your own machines"));
    }
    let terms = class.allowed_topologies.iter().flatten();
    let zones = terms
        .flat_map(|term| term.match_label_expressions.iter().flatten())
        .filter(|expression| expression.key == ZONE)
        .flat_map(|expression| expression.values.iter().cloned());
    let zones: Vec<String> = zones.collect();
    if zones.is_empty() { Volume::Anywhere } else { Volume::Zones(zones) }
}
