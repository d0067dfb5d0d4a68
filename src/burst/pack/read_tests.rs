//! Against JSON as an API server writes it.

use super::*;

fn read(json: serde_json::Value) -> Pod {
    pod(&serde_json::from_value(json).unwrap(), &Volumes::new())
}

#[test]
fn a_pod_of_a_deployment_is_read_in_full() {
    let found = read(serde_json::json!({
        "metadata": {
            "name": "web-5d4f-x2x", "namespace": "shop", "labels": {"app": "web", "pod-template-hash": "5d4f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "1", "controller": true}]
        },
        "spec": {
            "priority": 100,
            "nodeSelector": {"kubernetes.io/arch": "arm64"},
            "initContainers": [
                {"name": "big", "resources": {"requests": {"cpu": "2", "memory": "64Mi"}}},
                {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}},
                {"name": "after", "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}}}
            ],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "250m", "memory": "128Mi", "nvidia.com/gpu": "1"}}},
                {"name": "b", "resources": {"requests": {"cpu": "0.25", "memory": "128Mi", "ephemeral-storage": "1Gi"}}}
            ],
            "overhead": {"cpu": "10m"},
            "tolerations": [
                {"key": "cloud", "operator": "Exists", "effect": "NoSchedule"},
                {"key": "team", "value": "red"},
                {"key": "x", "operator": "Exists", "effect": "SomethingNew"}
            ],
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["hdd"]}, {"key": "cores", "operator": "Gt", "values": ["4"]}]},
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]},
                    {}
                ]}},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
                ]},
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {}, "namespaceSelector": {}}
                ]}
            },
            "topologySpreadConstraints": [
                {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
                 "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "matchLabelKeys": ["pod-template-hash"]},
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
                {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3,
                 "labelSelector": {}, "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor"}
            ]
        }
    }));
    assert_eq!(found.full_name(), "shop/web-5d4f-x2x");
    assert_eq!(
        (found.controller.as_deref(), found.priority, found.daemon),
        (Some("ReplicaSet/web-5d4f"), 100, false)
    );
    // The first init container asks for the most processor; the last, beside the sidecar, for the most memory.
    let expected = "2010m cpu, 0.5 GiB memory, 1.0 GiB ephemeral storage, 1 nvidia.com/gpu";
    assert_eq!(found.requests.to_string(), expected);
    assert_eq!(found.requests.memory, 544 << 20);
    assert_eq!(found.selector["kubernetes.io/arch"], "arm64");
    let words: Vec<Vec<String>> =
        found.affinity.iter().map(|term| term.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(words[..2], [vec!["disk notin (hdd)", "cores>4"], vec!["kubernetes.io/hostname=w1"]]);
    assert!(!found.affinity[2][0].met_by(&BTreeMap::new()), "an empty term is met by no node");
    assert_eq!(found.tolerations.len(), 2);
    assert_eq!(
        (found.tolerations[0].value.as_deref(), found.tolerations[1].value.as_deref()),
        (None, Some("red"))
    );
    assert_eq!(found.apart[0].namespaces, ["shop"]);
    assert!(found.near[0].namespaces.is_empty() && found.near[0].pods.is_empty());
    let [zones, racks] = found.spread.as_slice() else { panic!("{:?}", found.spread) };
    assert_eq!((zones.max_skew, zones.pods.len(), zones.min_domains), (2, 2, 1));
    assert!(!zones.any_labels && !zones.no_taints);
    assert!(racks.min_domains == 3 && racks.any_labels && racks.no_taints);
}

#[test]
fn ports_of_the_node_are_read_as_the_scheduler_counts_them() {
    let with = |network: bool| {
        read(serde_json::json!({"spec": {
            "hostNetwork": network,
            "initContainers": [
                {"name": "once", "ports": [{"containerPort": 1, "hostPort": 1}]},
                {"name": "sidecar", "restartPolicy": "Always", "ports": [{"containerPort": 9000, "hostPort": 9001, "protocol": "UDP"}]}
            ],
            "containers": [{"name": "a", "ports": [
                {"containerPort": 8080},
                {"containerPort": 8443, "hostPort": 443, "hostIP": "10.0.0.1"},
                {"containerPort": 8081, "hostPort": 80, "hostIP": "0.0.0.0", "protocol": "TCP"}
            ]}]
        }}))
        .ports
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
    };
    assert_eq!(with(false), ["80/TCP", "10.0.0.1:443/TCP", "9001/UDP"]);
    assert_eq!(with(true), ["80/TCP", "10.0.0.1:443/TCP", "8080/TCP", "9001/UDP"]);
}

#[test]
fn what_is_asked_for_the_whole_pod_stands_in_for_what_its_containers_ask_for() {
    let requests = |whole: serde_json::Value| {
        let one =
            serde_json::json!({"requests": {"cpu": "100m", "memory": "1Gi", "ephemeral-storage": "1Gi"}});
        read(serde_json::json!({"spec": {"resources": whole, "overhead": {"cpu": "10m"}, "containers": [
            {"name": "a", "resources": one}, {"name": "b", "resources": one}, {"name": "c"}]}}))
        .requests
        .to_string()
    };
    let containers = "210m cpu, 2.0 GiB memory, 2.0 GiB ephemeral storage";
    assert_eq!(requests(serde_json::json!({"limits": {"cpu": "9"}})), containers);
    let whole = serde_json::json!({"requests": {"cpu": "3"}});
    assert_eq!(requests(whole), "3010m cpu, 2.0 GiB memory, 2.0 GiB ephemeral storage");
}

/// No rented node has either: one would be rented for such a pod, go for nothing runs on it, and be rented again.
#[test]
fn huge_pages_and_devices_are_not_overlooked() {
    let asks = serde_json::json!({"requests": {"hugepages-2Mi": "64Mi", "memory": "1Gi"}});
    let pod = read(serde_json::json!({"spec": {"containers": [{"name": "a", "resources": asks}]}}));
    assert_eq!(pod.requests.extended, BTreeMap::from([("hugepages-2Mi".to_owned(), 64 << 20)]));
    let claims = serde_json::json!([{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]);
    let pod = read(serde_json::json!({"spec": {"containers": [], "resourceClaims": claims}}));
    assert_eq!(pod.stays_home.as_deref(), Some("it claims the device gpu, which is where its driver is"));
}

#[test]
fn daemons_and_static_pods_belong_to_their_node() {
    let owner = |kind: &str| serde_json::json!([{"apiVersion": "v1", "kind": kind, "name": "n", "uid": "1", "controller": true}]);
    assert!(read(serde_json::json!({"metadata": {"ownerReferences": owner("DaemonSet")}})).daemon);
    assert!(!read(serde_json::json!({"metadata": {"ownerReferences": owner("Job")}})).daemon);
    let mirror = serde_json::json!({"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": owner("Node")});
    assert!(read(serde_json::json!({"metadata": mirror})).daemon);
}

#[test]
fn data_keeps_pods_at_home_or_in_its_zone() {
    let volumes = |kind: serde_json::Value| -> Volume {
        let mut volume_json = serde_json::json!({"metadata": {"name": "pv-1"}, "spec": {}});
        volume_json["spec"] = kind;
        volume(&serde_json::from_value(volume_json).unwrap())
    };
    let longhorn = volumes(serde_json::json!({"csi": {"driver": "driver.longhorn.io", "volumeHandle": "v"}}));
    assert_eq!(longhorn, Volume::Home("its volume pv-1 is Longhorn's".into()));
    let local = volumes(serde_json::json!({"local": {"path": "/mnt"}}));
    assert_eq!(local, Volume::Home("its volume pv-1 is on the disk of one machine".into()));
    let zonal = volumes(serde_json::json!({
        "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "v"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-central-1b"]}
        ]}]}}
    }));
    assert_eq!(zonal, Volume::Zones(vec!["eu-central-1b".into()]));
    let bound = volumes(serde_json::json!({
        "csi": {"driver": "topolvm.io", "volumeHandle": "v"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["w1"]}
        ]}]}}
    }));
    assert_eq!(bound, Volume::Home("its volume pv-1 is bound to certain nodes".into()));
    assert_eq!(volumes(serde_json::json!({"nfs": {"server": "s", "path": "/"}})), Volume::Anywhere);

    let known = Volumes::from([
        ("shop/data".to_owned(), longhorn),
        ("shop/disk".to_owned(), zonal),
        ("shop/a-scratch".to_owned(), bound),
    ]);
    let with = |volume: serde_json::Value| {
        let json = serde_json::json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": [], "volumes": [volume]}});
        pod(&serde_json::from_value(json).unwrap(), &known)
    };
    let claim = |name: &str| serde_json::json!({"name": "v", "persistentVolumeClaim": {"claimName": name}});
    assert_eq!(with(claim("data")).stays_home.as_deref(), Some("its volume pv-1 is Longhorn's"));
    assert_eq!(with(claim("disk")).affinity[0][0].to_string(), "topology.kubernetes.io/zone=eu-central-1b");
    assert_eq!(with(claim("unknown")).stays_home, None);
    let scratch = with(serde_json::json!({"name": "scratch", "ephemeral": {}}));
    assert_eq!(scratch.stays_home.as_deref(), Some("its volume pv-1 is bound to certain nodes"));
    let host = with(serde_json::json!({"name": "v", "hostPath": {"path": "/var/log"}}));
    assert_eq!(host.stays_home.as_deref(), Some("it uses the folder /var/log of its host"));
}

#[test]
fn a_node_is_what_pods_can_have_of_it() {
    let json = serde_json::json!({
        "metadata": {"name": "w1", "labels": {"topology.kubernetes.io/zone": "dc1"}},
        "spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "allocatable": {"cpu": "7910m", "memory": "31Gi", "pods": "110", "ephemeral-storage": "94477937300",
                            "hugepages-2Mi": "0", "example.com/fpga": "2"}
        }
    });
    let found = node(&serde_json::from_value(json).unwrap(), Origin::Metal);
    assert_eq!(
        (found.allocatable.milli_cpu, found.allocatable.memory, found.max_pods),
        (7910, 31 << 30, 110)
    );
    let extended = [("example.com/fpga".to_owned(), 2), ("hugepages-2Mi".to_owned(), 0)];
    assert_eq!(found.allocatable.extended, BTreeMap::from(extended));
    assert_eq!(found.taints[0].to_string(), "node.kubernetes.io/unschedulable:NoSchedule");
    assert_eq!(found.labels[HOSTNAME], "w1");
}
