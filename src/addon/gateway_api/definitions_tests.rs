//! Bundles of the Gateway API of several origins, in a cluster in memory.

use serde_json::json;

use super::{
    super::tests::{cilium, on},
    *,
};
use crate::addon::{
    Difference, desired::tests::nothing, gate::testing::Cluster, identity::stays, observe, run::tests::Site,
};

/// A definition of a bundle.
fn definition(plural: &str, version: &str, channel: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": DEFINITION.api_version, "kind": DEFINITION.kind,
        "metadata": {"name": format!("{plural}.gateway.networking.k8s.io"), "labels": labels,
                     "annotations": {BUNDLE: version, CHANNEL: channel, "hoist.dev/keep": "true"}},
        "spec": {"versions": [{"name": "v1"}, {"name": "v1beta1"}]},
    })
}

/// What comes in the release of the artifacts: all that is needed, and the policy that guards it.
fn bundle() -> Vec<Value> {
    let all = NEEDED.iter().chain(&NEEDED_FROM_1_20);
    let mut all: Vec<Value> =
        all.map(|plural| definition(plural, "v1.6.1", "standard", &json!({}))).collect();
    all.push(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "safe-upgrades.gateway.networking.k8s.io",
                     "annotations": {BUNDLE: "v1.6.1", CHANNEL: "standard", "hoist.dev/keep": "true"}}}));
    all
}

fn with_artifact(mut desired: Desired) -> Desired {
    desired.before.objects = bundle();
    desired
}

#[tokio::test]
async fn without_artifact_and_definitions_it_is_refused_with_both_ways() {
    let mut cluster = Cluster::new(&[]).await;
    let words = async |api: Option<&Api>, desired: Desired| {
        refuse(api, &[nothing("web", "web"), desired]).await.err().map(|error| error.to_string())
    };
    let new = words(None, cilium(on())).await.unwrap();
    let (lock, apply) =
        ("`hoist lock --update --fetch` brings them", "`kubectl apply --server-side -f https://");
    assert!(new.contains(lock) && new.contains(&format!("leave it off, apply, then {apply}")), "{new}");
    let api = cluster.bench("n").api.clone();
    let lacks = words(Some(&api), cilium(on())).await.unwrap();
    assert!(lacks.contains("(gatewayclasses.gateway.networking.k8s.io, gateways."), "{lacks}");
    assert!(lacks.contains(lock) && lacks.contains(&format!("or {apply}")), "{lacks}");
    assert!(lacks.contains("download/v1.6.1/standard-install.yaml`"), "{lacks}");
    for off in [
        json!({}),
        json!({"gatewayAPI": {"enabled": false}}),
        json!({"gatewayAPI": {"enabled": true, "gatewayClass": {"create": "false"}}}),
    ] {
        assert_eq!(words(Some(&api), cilium(off.clone())).await, None, "{off}");
        assert_eq!(words(None, cilium(off)).await, None);
    }
    // With the artifact hoist brings them.
    assert_eq!(words(None, with_artifact(cilium(on()))).await, None);
    assert_eq!(words(Some(&api), with_artifact(cilium(on()))).await, None);
    // Somebody else has brought them.
    bundle().into_iter().for_each(|object| cluster.put(object));
    assert_eq!(words(Some(&api), cilium(on())).await, None);
}

#[tokio::test]
async fn each_version_of_cilium_needs_its_own_release() {
    let mut cluster = Cluster::new(&[]).await;
    for plural in NEEDED {
        let mut old = definition(plural, "v1.4.1", "standard", &json!({}));
        if plural == "referencegrants" {
            old["spec"]["versions"] = json!([{"name": "v1beta1"}]);
        }
        cluster.put(old);
    }
    let api = cluster.bench("n").api;
    let now = refuse(Some(api), &[cilium(on())]).await.unwrap_err().to_string();
    assert!(
        now.contains(
            "(referencegrants.gateway.networking.k8s.io with the version v1, tlsroutes.gateway.networking.k8s.io, backendtls"
        ),
        "{now}"
    );
    let mut before = cilium(on());
    before.release.as_mut().unwrap().chart.version = "v1.19.6".into();
    assert!(refuse(Some(api), std::slice::from_ref(&before)).await.is_ok());
    assert!(way(&before).contains("/v1.4.1/"), "{}", way(&before));
}

#[test]
fn the_release_by_hand_is_that_of_the_catalogue() {
    let charts = crate::artifact::catalogue::charts().unwrap();
    let known = charts.iter().find(|chart| chart.name == "cilium").unwrap();
    for version in &known.versions {
        let mut desired = cilium(on());
        desired.release.as_mut().unwrap().chart.version.clone_from(&version.version);
        let file = version.files.iter().find(|file| file.name == "gateway-api").unwrap();
        assert!(way(&desired).contains(&file.url) && file.url.contains(&format!("/v{}/", file.version)));
    }
}

#[test]
fn only_an_older_bundle_of_the_standard_channel_is_replaced() {
    let ours = definition("gateways", "v1.6.1", "standard", &json!({}));
    let (mine, nobodys) = (json!({ADDON: "cilium"}), json!({}));
    for (version, channel, labels, kept) in [
        ("v1.6.1", "standard", &mine, None),
        ("v1.6.0", "standard", &mine, None),
        ("v1.4.1", "standard", &nobodys, None),
        ("v1.6.1-rc.1", "standard", &nobodys, None),
        ("v1.6.1", "standard", &nobodys, Some("v1.6.1 standard")),
        ("v1.7.0", "standard", &nobodys, Some("v1.7.0 standard")),
        // Somebody has gone on from what hoist had made.
        ("v1.10.0", "standard", &mine, Some("v1.10.0 standard")),
        ("v1.6.1", "experimental", &mine, Some("v1.6.1 experimental")),
        ("v1.3.0", "experimental", &nobodys, Some("v1.3.0 experimental")),
        ("mine", "standard", &nobodys, Some("mine standard")),
        ("mine", "standard", &mine, None),
    ] {
        let live = definition("gateways", version, channel, labels);
        assert_eq!(is_theirs(&ours, &live, "cilium").as_deref(), kept, "{version} {channel} {labels}");
    }
    let bare = json!({"metadata": {"name": "gateways.gateway.networking.k8s.io"}});
    assert_eq!(is_theirs(&ours, &bare, "cilium").as_deref(), Some("of no known version"));
}

#[tokio::test]
async fn a_bundle_of_somebody_elses_is_left_alone_as_a_whole() {
    let mut cluster = Cluster::new(&[]).await;
    let desired = with_artifact(cilium(on()));
    let newer = |plural: &str| definition(plural, "v1.7.0", "standard", &json!({}));
    cluster.put(newer("gateways"));
    let api = cluster.bench("n").api.clone();
    assert_eq!(before(&api, &desired).await.unwrap().objects, [] as [Value; 0]);
    let refused = refuse(Some(&api), std::slice::from_ref(&desired)).await.unwrap_err().to_string();
    assert!(refused.contains("from somebody else (v1.7.0 standard); hoist does not change it"), "{refused}");
    assert!(!refused.contains(" gateways."), "{refused}");
    NEEDED.iter().chain(&NEEDED_FROM_1_20).for_each(|plural| cluster.put(newer(plural)));
    assert!(refuse(Some(&api), &[desired]).await.is_ok());
}

/// Cilium without its chart.
fn bare() -> Desired {
    let mut desired = with_artifact(nothing("cilium", "kube-system"));
    desired.before.objects.truncate(2);
    desired.before.objects.extend(bundle().pop());
    desired
}

#[tokio::test]
async fn definitions_are_made_mended_and_let_go_of() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    site.memory.lock().unwrap().controllers.push(Box::new(|objects| {
        for found in objects.of_mut(DEFINITION.kind) {
            found["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        }
    }));
    let cluster = site.session(false);
    let way = crate::cluster::ways(&site.inventory, &cluster).next().unwrap();
    let api = way.api().await.unwrap();
    let find = async |desired: &Desired| {
        let found = Difference::find(&api, desired, &observe(&api).await.unwrap()).await.unwrap();
        found.changes.into_iter().map(|change| change.summary).collect::<Vec<_>>()
    };
    let (classes, gateways) = (
        "CustomResourceDefinition gatewayclasses.gateway.networking.k8s.io",
        "CustomResourceDefinition gateways.gateway.networking.k8s.io",
    );
    let policy = "ValidatingAdmissionPolicy safe-upgrades.gateway.networking.k8s.io";
    let each =
        |verb: &str, after: &str| [classes, gateways, policy].map(|name| format!("{verb} {name}{after}"));
    assert_eq!(find(&bare()).await, each("make", ""));
    let ended = site.run(&[bare()], state.path(), false, false).await.1;
    assert!(ended.unfinished().is_empty() && ended.changes() == 3, "{ended:?}");
    assert_eq!(find(&bare()).await, [""; 0]);
    // Somebody changes one.
    let change = |of: &str, pointer: &str, to: &str| {
        let mut memory = site.memory.lock().unwrap();
        let object = memory.objects.find_mut(DEFINITION.kind, of).unwrap();
        *object.pointer_mut(pointer).unwrap() = json!(to);
    };
    change("gateways.gateway.networking.k8s.io", "/spec/versions/0/name", "v9");
    assert_eq!(find(&bare()).await, [format!("change {gateways}")]);
    site.run(&[bare()], state.path(), false, false).await;
    assert_eq!(find(&bare()).await, [""; 0]);
    // Switched off, or removed: objects of these kinds live on.
    assert_eq!(
        find(&nothing("cilium", "kube-system")).await,
        each("let go of", ": it is not declared any more")
    );
    let observed = observe(&api).await.unwrap();
    assert!(observed.records[0].objects.len() == 3 && observed.records[0].objects.iter().all(stays));
    // Somebody puts a newer one in its place.
    change(
        "gateways.gateway.networking.k8s.io",
        "/metadata/annotations/gateway.networking.k8s.io~1bundle-version",
        "v1.7.0",
    );
    assert_eq!(find(&bare()).await, [""; 0]);
}
