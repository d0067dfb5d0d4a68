//! An inventory of Ansible: hosts, groups and variables, and which variable wins.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use indexmap::{IndexMap, IndexSet};
use serde_json::Value as Json;

/// Variables by name.
pub(super) type Vars = IndexMap<String, Var>;

/// A value and the file that says it.
#[derive(Debug, Clone)]
pub(super) struct Var {
    pub value: Json,
    pub file: Arc<str>,
    pub line: usize,
}

/// A group of hosts and of other groups.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub hosts: IndexSet<String>,
    pub children: IndexSet<String>,
    /// What the inventory's own file says.
    pub vars: Vars,
    /// What group_vars says.
    pub beside: Vars,
}

/// A host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// What the inventory's own file says.
    pub vars: Vars,
    /// What host_vars says.
    pub beside: Vars,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Ansible {
    pub hosts: IndexMap<String, Host>,
    pub groups: IndexMap<String, Group>,
    /// What could not be read, for people.
    pub notes: Vec<String>,
}

impl Ansible {
    pub fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Puts a host into a group; `all` has every host anyway.
    pub fn add(&mut self, host: &str, group: &str) -> &mut Host {
        self.group(group).hosts.insert(host.to_owned());
        self.hosts.entry(host.to_owned()).or_default()
    }

    /// Whether a host is in one of these groups, or in a group below one.
    pub fn is_in(&self, host: &str, groups: &[&str]) -> bool {
        groups.iter().any(|group| self.above(host).contains(group))
    }

    /// The variables of a host, the most special winning: what the file says of groups, group_vars of `all`, other
    /// group_vars, what the file says of the host, host_vars; children win over their parents. The order is that of
    /// https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_variables.html#understanding-variable-precedence
    pub fn vars(&self, host: &str) -> Vars {
        let mut groups: Vec<&str> = self.above(host).into_iter().filter(|group| *group != "all").collect();
        let mut known = HashMap::new();
        groups.sort_by_key(|group| (self.depth(group, &mut known), *group));
        let all = || self.groups.get("all").into_iter();
        let own = || groups.iter().filter_map(|group| self.groups.get(*group));
        let layers = all().map(|group| &group.vars).chain(own().map(|group| &group.vars));
        let layers = layers.chain(all().map(|group| &group.beside)).chain(own().map(|group| &group.beside));
        let host = self.hosts.get(host);
        let layers = layers.chain(host.map(|host| &host.vars)).chain(host.map(|host| &host.beside));
        let mut vars = Vars::new();
        for layer in layers {
            vars.extend(layer.iter().map(|(name, var)| (name.clone(), var.clone())));
        }
        vars
    }

    /// Every variable that is said anywhere.
    pub fn every_var(&self) -> impl Iterator<Item = (&String, &Var)> {
        let groups = self.groups.values().flat_map(|group| group.vars.iter().chain(&group.beside));
        groups.chain(self.hosts.values().flat_map(|host| host.vars.iter().chain(&host.beside)))
    }

    /// The groups that a host is in, directly or through others, `all` among them.
    fn above(&self, host: &str) -> HashSet<&str> {
        let direct = self.groups.iter().filter(|(_, group)| group.hosts.contains(host));
        let mut above: HashSet<&str> = HashSet::from(["all"]);
        let mut next: Vec<&str> = direct.map(|(name, _)| name.as_str()).collect();
        while let Some(group) = next.pop() {
            if above.insert(group) {
                next.extend(self.parents(group));
            }
        }
        above
    }

    fn parents<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.groups
            .iter()
            .filter(move |(_, parent)| parent.children.contains(group))
            .map(|(name, _)| name.as_str())
    }

    /// How many groups are above a group at most. Each group is looked at once; one that is above itself counts as
    /// if it were not.
    fn depth<'a>(&'a self, group: &'a str, known: &mut HashMap<&'a str, usize>) -> usize {
        if let Some(depth) = known.get(group) {
            return *depth;
        }
        known.insert(group, 0);
        let parents: Vec<&str> = self.parents(group).collect();
        let depth = parents.into_iter().map(|parent| 1 + self.depth(parent, known)).max().unwrap_or(0);
        known.insert(group, depth);
        depth
    }
}

#[cfg(test)]
mod tests {
    use crate::{inventory::import::ini, yaml::Source};

    fn value(text: &str, host: &str) -> String {
        let ansible = ini::read(&Source::new("hosts", text)).unwrap();
        ansible.vars(host)["x"].value.as_str().unwrap().to_owned()
    }

    #[test]
    fn the_more_special_wins() {
        let groups =
            "h\n[low]\nh\n[high:children]\nlow\n[low:vars]\nx=low\n[high:vars]\nx=high\n[all:vars]\nx=all\n";
        assert_eq!(value(groups, "h"), "low");
        assert_eq!(value(&groups.replace("[low:vars]\nx=low\n", ""), "h"), "high");
        assert_eq!(value(&groups.replacen("h\n", "h x=own\n", 1), "h"), "own");
        // On the same level the later name wins.
        assert_eq!(value("[a]\nh\n[b]\nh\n[b:vars]\nx=b\n[a:vars]\nx=a\n", "h"), "b");
    }

    #[test]
    fn groups_that_contain_each_other_do_no_harm() {
        let text = "[a:children]\nb\n[b:children]\na\n[b]\nh\n[a:vars]\nx=1\n";
        assert_eq!(value(text, "h"), "1");
        // Two ways from each level to the next: a billion ways in all.
        let ladder: String = (0..30)
            .map(|i| format!("[a{i}:children]\na{0}\nb{0}\n[b{i}:children]\na{0}\nb{0}\n", i + 1))
            .collect();
        assert_eq!(value(&format!("{ladder}[a30]\nh\n[a0:vars]\nx=top\n"), "h"), "top");
    }
}
