//! MetalLB: a Service gets an address of a pool, answers from outside, and outlives its announcer.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Bench, Closed, Gate, Proof,
    ground::{Ground, LABEL},
    http::{self, Question},
    inside::{self, PORT},
    outside,
    pods::{self, Wish},
    reach::page,
    retry::{Retry, make, seconds, text},
};
use crate::{kube::Kind, yaml};

const SERVICE: Kind = Kind::new("v1", "Service");
const POD: Kind = Kind::new("v1", "Pod");
const NODE: Kind = Kind::new("v1", "Node");
const POOL: Kind = Kind::new("metallb.io/v1beta1", "IPAddressPool");
const ANNOUNCER: Kind = Kind::new("metallb.io/v1beta1", "ServiceL2Status");
/// On a node that has it, MetalLB announces nothing, whatever its value.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The value that hoist gives it, to know its own.
const BY_GATE: &str = "hoist-gate";

const ADDRESS: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(60);
/// How long an address may be away when its announcer dies.
const MOVES: Duration = Duration::from_secs(60);
/// Between two questions while the announcer dies.
const TICK: Duration = Duration::from_millis(200);

/// The gate `metallb-address`.
pub(super) struct MetallbAddress;

#[async_trait]
impl Gate for MetallbAddress {
    fn name(&self) -> &'static str {
        "metallb-address"
    }

    fn proves(&self) -> &'static str {
        "a Service gets an address of a pool and answers there from outside the cluster"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        self.run(bench, false).await
    }

    fn disrupts(&self) -> Option<&'static str> {
        Some(
            "the node that announces an address: its speaker is ended, and other addresses it announces move, too",
        )
    }

    async fn disrupt(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        self.run(bench, true).await
    }
}

impl MetallbAddress {
    async fn run(&self, bench: &Bench<'_>, disrupt: bool) -> Result<Proof, Closed> {
        include_again(bench).await?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, disrupt).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground, disrupt: bool) -> Result<Proof, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    let node = &nodes[nodes.len() - 1];
    let wish = Wish { name: "server".to_owned(), node, ..Wish::default() };
    let pods = pods::start(bench, ground, std::slice::from_ref(&wish)).await?;
    let page = page(ground, &pods[0]);
    let _server = inside::serve(&pods[0], &page).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "gate", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"type": "LoadBalancer", "selector": {LABEL: ground.gate}, "ports": [{"port": 80, "targetPort": PORT}]},
    });
    make(bench, service, ADDRESS).await?;
    let address = address(bench, ground).await?;
    let mut seen = vec![in_pool(&bench.api.objects(POOL, Some(bench.namespace), "").await?, address)?];
    let to = SocketAddr::new(IpAddr::V4(address), 80);
    let mut retry = Retry::new(bench, "the address", ANSWERS);
    loop {
        let (from, came) = outside::ask(bench, to, &Question::new(address.to_string(), "/")).await;
        if came.as_ref().is_ok_and(|answer| answer.status == 200 && answer.body == page) {
            seen.push(format!("it answered {from} after {}", seconds(retry.took())));
            break;
        }
        let observed = format!("{from} asked http://{address}/: {}", http::told(&came));
        if !retry.again(&observed).await {
            return Err(Closed::observed(observed, "the answer of the pod behind it", NO_ANSWER));
        }
    }
    if disrupt {
        seen.push(moved(bench, ground, to, &page).await?);
    }
    Ok(Proof { seen })
}

const NO_ANSWER: &str = "refused: the address is another machine's; no answer: nobody announces it (`kubectl -n metallb-system \
                         logs -l app.kubernetes.io/component=speaker`), it is not in the network of the nodes, or a switch or \
                         firewall drops ARP for addresses it does not know; in BGP mode the router has no route to it";

/// Waits for the address that the Service gets.
async fn address(bench: &Bench<'_>, ground: &Ground) -> Result<Ipv4Addr, Closed> {
    let mut retry = Retry::new(bench, "the Service", ADDRESS);
    loop {
        let service = bench.api.object(SERVICE, Some(&ground.namespace), "gate").await?.unwrap_or_default();
        if let Ok(address) = text(&service["status"]["loadBalancer"]["ingress"][0]["ip"]).parse() {
            return Ok(address);
        }
        if !retry.again("it has no address yet").await {
            let observed =
                format!("a Service of type LoadBalancer has no address after {} s", ADDRESS.as_secs());
            let help = format!(
                "all addresses of the pools may be in use, or no pool serves this namespace: \
                 `kubectl -n {} logs deploy/metallb-controller`",
                bench.namespace
            );
            return Err(Closed::observed(observed, "an address of a pool", help));
        }
    }
}

/// Which pool an address is of.
fn in_pool(pools: &[Value], address: Ipv4Addr) -> Result<String, Closed> {
    let mut ranges = Vec::new();
    for pool in pools {
        for range in pool["spec"]["addresses"].as_array().into_iter().flatten().map(text) {
            if yaml::ipv4_range(range).is_some_and(|(first, last)| (first..=last).contains(&address)) {
                let name = text(&pool["metadata"]["name"]);
                return Ok(format!("a Service got the address {address} of the pool {name} ({range})"));
            }
            ranges.push(range);
        }
    }
    let help = "something else gives addresses to Services, or the pools were changed: `kubectl get ipaddresspools -A`";
    let pools = if ranges.is_empty() { "a pool; there is none".to_owned() } else { ranges.join(", ") };
    Err(Closed::observed(format!("a Service got the address {address}"), format!("one of {pools}"), help))
}

/// Ends the announcer's speaker, keeps the node from announcing, and measures how long nobody answers.
async fn moved(bench: &Bench<'_>, ground: &Ground, to: SocketAddr, page: &str) -> Result<String, Closed> {
    let Some(before) = announcer(bench, ground).await? else {
        return Ok("no node announces it by ARP, as in BGP mode: who announces it was not ended".to_owned());
    };
    let speakers =
        bench.api.objects(POD, Some(bench.namespace), "app.kubernetes.io/component=speaker").await?;
    let others = speakers.iter().filter(|pod| text(&pod["spec"]["nodeName"]) != before).count();
    let Some(speaker) = speakers.iter().find(|pod| text(&pod["spec"]["nodeName"]) == before && others > 0)
    else {
        return Ok(format!("{before} announces it, and no other node could: it was not ended"));
    };
    (bench.say)(&format!("ending the speaker on {before}, which announces {}", to.ip()));
    let gap = async {
        bench.api.delete(POD, Some(bench.namespace), text(&speaker["metadata"]["name"])).await?;
        // Or a new speaker would take it back at once.
        let label = json!({"metadata": {"labels": {EXCLUDED: BY_GATE}}});
        bench.api.merge(NODE, None, &before, &label).await?;
        gap(bench, ground, to, page, &before).await
    };
    let gap = gap.await;
    include_again(bench).await?;
    gap
}

/// The longest time without an answer until another node announces the address and it has answered steadily.
async fn gap(
    bench: &Bench<'_>,
    ground: &Ground,
    to: SocketAddr,
    page: &str,
    before: &str,
) -> Result<String, Closed> {
    let begun = Instant::now();
    let (mut last, mut longest, mut steady, mut told) = (begun, Duration::ZERO, 0, String::new());
    while begun.elapsed() < MOVES {
        let (_, came) = outside::ask(bench, to, &Question::new(to.ip().to_string(), "/")).await;
        if came.as_ref().is_ok_and(|answer| answer.body == page) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            steady += 1;
        } else {
            (steady, told) = (0, http::told(&came));
        }
        let after = announcer(bench, ground).await?.filter(|after| after != before);
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

/// The node that announces the gate's Service by ARP.
async fn announcer(bench: &Bench<'_>, ground: &Ground) -> Result<Option<String>, Closed> {
    let all = bench.api.objects(ANNOUNCER, None, "").await?;
    let ours = all.iter().find(|it| text(&it["status"]["serviceNamespace"]) == ground.namespace);
    Ok(ours.map(|it| text(&it["status"]["node"]).to_owned()))
}

/// Lets nodes announce again that this gate has kept from it; also those of a run that was killed.
async fn include_again(bench: &Bench<'_>) -> Result<(), Closed> {
    for node in bench.api.objects(NODE, None, &format!("{EXCLUDED}={BY_GATE}")).await? {
        let none = json!({"metadata": {"labels": {EXCLUDED: null}}});
        bench.api.merge(NODE, None, text(&node["metadata"]["name"]), &none).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::{Cluster, words};

    fn pool(addresses: &[&str]) -> Value {
        json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
               "metadata": {"name": "lan", "namespace": "metallb-system"}, "spec": {"addresses": addresses}})
    }

    #[test]
    fn an_address_must_be_of_a_pool() {
        let pools = [pool(&["192.168.18.230-192.168.18.239", "10.9.0.0/24"])];
        assert_eq!(
            in_pool(&pools, "192.168.18.231".parse().unwrap()).unwrap(),
            "a Service got the address 192.168.18.231 of the pool lan (192.168.18.230-192.168.18.239)"
        );
        assert!(in_pool(&pools, "10.9.0.77".parse().unwrap()).is_ok());
        assert_eq!(
            words(in_pool(&pools, "10.8.0.1".parse().unwrap()).err()),
            "a Service got the address 10.8.0.1; expected: one of 192.168.18.230-192.168.18.239, 10.9.0.0/24"
        );
        assert!(
            words(in_pool(&[], "10.8.0.1".parse().unwrap()).err()).ends_with("one of a pool; there is none")
        );
    }

    #[tokio::test]
    async fn a_service_without_an_address_closes_the_gate() {
        let mut cluster = Cluster::new(&["w1"]).await;
        cluster.runs_pods();
        cluster.put(pool(&["10.9.0.0/24"]));
        let closed = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap_err();
        assert_eq!(
            closed.to_string(),
            "a Service of type LoadBalancer has no address after 60 s; expected: an address of a pool"
        );
        assert!(cluster.has_no("Namespace"), "nothing is left");
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_closes_the_gate() {
        let mut cluster = Cluster::new(&["w1"]).await;
        cluster.runs_pods();
        cluster.put(pool(&["127.0.0.0/8"]));
        cluster.on_write(|objects| {
            if let Some(service) = objects.find_mut("Service", "gate") {
                service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "127.77.77.77"}]}});
            }
        });
        let closed = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap_err();
        assert_eq!(
            closed.to_string(),
            "this machine asked http://127.77.77.77/: connection refused; expected: the answer of the pod behind it"
        );
    }

    #[tokio::test]
    async fn a_node_that_a_killed_run_kept_from_announcing_may_again() {
        let mut cluster = Cluster::new(&["w1", "w2"]).await;
        cluster.label("w1", EXCLUDED, BY_GATE);
        cluster.label("w2", EXCLUDED, "");
        include_again(&cluster.bench("metallb-system")).await.unwrap();
        assert!(cluster.labels("w1").get(EXCLUDED).is_none());
        assert!(cluster.labels("w2").get(EXCLUDED).is_some(), "somebody else's");
    }
}
