//! Which hosts try the way to which others: all of them, until that would be too many.

use std::collections::{HashMap, HashSet};

use crate::inventory::{Inventory, Role};

/// Up to so many hosts everyone tries everyone.
const EVERYONE: usize = 24;
/// Beyond, a worker tries so many others of each site, its own included.
const OF_EACH_SITE: usize = 4;

/// Who meets whom. Every pair in which one is a control plane or a member of etcd is tried, both ways. So is every
/// other pair of up to [`EVERYONE`] hosts. Of more, each tries the next few of each site in the order of the
/// inventory, round and round: so each host is tried from all sites and tries all sites, and the number of pairs grows
/// with the number of hosts, not with its square.
pub struct Neighbours<'a> {
    /// For each host that is neither: whom of its kind it tries. Nothing when everyone tries everyone.
    chosen: Option<HashMap<&'a str, HashSet<&'a str>>>,
}

impl<'a> Neighbours<'a> {
    pub fn new(inventory: &'a Inventory) -> Neighbours<'a> {
        if inventory.hosts.len() <= EVERYONE {
            return Neighbours { chosen: None };
        }
        let etcd = inventory.etcd_role();
        let mut sites: HashMap<Option<&str>, Vec<&str>> = HashMap::new();
        let mut places: Vec<(&str, usize)> = Vec::new();
        for (name, host) in &inventory.hosts {
            if !host.has(Role::ControlPlane) && !host.has(etcd) {
                let site = sites.entry(host.site.as_deref()).or_default();
                places.push((name, site.len()));
                site.push(name);
            }
        }
        let next = |name: &str, place: usize| {
            let others = sites.values().flat_map(|site| {
                let round = site.iter().cycle().skip(place + 1).take(site.len());
                round.copied().filter(|other| *other != name).take(OF_EACH_SITE).collect::<Vec<_>>()
            });
            others.collect::<HashSet<_>>()
        };
        let chosen = places.iter().map(|(name, place)| (*name, next(name, *place)));
        Neighbours { chosen: Some(chosen.collect()) }
    }

    /// Whether `from` tries the way to `to`.
    pub fn meet(&self, from: &str, to: &str) -> bool {
        let Some(chosen) = &self.chosen else { return from != to };
        match (chosen.get(from), chosen.get(to)) {
            (Some(others), Some(_)) => others.contains(to),
            _ => from != to,
        }
    }

    /// How the pairs were chosen, when not all were taken.
    pub fn sample(&self) -> Option<String> {
        let how = format!(
            "each worker tries {OF_EACH_SITE} others of each site; every way from and to control planes and etcd is tried"
        );
        self.chosen.is_some().then_some(how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    /// So many workers at each of the sites, and a control plane.
    fn fleet(workers: usize, sites: &[&str]) -> Inventory {
        let site = |index: usize| match sites {
            [] => String::new(),
            sites => format!(", site: {}", sites[index % sites.len()]),
        };
        let mut text = format!(
            "cluster: {{name: c, kubernetes: 1.20.2, network: {{pods: 100.64.0.0/10}}}}\nsites: [{}]\nhosts:\n",
            sites.join(", ")
        );
        text += &format!("  cp: {{address: 10.1.0.1, roles: [control-plane]{}}}\n", site(0));
        for index in 0..workers {
            let (high, low) = (1 + index / 200, 1 + index % 200);
            text += &format!("  w{index}: {{address: 10.1.{high}.{low}, roles: [worker]{}}}\n", site(index));
        }
        inventory::parse("t.yaml", &text).unwrap_or_else(|error| panic!("{error:?}")).inventory
    }

    fn pairs(inventory: &Inventory) -> Vec<(&str, &str)> {
        let neighbours = Neighbours::new(inventory);
        let names = || inventory.hosts.keys().map(String::as_str);
        names()
            .flat_map(|from| names().map(move |to| (from, to)))
            .filter(|(from, to)| neighbours.meet(from, to))
            .collect()
    }

    #[test]
    fn a_few_hosts_all_meet() {
        let inventory = fleet(5, &[]);
        assert_eq!(pairs(&inventory).len(), 6 * 5);
        assert_eq!(Neighbours::new(&inventory).sample(), None);
    }

    #[test]
    fn of_many_each_meets_some_of_every_site_and_all_control_planes() {
        let inventory = fleet(99, &["a", "b", "c"]);
        let pairs = pairs(&inventory);
        // 99 ways to the control plane and back; 4 of each of three sites for each worker.
        assert_eq!(pairs.len(), 2 * 99 + 99 * 3 * 4);
        assert!(Neighbours::new(&inventory).sample().is_some());
        for name in inventory.hosts.keys().filter(|name| *name != "cp") {
            for site in ["a", "b", "c"] {
                let at = |other: &str| inventory.hosts[other].site.as_deref() == Some(site);
                assert!(
                    pairs.iter().filter(|(from, to)| from == name && at(to)).count() >= 4,
                    "{name} {site}"
                );
                assert!(pairs.iter().any(|(from, to)| to == name && at(from)), "{name} from {site}");
            }
            assert!(pairs.contains(&("cp", name)) && pairs.contains(&(name, "cp")));
        }
        assert!(pairs.iter().all(|(from, to)| from != to));
    }

    #[test]
    fn the_number_of_pairs_grows_with_the_hosts_and_not_with_their_square() {
        let (some, many) = (pairs(&fleet(100, &[])).len(), pairs(&fleet(400, &[])).len());
        assert!(many <= 4 * some, "{some} {many}");
    }
}
