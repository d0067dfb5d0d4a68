//! Addresses for services that another machine answers for: two machines with one address are both reached now and then.

use std::{net::Ipv4Addr, sync::Arc};

use futures::future::try_join_all;
use indexmap::IndexMap;
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::{
    addon::Error,
    facts::{Facts, Owners},
    inventory::{Inventory, Metallb, Pool, Protocol},
    kube::{Api, Kind},
    transport::Host,
    yaml,
};

const POOL: Kind = Kind::new("metallb.io/v1beta1", "IPAddressPool");
const SERVICE: Kind = Kind::new("v1", "Service");
/// So many addresses one host asks for, all at once. Of more, the first half of these, which MetalLB gives first, and the
/// others evenly from the rest.
const MOST: u64 = 32;

/// Looks by ARP whether machines answer for addresses that MetalLB shall give and that the cluster does not have yet, from
/// one host in each network. Gives what is worth a word: what was not asked for, and where nobody could ask.
///
/// # Errors
/// [`Error::Mistakes`] with who answers, and when the API server does not answer. Without an `api` there is no cluster yet.
pub async fn pools(
    api: Option<&Api>,
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
) -> Result<Vec<String>, Error> {
    let metallb = inventory.addons.metallb.as_ref();
    let ranges: Vec<Pool> = metallb
        .into_iter()
        .flat_map(Metallb::ranges)
        .filter(|(.., protocol)| *protocol == Protocol::L2)
        .map(|(_, _, range, _)| range)
        .collect();
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let own = match api {
        Some(api) => known(&api.objects(POOL, None, "").await?, &api.objects(SERVICE, None, "").await?),
        None => Vec::new(),
    };
    let buggy = metallb.is_some_and(|metallb| metallb.avoid_buggy_ips);
    let given = |address: Ipv4Addr| {
        let skipped = buggy && matches!(address.octets()[3], 0 | 255);
        !skipped && own.iter().all(|range| !range.contains(address))
    };
    let (questions, mut told) = questions(inventory, hosts, facts, &ranges, &given);
    let answers = try_join_all(
        questions.iter().map(|question| Owners::ask(&*hosts[&question.host], &question.addresses)),
    );
    // A host that is lost now is told of by who has to change it.
    let Ok(answers) = answers.await else {
        told.push(format!("who has MetalLB's addresses could not be asked: {UNASKED}"));
        return Ok(told);
    };
    let mut mistakes = Vec::new();
    for (question, answer) in questions.iter().zip(answers) {
        mistakes.extend(strangers(facts, &answer, question));
        if let Some(reason) = answer.unasked {
            told.push(format!(
                "{} could not ask who has MetalLB's addresses: {reason}; {UNASKED}",
                question.host
            ));
        } else if question.all > question.addresses.len() as u64 {
            told.push(format!(
                "{} asked by ARP for {} of {} addresses of MetalLB's pools, the others were not looked at",
                question.host,
                question.addresses.len(),
                question.all
            ));
        }
    }
    if mistakes.is_empty() { Ok(told) } else { Err(Error::Mistakes { mistakes }) }
}

const UNASKED: &str = "`hoist preflight` asks again";

/// What the cluster itself has: pools that MetalLB answers for, and addresses that its services have.
fn known(pools: &[Value], services: &[Value]) -> Vec<Pool> {
    let pools = pools.iter().flat_map(|pool| pool["spec"]["addresses"].as_array()).flatten();
    let pools = pools.filter_map(|range| yaml::ipv4_range(range.as_str()?));
    let given = services.iter().flat_map(|service| service["status"]["loadBalancer"]["ingress"].as_array());
    let given = given.flatten().filter_map(|given| given["ip"].as_str()?.parse::<Ipv4Addr>().ok());
    let given = given.map(|address| (address, address));
    pools.chain(given).map(|(first, last)| Pool { first, last }).collect()
}

/// What one host is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    host: String,
    addresses: Vec<Ipv4Addr>,
    /// How many there are.
    all: u64,
}

/// The addresses that are given, each asked for by the first host in its network.
fn questions(
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
    ranges: &[Pool],
    given: &dyn Fn(Ipv4Addr) -> bool,
) -> (Vec<Question>, Vec<String>) {
    let (mut by_host, mut told) = (IndexMap::<&str, Vec<Pool>>::new(), Vec::new());
    for range in ranges {
        let mut near = inventory.hosts.iter().filter_map(|(name, host)| {
            hosts.get(name).filter(|_| host.is_node())?;
            let own = facts.get(name)?.addresses.iter().find(|own| own.address == host.address)?;
            let network = Ipv4Net::new(host.address, own.prefix.min(32)).ok()?;
            (network.contains(&range.first) && network.contains(&range.last)).then_some(name.as_str())
        });
        match near.next() {
            Some(name) => by_host.entry(name).or_default().push(*range),
            // What the cluster has answers for itself.
            None if !sample(std::slice::from_ref(range)).1.into_iter().any(given) => {}
            None => told.push(format!(
                "who has {range} was not asked: no node that answers is in that network; elsewhere routers have to be \
                 told (`protocol: bgp`)"
            )),
        }
    }
    let ask = |(host, ranges): (&str, Vec<Pool>)| {
        let (all, chosen) = sample(&ranges);
        let addresses: Vec<Ipv4Addr> = chosen.into_iter().filter(|address| given(*address)).collect();
        let all = if all > MOST { all } else { addresses.len() as u64 };
        Question { host: host.to_owned(), addresses, all }
    };
    let questions = by_host.into_iter().map(ask).filter(|question| !question.addresses.is_empty());
    (questions.collect(), told)
}

/// How many addresses there are, and those that are asked for.
fn sample(ranges: &[Pool]) -> (u64, Vec<Ipv4Addr>) {
    let size = |range: &Pool| u64::from(u32::from(range.last)) - u64::from(u32::from(range.first)) + 1;
    let all: u64 = ranges.iter().map(size).sum();
    let first = MOST / 2;
    let indexes: Vec<u64> = match all {
        ..=MOST => (0..all).collect(),
        _ => (0..first)
            .chain((1..=MOST - first).map(|part| first + (all - 1 - first) * part / (MOST - first)))
            .collect(),
    };
    let at = |mut index: u64| {
        for range in ranges {
            if index < size(range) {
                return u32::try_from(index).ok()?.checked_add(range.first.into()).map(Ipv4Addr::from);
            }
            index -= size(range);
        }
        None
    };
    (all, indexes.into_iter().filter_map(at).collect())
}

/// Who has addresses without being the cluster. A node that answers without having the address announces it for whatever
/// the cluster runs.
fn strangers(facts: &IndexMap<String, Facts>, answer: &Owners, question: &Question) -> Vec<String> {
    let of = |mac: &str| {
        let has = |facts: &&Facts| facts.interfaces.iter().any(|interface| interface.mac == mac);
        facts.iter().find(|(_, facts)| has(facts))
    };
    let owners = answer.owners.iter().filter_map(|(address, mac)| match of(mac) {
        None => Some((address, format!("a machine with the MAC address {mac}"))),
        Some((_, facts))
            if facts.kubernetes.joined && facts.addresses.iter().all(|own| own.address != *address) =>
        {
            None
        }
        Some((name, _)) => Some((address, format!("{name} itself"))),
    });
    let own = answer.own.iter().map(|address| (address, format!("{} itself", question.host)));
    let taken = owners.chain(own);
    taken
        .map(|(address, who)| {
            format!(
                "metallb: the address {address} of a pool is in use: {who} answers for it: take it out of the pool, or from \
                 that machine (an address that a DHCP server hands out comes back: name the server's range in \
                 `cluster.network.dhcp`)"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::{addon::gate::testing::Cluster, inventory};

    const FREE: &str = "nobody=192.168.18.230\n";

    fn inventory(metallb: &str) -> Inventory {
        let text = include_str!("../../../inventory/three.yaml");
        let mut inventory = inventory::parse("three.yaml", text).unwrap().inventory;
        inventory.addons.metallb = Some(serde_json::from_str(metallb).unwrap());
        inventory
    }

    /// The hosts of the inventory are nodes, each with its address in a /24.
    fn facts(inventory: &Inventory) -> IndexMap<String, Facts> {
        let one = |(index, (name, host)): (usize, (&String, &inventory::Host))| {
            let text = format!(
                "kubernetes.joined=yes\naddress=eth0 {}/24\ninterface=eth0 52:54:00:00:00:0{index} 1500 hardware\n",
                host.address
            );
            (name.clone(), Facts::parse(&text))
        };
        inventory.hosts.iter().enumerate().map(one).collect()
    }

    /// Asks with these answers; what is told or refused, and the addresses that were asked for.
    async fn seen(
        metallb: &str,
        live: &[Value],
        answer: &str,
        change: impl Fn(&mut IndexMap<String, Facts>),
    ) -> (Result<Vec<String>, String>, Vec<String>) {
        let inventory = inventory(metallb);
        let mut facts = facts(&inventory);
        change(&mut facts);
        let mut cluster = Cluster::new(&["cp1", "w1", "w2"]).await;
        live.iter().for_each(|object| cluster.put(object.clone()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, answer) = (asked.clone(), answer.to_owned());
        cluster.on_script(move |name, text| {
            let line = text.lines().next().unwrap_or_default().to_owned();
            heard.lock().unwrap().push(format!("{name} {line}"));
            (0, answer.clone())
        });
        let told = pools(Some(cluster.bench("").api), &inventory, &cluster.hosts, &facts).await;
        let asked = asked.lock().unwrap().clone();
        (told.map_err(|error| error.to_string()), asked)
    }

    const POOLS: &str = r#"{"pools": ["192.168.18.230-192.168.18.231"]}"#;

    #[tokio::test]
    async fn a_machine_that_answers_stops_it_and_nobody_lets_it_pass() {
        let (told, asked) = seen(POOLS, &[], FREE, |_| {}).await;
        assert_eq!(told, Ok(vec![]));
        assert_eq!(asked, ["cp1 addresses='192.168.18.230 192.168.18.231'"], "from one host, in one round");
        let (told, _) = seen(POOLS, &[], "owner=192.168.18.230 AA:BB:CC:00:00:01\n", |_| {}).await;
        let refusal = told.unwrap_err();
        assert!(
            refusal.starts_with(
                "add-ons cannot be installed as they are asked for: metallb: the address 192.168.18.230 of a pool is in \
                 use: a machine with the MAC address aa:bb:cc:00:00:01 answers for it: take it out of the pool"
            ),
            "{refusal}"
        );
        assert!(seen(POOLS, &[], "own=192.168.18.231\n", |_| {}).await.0.unwrap_err().contains("cp1 itself"));
    }

    #[tokio::test]
    async fn a_node_that_announces_an_address_is_the_cluster_and_one_that_has_it_is_not() {
        let announced = "owner=192.168.18.230 52:54:00:00:00:01\n";
        assert_eq!(seen(POOLS, &[], announced, |_| {}).await.0, Ok(vec![]));
        let has = |facts: &mut IndexMap<String, Facts>| {
            let more = Facts::parse("address=eth0 192.168.18.230/24\n").addresses;
            facts[1].addresses.extend(more);
        };
        let name = inventory(POOLS).hosts.keys().nth(1).unwrap().clone();
        let refusal = seen(POOLS, &[], announced, has).await.0.unwrap_err();
        assert!(refusal.contains(&format!("{name} itself")), "{refusal}");
        // Before it is a node nothing of the cluster's can run there.
        let refusal = seen(POOLS, &[], announced, |facts| facts[1].kubernetes.joined = false).await.0;
        assert!(refusal.unwrap_err().contains("itself"));
    }

    #[tokio::test]
    async fn what_the_cluster_has_is_asked_for_by_nobody() {
        let pool = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "default", "namespace": "metallb-system"}, "spec": {"addresses": ["192.168.18.230/32"]}});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "n"},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.168.18.231"}]}}});
        let (told, asked) = seen(POOLS, &[pool.clone(), service], "", |_| {}).await;
        assert_eq!((told, asked.len()), (Ok(vec![]), 0));
        let (_, asked) = seen(POOLS, &[pool], "", |_| {}).await;
        assert_eq!(asked, ["cp1 addresses='192.168.18.231'"], "only what is new");
        let (told, asked) =
            seen(r#"{"protocol": "bgp", "pools": ["192.168.18.230/31"]}"#, &[], "", |_| {}).await;
        assert_eq!((told, asked.len()), (Ok(vec![]), 0), "routers are told");
    }

    #[tokio::test]
    async fn of_a_large_pool_some_are_asked_for_and_that_is_said() {
        let (told, asked) = seen(r#"{"pools": ["192.168.18.0/24"]}"#, &[], FREE, |_| {}).await;
        assert_eq!(
            told,
            Ok(vec![
                "cp1 asked by ARP for 30 of 256 addresses of MetalLB's pools, the others were not looked at"
                    .to_owned()
            ]),
            "not for those that end in 0 or 255, which nobody gets"
        );
        let words: Vec<&str> = asked[0].split(['\'', ' ']).filter(|word| word.starts_with("192")).collect();
        assert_eq!((words[0], words[14], words.len()), ("192.168.18.1", "192.168.18.15", 30));
        let (told, asked) = seen(r#"{"pools": ["10.9.0.0/30"]}"#, &[], FREE, |_| {}).await;
        assert!(asked.is_empty());
        assert!(told.unwrap()[0].starts_with("who has 10.9.0.0-10.9.0.3 was not asked: no node"));
        let there = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "far", "namespace": "metallb-system"}, "spec": {"addresses": ["10.9.0.0/30"]}});
        let (told, _) = seen(r#"{"pools": ["10.9.0.0/30"]}"#, &[there], FREE, |_| {}).await;
        assert_eq!(told, Ok(vec![]), "that was said when it was new");
        let (told, _) = seen(POOLS, &[], "unasked=there is no ip (iproute2) on the host\n", |_| {}).await;
        assert!(
            told.unwrap()[0].starts_with("cp1 could not ask who has MetalLB's addresses: there is no ip")
        );
    }

    #[test]
    fn a_sample_has_the_first_and_the_last_and_no_address_twice() {
        let range = |text: &str| {
            let (first, last) = yaml::ipv4_range(text).unwrap();
            Pool { first, last }
        };
        for ranges in [vec!["10.0.0.0/8"], vec!["10.0.0.0/27", "10.9.0.7/32"], vec!["10.0.0.1-10.0.0.33"]] {
            let ranges: Vec<Pool> = ranges.into_iter().map(range).collect();
            let (all, chosen) = sample(&ranges);
            assert!(all > MOST && chosen.len() as u64 == MOST, "{all} {}", chosen.len());
            assert_eq!(
                (chosen.first(), chosen.last()),
                (Some(&ranges[0].first), ranges.last().map(|it| &it.last))
            );
            assert!(chosen.is_sorted_by(|a, b| a < b), "{chosen:?}");
        }
        assert_eq!(sample(&[range("10.0.0.0/27")]).1.len(), 32);
    }
}
