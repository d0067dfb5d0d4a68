//! Which nodes a lab should have: a number of them, a list, or the hosts of an inventory.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr, str::FromStr};

use super::{
    config::check_name,
    error::LabError,
    links,
    network::{self, GATEWAY},
};
use crate::inventory::Inventory;

/// Last byte of the address of the first node, where only a number of nodes is given.
const FIRST: u8 = 11;

/// A node that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    pub name: String,
    pub address: Ipv4Addr,
    /// Where it stands: a word that stands for all nodes of the site when links are cut.
    pub site: Option<String>,
}

impl NodeSpec {
    /// The three nodes of `hoist lab up`.
    pub fn three() -> Vec<Self> {
        Self::some(3)
    }

    /// A control plane and as many workers as make `count` nodes, at most 244.
    fn some(count: u8) -> Vec<Self> {
        let [a, b, c, _] = GATEWAY.octets();
        (0..count)
            .map(|place| Self {
                name: if place == 0 { "cp1".to_owned() } else { format!("w{place}") },
                address: Ipv4Addr::new(a, b, c, FIRST + place),
                site: None,
            })
            .collect()
    }

    /// The hosts of an inventory.
    pub fn of(inventory: &Inventory) -> Vec<Self> {
        inventory
            .hosts
            .iter()
            .map(|(name, host)| Self { name: name.clone(), address: host.address, site: host.site.clone() })
            .collect()
    }
}

impl FromStr for NodeSpec {
    type Err = String;

    /// `NAME=ADDRESS` or `NAME=ADDRESS@SITE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "expected NAME=ADDRESS or NAME=ADDRESS@SITE, such as w3=10.77.0.14";
        let (name, place) = text.split_once('=').ok_or(shape)?;
        let (address, site) = match place.split_once('@') {
            Some((address, site)) => (address, Some(site.to_owned())),
            None => (place, None),
        };
        let address = address.parse().map_err(|_| format!("`{address}` is not an IPv4 address"))?;
        Ok(Self { name: name.to_owned(), address, site })
    }
}

impl fmt::Display for NodeSpec {
    /// As [`NodeSpec::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)?;
        self.site.iter().try_for_each(|site| write!(f, "@{site}"))
    }
}

/// What one `--nodes` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes(pub Vec<NodeSpec>);

impl FromStr for Nodes {
    type Err = String;

    /// A number of nodes, or nodes with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let most = u8::MAX - FIRST;
            return match text.parse() {
                Ok(count) if (1..=most).contains(&count) => Ok(Self(NodeSpec::some(count))),
                _ => Err(format!("a lab has 1 to {most} nodes")),
            };
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// That every node can be made as it is asked for.
pub(crate) fn check_nodes(nodes: &[NodeSpec]) -> Result<(), LabError> {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for node in nodes {
        check_name(&node.name)?;
        node.site.iter().try_for_each(|site| check_name(site))?;
        let problem = if !names.insert(&node.name) {
            "the name is given twice".to_owned()
        } else if !addresses.insert(node.address) {
            format!("address {} is given twice", node.address)
        } else if !network::can_have(node.address) {
            format!("{} is not an address for a node", node.address)
        } else if [Some(&node.name), node.site.as_ref()].contains(&Some(&links::GATEWAY.to_owned())) {
            format!("`{}` is what this machine is called in the lab's network", links::GATEWAY)
        } else {
            continue;
        };
        return Err(LabError::BadNode { node: node.name.clone(), problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_checked() {
        let nodes = |list: &str| list.parse::<Nodes>().unwrap().0;
        check_nodes(&NodeSpec::three()).unwrap();
        check_nodes(&nodes("244")).unwrap();
        for (list, problem) in [
            ("a=10.77.0.5,a=10.77.0.6", "name is given twice"),
            ("a=10.77.0.5,b=10.77.0.5", "10.77.0.5 is given twice"),
            ("a=10.77.0.1", "not an address for a node"),
            ("a=10.78.0.5", "not an address for a node"),
            ("a=10.77.0.255", "not an address for a node"),
            ("A=10.77.0.5", "not a usable name"),
            ("../a=10.77.0.5", "not a usable name"),
            ("-a=10.77.0.5", "not a usable name"),
            ("a=10.77.0.5@", "not a usable name"),
            ("a=10.77.0.5@North", "not a usable name"),
            ("gateway=10.77.0.5", "is what this machine is called"),
            ("a=10.77.0.5@gateway", "is what this machine is called"),
        ] {
            let error = check_nodes(&nodes(list)).unwrap_err().to_string();
            assert!(error.contains(problem), "{list}: {error}");
        }
    }

    #[test]
    fn the_hosts_of_an_inventory() {
        let text = "sites: [north, south]
cluster: {name: one, kubernetes: \"1.20.2\"}
hosts:
  a: {address: 10.77.0.5, roles: [control-plane], site: north}
  b: {address: 10.77.0.6, roles: [worker], site: south}
";
        let inventory = crate::inventory::parse("lab.yaml", text).unwrap().inventory;
        let shown: Vec<String> = NodeSpec::of(&inventory).iter().map(NodeSpec::to_string).collect();
        assert_eq!(shown, ["a=10.77.0.5@north", "b=10.77.0.6@south"]);
    }

    #[test]
    fn a_number_or_a_list() {
        let shown = |text: &str| {
            let Nodes(nodes) = text.parse()?;
            Ok::<_, String>(nodes.iter().map(NodeSpec::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("1", "cp1=10.77.0.11"),
            ("3", "cp1=10.77.0.11 w1=10.77.0.12 w2=10.77.0.13"),
            ("a=10.77.0.5", "a=10.77.0.5"),
            ("a=10.77.0.5@north,b=10.77.0.6", "a=10.77.0.5@north b=10.77.0.6"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, problem) in [
            ("0", "1 to 244"),
            ("245", "1 to 244"),
            ("99999999999", "1 to 244"),
            ("", "NAME=ADDRESS"),
            ("a", "NAME=ADDRESS"),
            ("a=b", "`b` is not an IPv4 address"),
            ("a=10.77.0.5,,", "NAME=ADDRESS"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
