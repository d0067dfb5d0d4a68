//! Names: the cluster's DNS answers pods. A part of `pods-reach-each-other`, which has a pod on every node.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    Bench, Closed, inside,
    pods::Pod,
    retry::{Retry, seconds, text},
};
use crate::kube::Kind;

const SERVICE: Kind = Kind::new("v1", "Service");
/// The API server's name in every cluster that kubeadm makes.
const NAME: &str = "kubernetes.default.svc.cluster.local";
const PATIENCE: Duration = Duration::from_secs(60);
const HELP: &str = "`kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide` shows who answers; where a pod on one node \
                    is answered and on another is not, the network between nodes drops UDP";

/// The address of the cluster's DNS, when it has one.
pub(super) async fn server(bench: &Bench<'_>) -> Result<Option<Ipv4Addr>, Closed> {
    let service = bench.api.object(SERVICE, Some("kube-system"), "kube-dns").await?;
    Ok(service.and_then(|service| text(&service["spec"]["clusterIP"]).parse().ok()))
}

/// Asks from every pod for the API server's name.
pub(super) async fn resolves(bench: &Bench<'_>, server: Ipv4Addr, pods: &[Pod]) -> Result<String, Closed> {
    let api = bench.api.object(SERVICE, Some("default"), "kubernetes").await?.unwrap_or_default();
    let expected: Option<Ipv4Addr> = text(&api["spec"]["clusterIP"]).parse().ok();
    let mut retry = Retry::new(bench, "DNS", PATIENCE);
    for pod in pods {
        loop {
            let id = getrandom::u32().unwrap_or_default().to_be_bytes();
            let came = inside::datagram(pod, server, 53, &query([id[0], id[1]], NAME)).await?;
            let found = came.as_deref().map(|bytes| answer([id[0], id[1]], bytes));
            let told = match found {
                Some(Ok(addresses)) if expected.is_some_and(|expected| addresses.contains(&expected)) => {
                    break;
                }
                Some(Ok(addresses)) => format!("addresses {addresses:?}"),
                Some(Err(why)) => why,
                None => format!("no answer within {} s", inside::ASKED),
            };
            let observed = format!("{} asked {server} for {NAME}: {told}", pod.place());
            if !retry.again(&observed).await {
                let expected = expected.map_or("its address".to_owned(), |address| address.to_string());
                return Err(Closed::observed(observed, expected, HELP));
            }
        }
    }
    Ok(format!(
        "DNS ({server}) answered {} pods, each on a node of its own, after {}",
        pods.len(),
        seconds(retry.took())
    ))
}

/// A question for the IPv4 addresses of a name (RFC 1035).
fn query(id: [u8; 2], name: &str) -> Vec<u8> {
    let mut bytes = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The IPv4 addresses in an answer.
fn answer(id: [u8; 2], bytes: &[u8]) -> Result<Vec<Ipv4Addr>, String> {
    let header = bytes.get(..12).filter(|header| header[..2] == id).ok_or("an answer to another question")?;
    match header[3] & 15 {
        0 => {}
        2 => {
            return Err(
                "SERVFAIL: the server fails, most likely for it cannot reach the API server".to_owned()
            );
        }
        3 => return Err("NXDOMAIN: the server does not know the name".to_owned()),
        5 => return Err("REFUSED: the server does not answer questions of pods".to_owned()),
        code => return Err(format!("DNS error {code}")),
    }
    let count = usize::from(header[7]);
    records(bytes, count).ok_or_else(|| "an answer that is cut off".to_owned())
}

fn records(bytes: &[u8], count: usize) -> Option<Vec<Ipv4Addr>> {
    let mut at = skip_name(bytes, 12)? + 4;
    let mut found = Vec::new();
    for _ in 0..count {
        at = skip_name(bytes, at)?;
        let [kind_high, kind, _, _, _, _, _, _, long, short] =
            *bytes.get(at..at + 10)?.first_chunk::<10>()?;
        let length = usize::from(u16::from_be_bytes([long, short]));
        let data = bytes.get(at + 10..at + 10 + length)?;
        if let ([0, 1], [a, b, c, d]) = ([kind_high, kind], data) {
            found.push(Ipv4Addr::new(*a, *b, *c, *d));
        }
        at += 10 + length;
    }
    Some(found)
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u8, records: &[u8], count: u8) -> Result<Vec<Ipv4Addr>, String> {
        let mut bytes = query([7, 9], NAME);
        (bytes[2], bytes[3], bytes[7]) = (0x81, 0x80 | code, count);
        bytes.extend(records);
        answer([7, 9], &bytes)
    }

    #[test]
    fn addresses_are_read_past_names_that_stand_for_others() {
        let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 30, 0, 2, 0xc0, 12];
        let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1];
        let found = answered(0, &[&alias[..], &address[..]].concat(), 2);
        assert_eq!(found, Ok(vec!["10.96.0.1".parse().unwrap()]));
        assert_eq!(answered(0, &address[..9], 1), Err("an answer that is cut off".to_owned()));
        assert!(answered(3, &[], 0).unwrap_err().starts_with("NXDOMAIN"));
        assert!(answered(2, &[], 0).unwrap_err().starts_with("SERVFAIL"));
        assert!(answer([1, 1], &query([7, 9], NAME)).is_err());
    }
}
