//! MetalLB: a Service gets an address of each pool, answers from outside, and outlives its announcer.

mod moved;
mod pools;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::pools::Pool;
use super::{
    Bench, Closed, Gate, Proof,
    ground::{Ground, LABEL},
    http::Question,
    inside::{self, PORT},
    outside::{self, Miss},
    pods::{self, Wish},
    reach::page,
    retry::{Retry, make, seconds},
};
use crate::kube::Kind;

const SERVICE: Kind = Kind::new("v1", "Service");
const POOL: Kind = Kind::new("metallb.io/v1beta1", "IPAddressPool");
/// By which a Service asks for an address of a pool, also of one that gives none to who asks for nothing.
const ASKS: &str = "metallb.io/address-pool";

const ADDRESS: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(60);
/// So many services are asked that have addresses of a pool which has none left.
const HOLDERS: usize = 3;

/// Whether some pool gives an address to a Service of any namespace that asks for none in particular.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub(super) async fn gives(bench: &Bench<'_>) -> Result<bool, Closed> {
    let (pools, services) =
        (bench.api.objects(POOL, None, "").await?, bench.api.objects(SERVICE, None, "").await?);
    let gives =
        |pool: &Value| pool["spec"]["autoAssign"] != false && Pool::read(pool).hindrance(&services).is_none();
    Ok(pools.iter().any(gives))
}

/// The gate `metallb-address`.
pub(super) struct MetallbAddress;

#[async_trait]
impl Gate for MetallbAddress {
    fn name(&self) -> &'static str {
        "metallb-address"
    }

    fn proves(&self) -> &'static str {
        "a Service gets an address of each pool and answers there from outside the cluster"
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
        moved::include_again(bench).await?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, disrupt).await;
        ground.leave(bench, done).await
    }
}

/// A Service of the gate with an address of a pool.
struct Given {
    service: String,
    at: SocketAddr,
    page: String,
}

async fn prove(bench: &Bench<'_>, ground: &Ground, disrupt: bool) -> Result<Proof, Closed> {
    let pools = bench.api.objects(POOL, Some(bench.namespace), "").await?;
    let pools: Vec<Pool> = pools.iter().map(Pool::read).collect();
    if pools.is_empty() {
        return Ok(Proof { seen: vec!["there is no pool: no Service gets an address".to_owned()] });
    }
    let (nodes, _) = pods::nodes(bench).await?;
    let node = &nodes[nodes.len() - 1];
    let wish = Wish { name: "server".to_owned(), node, ..Wish::default() };
    let pods = pods::start(bench, ground, std::slice::from_ref(&wish)).await?;
    let page = page(ground, &pods[0]);
    let _server = inside::serve(&pods[0], &page).await?;
    let (mut seen, mut all) = (Vec::new(), Vec::new());
    for (index, pool) in pools.iter().enumerate() {
        let services = bench.api.objects(SERVICE, None, "").await?;
        if let Some(why) = pool.hindrance(&services) {
            seen.push(held(bench, pool, &why, &services).await);
            continue;
        }
        let service = format!("pool-{}", index + 1);
        let (address, told) = given(bench, ground, pool, &service).await?;
        let given = Given { service, at: SocketAddr::new(IpAddr::V4(address), 80), page: page.clone() };
        seen.push(told);
        match answers(bench, &given).await? {
            Ok(told) => {
                seen.push(told);
                all.push(given);
            }
            Err(why) => seen.push(format!("{address} was not asked from outside: {why}")),
        }
    }
    if disrupt {
        seen.push(moved::moved(bench, ground, &all).await?);
    }
    Ok(Proof { seen })
}

/// Makes a Service that asks for an address of this pool, and waits until it has one.
async fn given(
    bench: &Bench<'_>,
    ground: &Ground,
    pool: &Pool,
    name: &str,
) -> Result<(Ipv4Addr, String), Closed> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": ground.namespace, "labels": ground.labels(),
                     "annotations": {ASKS: pool.name}},
        "spec": {"type": "LoadBalancer", "selector": {LABEL: ground.gate}, "ports": [{"port": 80, "targetPort": PORT}]},
    });
    make(bench, service, ADDRESS).await?;
    let mut retry = Retry::new(bench, format!("a Service for the pool {}", pool.name), ADDRESS);
    loop {
        let service = bench.api.object(SERVICE, Some(&ground.namespace), name).await?.unwrap_or_default();
        if let Some(address) = pools::address(&service) {
            return Ok((address, of(pool, address)?));
        }
        if !retry.again("it has no address yet").await {
            let seconds = ADDRESS.as_secs();
            let observed =
                format!("a Service that asks for the pool {} has no address after {seconds} s", pool.name);
            let help =
                format!("MetalLB says why: `kubectl -n {} logs deploy/metallb-controller`", bench.namespace);
            return Err(Closed::observed(observed, "an address of it", help));
        }
    }
}

/// That an address is of the pool that was asked for.
fn of(pool: &Pool, address: Ipv4Addr) -> Result<String, Closed> {
    if let Some(range) = pool.range(address) {
        return Ok(format!("a Service got the address {address} of the pool {} ({range})", pool.name));
    }
    let help = "something else gives addresses to Services, or the pools were changed: `kubectl get ipaddresspools -A`";
    let ranges: Vec<&str> = pool.ranges().collect();
    let expected = format!("one of the pool {} ({})", pool.name, ranges.join(", "));
    Err(Closed::observed(format!("a Service got the address {address}"), expected, help))
}

/// Waits until the gate's pod answers at the address; in words, why nobody can ask.
async fn answers(bench: &Bench<'_>, given: &Given) -> Result<Result<String, String>, Closed> {
    let address = given.at.ip();
    let mut retry = Retry::new(bench, "the address", ANSWERS);
    loop {
        let came = outside::ask(bench, given.at, &Question::new(address.to_string(), "/")).await;
        match &came {
            Ok((from, answer)) if answer.status == 200 && answer.body == given.page => {
                return Ok(Ok(format!("{address} answered {from} after {}", seconds(retry.took()))));
            }
            Err(Miss::Unasked { why }) => return Ok(Err(why.clone())),
            _ => {}
        }
        let observed = outside::told(&came, &format!("http://{address}/"));
        if !retry.again(&observed).await {
            return Err(Closed::observed(observed, "the answer of the pod behind it", NO_ANSWER));
        }
    }
}

const NO_ANSWER: &str = "refused: the address is another machine's; no answer: nobody announces it (`kubectl -n metallb-system \
                         logs -l app.kubernetes.io/component=speaker`), it is not in the network of the nodes, or a switch or \
                         firewall drops ARP for addresses it does not know; in BGP mode the router has no route to it";

/// What is seen of a pool that has no address for the gate: whether a service that has one of it takes connections. That none
/// does may be the service's own fault.
async fn held(bench: &Bench<'_>, pool: &Pool, why: &str, services: &[Value]) -> String {
    let mut asked = Vec::new();
    for (service, at) in pool.holders(services).into_iter().take(HOLDERS) {
        match outside::knock(bench, at).await {
            Ok((from, ())) => {
                return format!(
                    "of the pool {} {why}; {service} took a connection of {from} at {at}",
                    pool.name
                );
            }
            Err(Miss::Unasked { why }) => asked.push(format!("{service} was not asked from outside: {why}")),
            Err(Miss::Silent { from, reason }) => {
                asked.push(format!("{from} asked {service} at {at}: {reason}"))
            }
        }
    }
    let asked =
        if asked.is_empty() { "no service has one to be asked at".to_owned() } else { asked.join("; ") };
    format!("the pool {} was not proven: {why}; {asked}", pool.name)
}

#[cfg(test)]
mod tests;
