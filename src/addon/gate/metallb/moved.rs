//! The node that announces an address goes away on purpose, and another one takes over.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Given;
use crate::{
    addon::gate::{
        Bench, Closed,
        ground::Ground,
        http::Question,
        outside,
        retry::{seconds, text},
    },
    kube::Kind,
};

const POD: Kind = Kind::new("v1", "Pod");
const NODE: Kind = Kind::new("v1", "Node");
const ANNOUNCER: Kind = Kind::new("metallb.io/v1beta1", "ServiceL2Status");
/// On a node that has it, MetalLB announces nothing, whatever its value.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The value that hoist gives it, to know its own.
const BY_GATE: &str = "hoist-gate";
/// The speaker's option that has it take no notice of the label.
const IGNORES: &str = "--ignore-exclude-lb";

/// How long an address may be away when its announcer dies.
const MOVES: Duration = Duration::from_secs(60);
/// Between two questions while the announcer dies.
const TICK: Duration = Duration::from_millis(200);

/// Ends the speaker that announces one of these addresses, keeps its node from announcing, and measures how long nobody
/// answers.
pub(super) async fn moved(bench: &Bench<'_>, ground: &Ground, all: &[Given]) -> Result<String, Closed> {
    let mut announced = None;
    for given in all {
        let by = announcer(bench, ground, &given.service).await?;
        announced = announced.or_else(|| by.map(|by| (given, by)));
    }
    let Some((given, before)) = announced else {
        return Ok(
            "no address that was asked is announced by ARP, as in BGP mode: nobody was ended".to_owned()
        );
    };
    let speakers =
        bench.api.objects(POD, Some(bench.namespace), "app.kubernetes.io/component=speaker").await?;
    let nodes = bench.api.objects(NODE, None, "").await?;
    let speaker = match replaceable(&speakers, &nodes, &before) {
        Ok(speaker) => speaker,
        Err(why) => return Ok(format!("{before} announces {}, and {why}: it was not ended", given.at.ip())),
    };
    (bench.say)(&format!("ending the speaker on {before}, which announces {}", given.at.ip()));
    let gap = async {
        bench.api.delete(POD, Some(bench.namespace), speaker).await?;
        // Or a new speaker would take it back at once.
        let label = json!({"metadata": {"labels": {EXCLUDED: BY_GATE}}});
        bench.api.merge(NODE, None, &before, &label).await?;
        gap(bench, ground, given, &before).await
    };
    let gap = gap.await;
    include_again(bench).await?;
    gap
}

/// The speaker on a node whose work another node can take over, kept away by the label; in words, why there is none.
fn replaceable<'a>(speakers: &'a [Value], nodes: &[Value], node: &str) -> Result<&'a str, &'static str> {
    let on = |pod: &Value| text(&pod["spec"]["nodeName"]).to_owned();
    // kubeadm gives it to control planes, with an empty value; who takes it away has them announce for ever.
    let excluded = |name: &str| {
        let node = nodes.iter().find(|node| text(&node["metadata"]["name"]) == name);
        node.is_some_and(|node| node["metadata"]["labels"].get(EXCLUDED).is_some())
    };
    let speaker = speakers.iter().find(|pod| on(pod) == node).ok_or("no speaker runs there")?;
    let ignores = |container: &Value| {
        let mut words =
            ["args", "command"].into_iter().flat_map(|field| container[field].as_array()).flatten();
        words.any(|word| text(word).strip_prefix(IGNORES).is_some_and(|value| value != "=false"))
    };
    if excluded(node) || speaker["spec"]["containers"].as_array().into_iter().flatten().any(ignores) {
        return Err("speakers here announce also from nodes with the label that would keep it from that \
                    (`speaker.ignoreExcludeLB`)");
    }
    if !speakers.iter().any(|pod| on(pod) != node && !excluded(&on(pod))) {
        return Err("no other node could");
    }
    Ok(text(&speaker["metadata"]["name"]))
}

/// The longest time without an answer until another node announces the address and it has answered steadily.
async fn gap(bench: &Bench<'_>, ground: &Ground, given: &Given, before: &str) -> Result<String, Closed> {
    let (to, begun): (SocketAddr, Instant) = (given.at, Instant::now());
    let (mut last, mut longest, mut steady, mut told) = (begun, Duration::ZERO, 0, String::new());
    while begun.elapsed() < MOVES {
        let came = outside::ask(bench, to, &Question::new(to.ip().to_string(), "/")).await;
        if came.as_ref().is_ok_and(|(_, answer)| answer.body == given.page) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            steady += 1;
        } else {
            (steady, told) = (0, outside::told(&came, &format!("http://{}/", to.ip())));
        }
        let after = announcer(bench, ground, &given.service).await?.filter(|after| after != before);
        if let (Some(after), true) = (after, steady >= 10) {
            return Ok(format!(
                "when its announcer {before} died, {after} took it over; the longest time without an answer was {}",
                seconds(longest)
            ));
        }
        sleep(TICK).await;
    }
    let observed = match steady {
        0 => format!(
            "{} does not answer {} s after its announcer {before} died: {told}",
            to.ip(),
            MOVES.as_secs()
        ),
        _ => format!(
            "{} is still announced by {before} {} s after its speaker was ended",
            to.ip(),
            MOVES.as_secs()
        ),
    };
    let help = "speakers find out by their own protocol (TCP and UDP 7946 between nodes) that one is gone; \
                `kubectl get servicel2statuses -A` shows who announces what";
    Err(Closed::observed(observed, "another node that announces it", help))
}

/// The node that announces a Service of the gate by ARP.
async fn announcer(bench: &Bench<'_>, ground: &Ground, service: &str) -> Result<Option<String>, Closed> {
    let all = bench.api.objects(ANNOUNCER, None, "").await?;
    let ours = all.iter().find(|it| {
        let status = &it["status"];
        text(&status["serviceNamespace"]) == ground.namespace && text(&status["serviceName"]) == service
    });
    Ok(ours.map(|it| text(&it["status"]["node"]).to_owned()))
}

/// Lets nodes announce again that this gate has kept from it; also those of a run that was killed.
pub(super) async fn include_again(bench: &Bench<'_>) -> Result<(), Closed> {
    for node in bench.api.objects(NODE, None, &format!("{EXCLUDED}={BY_GATE}")).await? {
        let none = json!({"metadata": {"labels": {EXCLUDED: null}}});
        bench.api.merge(NODE, None, text(&node["metadata"]["name"]), &none).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::Cluster;

    #[tokio::test]
    async fn a_node_that_a_killed_run_kept_from_announcing_may_again() {
        let mut cluster = Cluster::new(&["w1", "w2"]).await;
        cluster.label("w1", EXCLUDED, BY_GATE);
        cluster.label("w2", EXCLUDED, "");
        include_again(&cluster.bench("metallb-system")).await.unwrap();
        assert!(cluster.labels("w1").get(EXCLUDED).is_none());
        assert!(cluster.labels("w2").get(EXCLUDED).is_some(), "somebody else's");
    }

    fn speaker(node: &str, args: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": format!("speaker-{node}"), "namespace": "metallb-system",
                            "labels": {"app.kubernetes.io/component": "speaker"}},
               "spec": {"nodeName": node, "containers": [{"name": "speaker", "args": args}]}})
    }

    #[test]
    fn a_speaker_is_ended_only_where_the_label_keeps_its_node_away_and_another_takes_over() {
        let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let (plain, labelled) = (json!({}), json!({EXCLUDED: ""}));
        let speakers = |args: Value| ["cp1", "cp2"].map(|node| speaker(node, args.clone()));
        let usual = speakers(json!(["--port=7472"]));
        let free = [node("cp1", plain.clone()), node("cp2", plain.clone())];
        assert_eq!(replaceable(&usual, &free, "cp1"), Ok("speaker-cp1"));
        assert_eq!(replaceable(&usual[..1], &free, "cp1"), Err("no other node could"));
        let kept = [node("cp1", plain), node("cp2", labelled.clone())];
        assert_eq!(replaceable(&usual, &kept, "cp1"), Err("no other node could"));
        assert_eq!(replaceable(&usual, &free, "w9"), Err("no speaker runs there"));
        let office = [node("cp1", labelled.clone()), node("cp2", labelled)];
        for (speakers, nodes) in [(speakers(json!(["--ignore-exclude-lb=true"])), &free), (usual, &office)] {
            assert!(replaceable(&speakers, nodes, "cp1").unwrap_err().contains("ignoreExcludeLB"));
        }
        let off = speakers(json!(["--ignore-exclude-lb=false"]));
        assert_eq!(replaceable(&off, &free, "cp1"), Ok("speaker-cp1"));
    }

    #[tokio::test]
    async fn a_label_that_kubeadm_has_given_is_left_as_it_is() {
        let mut cluster = Cluster::new(&["cp1", "cp2"]).await;
        for node in ["cp1", "cp2"] {
            cluster.label(node, EXCLUDED, "");
            cluster.put(speaker(node, json!(["--ignore-exclude-lb=true"])));
        }
        cluster.put(json!({"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
            "metadata": {"name": "l2", "namespace": "metallb-system"},
            "status": {"node": "cp1", "serviceName": "pool-1", "serviceNamespace": "n"}}));
        let ground = Ground { gate: "metallb-address", namespace: "n".to_owned() };
        let given =
            Given { service: "pool-1".to_owned(), at: "10.9.0.1:80".parse().unwrap(), page: String::new() };
        let bench = cluster.bench("metallb-system");
        let seen = moved(&bench, &ground, &[given]).await.unwrap();
        assert!(
            seen.starts_with("cp1 announces 10.9.0.1, and ") && seen.ends_with("it was not ended"),
            "{seen}"
        );
        assert_eq!(cluster.names("Pod"), ["speaker-cp1", "speaker-cp2"]);
        include_again(&bench).await.unwrap();
        for node in ["cp1", "cp2"] {
            assert_eq!(cluster.labels(node)[EXCLUDED], "");
        }
    }
}
