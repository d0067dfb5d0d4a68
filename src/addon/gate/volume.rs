//! Volumes: what is written on one node is read on another, and replicas are only where they may be.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    inside,
    pods::{self, Pod, Wish},
    retry::{Retry, make, seconds, text},
};
use crate::{inventory::Role, kube::Kind};

pub(super) const CLASS: Kind = Kind::new("storage.k8s.io/v1", "StorageClass");
pub(super) const CLAIM: Kind = Kind::new("v1", "PersistentVolumeClaim");
const REPLICA: Kind = Kind::new("longhorn.io/v1beta2", "Replica");
/// Longhorn makes its class itself; charts say which classes are theirs.
const LONGHORN: &str = "driver.longhorn.io";
const LONGHORN_PLACE: &str = "longhorn-system";
const RELEASE: &str = "meta.helm.sh/release-namespace";
const SIZE: &str = "512Mi";
pub(super) const WRITTEN: u64 = 8 << 20;
/// How long a class may take that its add-on makes by itself.
const MADE: Duration = Duration::from_secs(60);

/// The gate `volume-moves`.
pub(super) struct VolumeMoves;

#[async_trait]
impl Gate for VolumeMoves {
    fn name(&self) -> &'static str {
        "volume-moves"
    }

    fn proves(&self) -> &'static str {
        "what a pod writes to a volume is read by another pod on another node, and replicas are on storage hosts alone"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let class = class(bench).await?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, &class).await;
        ground.leave(bench, done).await
    }
}

/// The class that the settings name, or that the add-on has made. It is waited for: Longhorn's manager makes its class when
/// it runs already, and deletes it and makes it anew when what it is made from changes.
pub(super) async fn class(bench: &Bench<'_>) -> Result<String, Closed> {
    let mut retry = Retry::new(bench, "the storage class", MADE);
    loop {
        let closed = match found(bench, &bench.api.objects(CLASS, None, "").await?) {
            Ok(class) => return Ok(class),
            Err(closed) => closed,
        };
        if !retry.again(&closed.to_string()).await {
            return Err(closed);
        }
    }
}

fn found(bench: &Bench<'_>, classes: &[Value]) -> Result<String, Closed> {
    let said = ["class", "storage_class"].iter().find_map(|key| bench.settings.get(*key)?.as_str());
    let longhorn = bench.namespace == LONGHORN_PLACE;
    let ours = |class: &&Value| {
        let release = text(&class["metadata"]["annotations"][RELEASE]) == bench.namespace;
        release || longhorn && class["provisioner"] == LONGHORN
    };
    let made = || classes.iter().find(ours).map(|class| text(&class["metadata"]["name"]));
    let there = |name: &&str| classes.iter().any(|class| text(&class["metadata"]["name"]) == *name);
    said.or_else(made).filter(there).map(str::to_owned).ok_or_else(|| {
        let names: Vec<&str> = classes.iter().map(|class| text(&class["metadata"]["name"])).collect();
        let observed = format!(
            "storage classes: {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
        let wanted = said.map_or_else(|| format!("one that {} has made", bench.namespace), str::to_owned);
        Closed::observed(
            observed,
            wanted,
            format!("`kubectl -n {} get pods` shows who should make it", bench.namespace),
        )
    })
}

/// The nodes that volumes are attached to. A host that is only a control plane has a taint that Longhorn's driver does not
/// tolerate, and no NFS client; where there is nothing else, all nodes.
pub(super) async fn nodes(bench: &Bench<'_>) -> Result<Vec<String>, Closed> {
    let (all, _) = pods::nodes(bench).await?;
    let attaches = |node: &&String| {
        let host = bench.inventory.hosts.get(*node);
        host.is_none_or(|host| host.has(Role::Worker) || host.has(Role::Storage))
    };
    let some: Vec<String> = all.iter().filter(attaches).cloned().collect();
    Ok(if some.is_empty() { all } else { some })
}

/// Starts the first pod with a volume. What attaches volumes is made when helm is done, and may have to pull its images: it
/// may take as long as the chart.
pub(super) async fn first(bench: &Bench<'_>, ground: &Ground, wish: Wish<'_>) -> Result<Pod, Closed> {
    let patience = bench.timeout.max(pods::RUN);
    Ok(pods::start_within(bench, ground, &[wish], patience).await?.remove(0))
}

async fn prove(bench: &Bench<'_>, ground: &Ground, class: &str) -> Result<Proof, Closed> {
    let nodes = nodes(bench).await?;
    let (from, to) = (&nodes[0], &nodes[nodes.len() - 1]);
    make(bench, claim(ground, class), Duration::from_secs(60)).await?;
    let begun = Instant::now();
    let wish =
        |name: &str, node| Wish { name: name.to_owned(), node, claim: Some("gate"), ..Wish::default() };
    let writer = first(bench, ground, wish("writer", from)).await?;
    let attached = begun.elapsed();
    let written = inside::write(&writer, WRITTEN).await?;
    let mut seen = vec![format!(
        "a volume of the class {class} was mounted on {from} after {}, and {} MiB were written",
        seconds(attached),
        WRITTEN >> 20
    )];
    seen.extend(replicas(bench, ground).await?);
    let begun = Instant::now();
    pods::stop(bench, ground, &writer).await?;
    let reader = pods::start(bench, ground, &[wish("reader", to)]).await?.remove(0);
    let moved = begun.elapsed();
    let read = inside::read(&reader).await?;
    seen.push(same(&written, &read, from, to, &seconds(moved))?);
    // What archives the volumes that are deleted shall not keep this.
    inside::forget(&reader).await?;
    pods::stop(bench, ground, &reader).await?;
    Ok(Proof { seen })
}

/// A claim of the gate's own, `gate`.
pub(super) fn claim(ground: &Ground, class: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "gate", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": SIZE}}},
    })
}

fn same(written: &str, read: &str, from: &str, to: &str, took: &str) -> Result<String, Closed> {
    if written != read {
        let observed = format!("what was written on {from} (SHA-256 {written}) is read on {to} as {read}");
        let help = "the volume does not keep what is written to it: do not use it; read the logs of its storage and `dmesg` on \
                    the hosts that keep it";
        return Err(Closed::observed(observed, "the same content", help));
    }
    let digest = written.get(..12).unwrap_or(written);
    Ok(match from == to {
        true => format!("read back on {to}, the only node, with the same checksum ({digest}…) after {took}"),
        false => format!("it moved to {to} in {took} and was read back with the same checksum ({digest}…)"),
    })
}

/// Where Longhorn keeps the volume; nothing of other storage.
async fn replicas(bench: &Bench<'_>, ground: &Ground) -> Result<Option<String>, Closed> {
    if bench.namespace != LONGHORN_PLACE {
        return Ok(None);
    }
    let claim = bench.api.object(CLAIM, Some(&ground.namespace), "gate").await?.unwrap_or_default();
    let volume = text(&claim["spec"]["volumeName"]);
    let all = bench.api.objects(REPLICA, Some(bench.namespace), &format!("longhornvolume={volume}")).await?;
    let hosts: Vec<&str> =
        all.iter().map(|replica| text(&replica["spec"]["nodeID"])).filter(|it| !it.is_empty()).collect();
    let storage: Vec<&str> = bench.inventory.with_role(Role::Storage).map(|(name, _)| name).collect();
    placed(volume, &hosts, &storage).map(Some)
}

fn placed(volume: &str, hosts: &[&str], storage: &[&str]) -> Result<String, Closed> {
    if hosts.is_empty() {
        let help = "a volume that was written has replicas: something else than Longhorn serves the class, or Longhorn calls \
                    them otherwise in this version (`kubectl -n longhorn-system get replicas.longhorn.io --show-labels`)";
        let observed = format!("Longhorn has no replica of the volume {volume} on any host");
        return Err(Closed::observed(observed, "at least one, on storage hosts", help));
    }
    if let Some(stranger) = hosts.iter().find(|host| !storage.contains(host)) {
        let observed = format!("a replica of the volume is on {stranger}");
        let help = "Longhorn has a disk there: `createDefaultDiskLabeledNodes` and the label \
                    `node.longhorn.io/create-default-disk` say where it may have one";
        return Err(Closed::observed(
            observed,
            format!("replicas only on storage hosts: {}", storage.join(", ")),
            help,
        ));
    }
    Ok(format!("its {} replicas are on storage hosts: {}", hosts.len(), hosts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::{Cluster, words};

    #[test]
    fn another_checksum_closes_the_gate() {
        assert_eq!(
            words(same("aa", "bb", "w1", "w2", "3.0 s").err()),
            "what was written on w1 (SHA-256 aa) is read on w2 as bb; expected: the same content"
        );
        let fine = same("0123456789abcdef", "0123456789abcdef", "w1", "w2", "3.0 s").unwrap();
        assert_eq!(fine, "it moved to w2 in 3.0 s and was read back with the same checksum (0123456789ab…)");
        assert!(same("aa", "aa", "w1", "w1", "3.0 s").unwrap().starts_with("read back on w1, the only node"));
    }

    #[test]
    fn replicas_are_on_storage_hosts_alone() {
        assert_eq!(
            placed("pvc-1", &["s1", "s2"], &["s1", "s2"]).unwrap(),
            "its 2 replicas are on storage hosts: s1, s2"
        );
        assert_eq!(
            words(placed("pvc-1", &[], &["s1"]).err()),
            "Longhorn has no replica of the volume pvc-1 on any host; expected: at least one, on storage hosts"
        );
        assert_eq!(
            words(placed("pvc-1", &["s1", "w1"], &["s1", "s2"]).err()),
            "a replica of the volume is on w1; expected: replicas only on storage hosts: s1, s2"
        );
    }

    #[tokio::test]
    async fn without_replicas_only_what_is_not_longhorn_passes() {
        let cluster = Cluster::new(&["w1"]).await;
        let ground = Ground { gate: "volume-moves", namespace: "n".to_owned() };
        assert_eq!(replicas(&cluster.bench("nfs-provisioner"), &ground).await.unwrap(), None);
        assert!(replicas(&cluster.bench(LONGHORN_PLACE), &ground).await.is_err());
    }

    /// The nodes for volumes among those of a cluster.
    async fn attaching(hosts: &str) -> String {
        let text = format!("cluster: {{name: a, kubernetes: \"1.36.2\"}}\nhosts: {{{hosts}}}\n");
        let inventory = crate::inventory::parse("test", &text).unwrap().inventory;
        let names: Vec<&str> = inventory.hosts.keys().map(String::as_str).collect();
        let cluster = Cluster::new(&names).await;
        let bench = Bench { inventory: &inventory, ..cluster.bench(LONGHORN_PLACE) };
        nodes(&bench).await.unwrap().join(" ")
    }

    #[tokio::test]
    async fn volumes_are_attached_where_their_drivers_run() {
        let one = "a: {address: 10.0.0.1, roles: [control-plane]}";
        let worker = "b: {address: 10.0.0.2, roles: [worker]}";
        let storage = "c: {address: 10.0.0.3, roles: [control-plane, storage]}";
        let both = "d: {address: 10.0.0.4, roles: [control-plane, worker]}";
        assert_eq!(attaching(&format!("{one}, {worker}, {storage}, {both}")).await, "b c d");
        assert_eq!(attaching(one).await, "a", "there is nothing else");
    }

    #[tokio::test]
    async fn a_class_that_comes_late_is_waited_for() {
        let mut cluster = Cluster::new(&["w1"]).await;
        for path in ["?labelSelector=", "?&labelSelector="] {
            cluster.answers(&format!("/apis/storage.k8s.io/v1/storageclasses{path}"), |turn| {
                let class = json!({"metadata": {"name": "longhorn"}, "provisioner": LONGHORN});
                let items = if turn == 0 { vec![] } else { vec![class] };
                let list = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClassList", "metadata": {}, "items": items});
                (200, list.to_string())
            });
        }
        assert_eq!(class(&cluster.bench(LONGHORN_PLACE)).await.unwrap(), "longhorn");
        assert!(
            cluster.said()[0].starts_with("the storage class: storage classes: none"),
            "{:?}",
            cluster.said()
        );
    }

    #[tokio::test]
    async fn the_class_is_the_one_said_or_the_add_ons_own() {
        let mut cluster = Cluster::new(&["w1"]).await;
        let of = |name: &str, provisioner: &str, release: &str| json!({"metadata": {"name": name, "annotations": {RELEASE: release}}, "provisioner": provisioner});
        let classes =
            [of("other", "x", "y"), of("longhorn", LONGHORN, ""), of("nfs", "z", "nfs-provisioner")];
        assert_eq!(found(&cluster.bench("longhorn-system"), &classes).unwrap(), "longhorn");
        assert_eq!(found(&cluster.bench("nfs-provisioner"), &classes).unwrap(), "nfs");
        assert_eq!(
            words(found(&cluster.bench("nowhere"), &classes).err()),
            "storage classes: other, longhorn, nfs; expected: one that nowhere has made"
        );
        cluster.settings("storage_class", "other");
        assert_eq!(found(&cluster.bench("nowhere"), &classes).unwrap(), "other");
        assert!(
            words(found(&cluster.bench("nowhere"), &[]).err())
                .starts_with("storage classes: none; expected: other")
        );
    }
}
