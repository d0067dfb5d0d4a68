//! The pod network: pods on all nodes talk to each other, and to a Service.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use serde_json::json;

use super::{
    Bench, Closed, Gate, Proof,
    cilium::{VXLAN, WIREGUARD},
    dns,
    ground::{Ground, LABEL},
    http::{self, Answer, Question},
    inside::{self, Ask, PORT},
    pods::{self, Pod, Wish},
    retry::{Retry, make, seconds, text},
};
use crate::kube::Kind;

/// How long the network may take to know new pods and a new Service.
const PATIENCE: Duration = Duration::from_secs(45);
const SERVICE: Kind = Kind::new("v1", "Service");
/// How many ways that are closed are told one by one.
const TOLD: usize = 6;

/// The gate `pods-reach-each-other`.
pub(super) struct PodsReachEachOther;

#[async_trait]
impl Gate for PodsReachEachOther {
    fn name(&self) -> &'static str {
        "pods-reach-each-other"
    }

    fn proves(&self) -> &'static str {
        "a pod on every node reaches one on every other, a Service, and the cluster's DNS where there is one"
    }

    fn each_node(&self) -> bool {
        true
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground) -> Result<Proof, Closed> {
    let (nodes, out) = pods::nodes(bench).await?;
    let wishes: Vec<Wish<'_>> =
        nodes.iter().map(|node| Wish { name: node.clone(), node, ..Wish::default() }).collect();
    let pods = pods::start(bench, ground, &wishes).await?;
    let _servers =
        try_join_all(pods.iter().map(|pod| async move { inside::serve(pod, &page(ground, pod)).await }))
            .await?;
    let mut seen = vec![each_other(bench, ground, &pods).await?, service(bench, ground, &pods).await?];
    match dns::server(bench).await? {
        Some(server) => seen.push(dns::resolves(bench, server, &pods).await?),
        None => seen.push("the cluster has no DNS to ask".to_owned()),
    }
    seen.extend(out);
    Ok(Proof { seen })
}

/// What a pod's server answers. No other run's has the same.
pub(super) fn page(ground: &Ground, pod: &Pod) -> String {
    format!("{}/{} on {}\n", ground.namespace, pod.name, pod.node)
}

async fn each_other(bench: &Bench<'_>, ground: &Ground, pods: &[Pod]) -> Result<String, Closed> {
    let question = |pod: &Pod| Question::new(pod.address.to_string(), "/");
    let asks: Vec<Ask> =
        pods.iter().map(|pod| Ask { to: pod.address, port: PORT, question: question(pod) }).collect();
    let pages: Vec<String> = pods.iter().map(|pod| page(ground, pod)).collect();
    let mut retry = Retry::new(bench, "the pod network", PATIENCE);
    loop {
        let all = try_join_all(pods.iter().map(|pod| inside::ask(pod, &asks))).await?;
        let closed = closed(pods, &pages, &all);
        if closed.is_empty() {
            let ways = pods.len() * pods.len();
            return Ok(format!(
                "pods on {} nodes reached each other on all {ways} ways after {}",
                pods.len(),
                seconds(retry.took())
            ));
        }
        let some: Vec<String> = closed.iter().take(2).map(Way::told).collect();
        if !retry.again(&some.join("; ")).await {
            return Err(refusal(&closed, pods.len()));
        }
    }
}

/// A way between two pods that is closed.
struct Way {
    from: (String, Ipv4Addr),
    to: (String, Ipv4Addr),
    came: String,
}

impl Way {
    fn told(&self) -> String {
        let ((from, source), (to, address)) = (&self.from, &self.to);
        format!("{from} ({source}) to {to} (http://{address}:{PORT}/): {}", self.came)
    }
}

fn closed(pods: &[Pod], pages: &[String], all: &[Vec<Result<Answer, String>>]) -> Vec<Way> {
    let end = |pod: &Pod| (pod.node.clone(), pod.address);
    let rows = pods.iter().zip(all).flat_map(|(from, row)| {
        let columns = pods.iter().zip(pages).zip(row);
        columns.map(move |((to, page), came)| (from, to, page, came))
    });
    let bad = rows
        .filter(|(_, _, page, came)| !came.as_ref().is_ok_and(|it| it.status == 200 && it.body == **page));
    bad.map(|(from, to, _, came)| Way { from: end(from), to: end(to), came: http::told(came) }).collect()
}

/// In words, with what the pattern of closed ways points to.
fn refusal(closed: &[Way], nodes: usize) -> Closed {
    let mut told: Vec<String> = closed.iter().take(TOLD).map(Way::told).collect();
    if closed.len() > TOLD {
        told.push(format!("and {} more", closed.len() - TOLD));
    }
    let observed = format!(
        "pods reach each other on {} of {} ways: {}",
        nodes * nodes - closed.len(),
        nodes * nodes,
        told.join("; ")
    );
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for way in closed {
        for end in [&way.from.0, &way.to.0] {
            *count.entry(end).or_default() += 1;
        }
    }
    let inside = closed.iter().any(|way| way.from.0 == way.to.0);
    let one =
        count.iter().find(|(_, ways)| nodes > 2 && **ways == closed.len() && closed.len() >= 2 * (nodes - 1));
    let help = match (inside, one) {
        (true, _) => "a node does not reach its own pods: its network plugin is not set up (`journalctl -u kubelet`, the \
                      plugin's own pods), or a rule of the host's firewall drops what comes from pods"
            .to_owned(),
        (false, Some((node, _))) => format!(
            "all of them begin or end on {node}: its network plugin, its firewall or its route is at fault"
        ),
        (false, None) => format!(
            "between nodes packets are lost: see that nothing between them drops the tunnel (VXLAN is UDP {VXLAN} or 4789, \
             Cilium's WireGuard UDP {WIREGUARD}) or the routes to pod networks; `hoist preflight` looks for it"
        ),
    };
    Closed::observed(observed, "an answer on every way", help)
}

async fn service(bench: &Bench<'_>, ground: &Ground, pods: &[Pod]) -> Result<String, Closed> {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "all", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"selector": {LABEL: ground.gate}, "ports": [{"port": 80, "targetPort": PORT}]},
    });
    make(bench, object, Duration::from_secs(30)).await?;
    let made = bench.api.object(SERVICE, Some(&ground.namespace), "all").await?.unwrap_or_default();
    let Ok(address) = text(&made["spec"]["clusterIP"]).parse::<Ipv4Addr>() else {
        let observed = format!("a Service got the cluster address {}", made["spec"]["clusterIP"]);
        return Err(Closed::observed(
            observed,
            "an IPv4 address",
            "see `cluster.network.services` in the inventory",
        ));
    };
    let ask = Ask { to: address, port: 80, question: Question::new("all", "/") };
    let mut retry = Retry::new(bench, "a Service", PATIENCE);
    loop {
        let all = try_join_all(pods.iter().map(|pod| inside::ask(pod, std::slice::from_ref(&ask)))).await?;
        let ours = |came: &Result<Answer, String>| {
            came.as_ref().is_ok_and(|it| it.status == 200 && it.body.starts_with(&ground.namespace))
        };
        let Some((pod, came)) = pods.iter().zip(all.iter().flatten()).find(|(_, came)| !ours(came)) else {
            return Ok(format!(
                "a Service ({address}) answered pods on all {} nodes after {}",
                pods.len(),
                seconds(retry.took())
            ));
        };
        let observed = format!("{} asked the Service http://{address}/: {}", pod.place(), http::told(came));
        if !retry.again(&observed).await {
            let help = "pods reach each other, so it is what carries Services on that node: kube-proxy, or Cilium in its \
                        place (`kubectl -n kube-system get pods -o wide`)";
            return Err(Closed::observed(observed, "an answer of one of the gate's pods", help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(pairs: &[(&str, &str)]) -> Vec<Way> {
        let end = |name: &str| (name.to_owned(), Ipv4Addr::new(10, 244, name.as_bytes()[1], 2));
        let way = |(from, to): &(&str, &str)| Way {
            from: end(from),
            to: end(to),
            came: "no answer within 5 s".to_owned(),
        };
        pairs.iter().map(way).collect()
    }

    fn help(pairs: &[(&str, &str)]) -> String {
        let Closed::Observed { help, .. } = refusal(&ways(pairs), 3) else { panic!() };
        help
    }

    #[test]
    fn closed_ways_are_told_with_where_they_lead() {
        let error = refusal(&ways(&[("w1", "w2"), ("w2", "w1")]), 3).to_string();
        assert_eq!(
            error,
            "pods reach each other on 7 of 9 ways: w1 (10.244.49.2) to w2 (http://10.244.50.2:8080/): no answer within 5 s; \
             w2 (10.244.50.2) to w1 (http://10.244.49.2:8080/): no answer within 5 s; expected: an answer on every way"
        );
    }

    #[test]
    fn the_pattern_of_closed_ways_points_to_the_cause() {
        let between = help(&[("w1", "w2"), ("w2", "w1")]);
        assert!(
            between.starts_with("between nodes") && between.contains("WireGuard UDP 51871)"),
            "{between}"
        );
        let around = [("w1", "w2"), ("w2", "w1"), ("w1", "c1"), ("c1", "w1")];
        assert!(help(&around).starts_with("all of them begin or end on w1"));
        assert!(help(&[("w1", "w1")]).starts_with("a node does not reach its own pods"));
    }
}
