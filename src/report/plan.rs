//! A plan in words.

use std::fmt::Write;

use console::style;

use super::count;
use crate::{
    engine::{AddonPlan, Plan, PlannedChange},
    task::{Change, Detail},
};

/// So many hosts with the same changes are named; of more, the first ones.
const NAMED: usize = 6;

/// The whole plan. Hosts with the same changes are shown together. `diffs` shows how texts change; without it each change
/// is one line and its attributes.
pub fn plan(plan: &Plan, diffs: bool) -> String {
    let mut text = String::new();
    for (hosts, changes) in alike(plan) {
        let _ = writeln!(text, "{}", style(named(&hosts)).bold());
        host_changes(&mut text, changes, diffs);
    }
    for node in &plan.nodes {
        let _ = writeln!(text, "{}", style(format!("node {}", node.node)).bold());
        one_change(&mut text, &node.change, diffs);
    }
    text.push_str(&addons(&plan.addons, diffs));
    for name in &plan.unwanted {
        let _ =
            writeln!(text, "add-on {name} is not wanted any more: `hoist addon remove {name}` takes it away");
    }
    text.push_str(&summary(plan));
    text
}

/// What would change of add-ons.
pub fn addons(addons: &[AddonPlan], diffs: bool) -> String {
    let mut text = String::new();
    for addon in addons {
        let _ = writeln!(text, "{}", style(format!("add-on {}", addon.addon)).bold());
        addon.changes.iter().for_each(|change| one_change(&mut text, change, diffs));
    }
    text
}

/// How much of the inventory holds, in one line.
pub fn summary(plan: &Plan) -> String {
    let changes = plan.changes();
    let statements: usize = plan.hosts.iter().map(|host| host.statements).sum();
    let hosts = count(plan.hosts.len(), "host");
    let unread = match plan.unread.len() {
        0 => String::new(),
        unread => format!(", and {} could not be read", count(unread, "host")),
    };
    let verb = |number, one, many| if number == 1 { one } else { many };
    let nodes = match plan.nodes.len() {
        0 => String::new(),
        nodes => {
            let differ = verb(nodes, "differs", "differ");
            format!("{} {differ} in labels or taints.\n", count(nodes, "node"))
        }
    };
    let addons = match plan.addons.len() {
        0 => String::new(),
        addons => format!("{} {}.\n", count(addons, "add-on"), verb(addons, "differs", "differ")),
    };
    let hosts = if plan.hosts.is_empty() {
        format!("Nothing can be said{unread}.\n")
    } else if changes == 0 {
        let hold = verb(statements, "holds", "hold");
        let nothing = if plan.is_empty() { "Nothing to change: " } else { "" };
        format!("{nothing}{} {hold} on {hosts}{unread}.\n", count(statements, "statement"))
    } else {
        let hold = verb(changes, "does", "do");
        format!("{changes} of {} on {hosts} {hold} not hold{unread}.\n", count(statements, "statement"))
    };
    hosts + &nodes + &addons
}

/// The hosts with changes, those with the same changes together, in the order of the first of each.
fn alike(plan: &Plan) -> Vec<(Vec<&str>, &[PlannedChange])> {
    let mut groups: Vec<(Vec<&str>, &[PlannedChange])> = Vec::new();
    for host in plan.hosts.iter().filter(|host| !host.changes.is_empty()) {
        match groups.iter_mut().find(|(_, changes)| *changes == host.changes) {
            Some((hosts, _)) => hosts.push(&host.host),
            None => groups.push((vec![&host.host], &host.changes)),
        }
    }
    groups
}

fn named(hosts: &[&str]) -> String {
    match hosts {
        [host] => host.to_string(),
        few if few.len() <= NAMED => format!("{} ({} hosts)", few.join(", "), few.len()),
        many => format!("{}, … ({} hosts)", many[..NAMED].join(", "), many.len()),
    }
}

fn host_changes(text: &mut String, changes: &[PlannedChange], diffs: bool) {
    let mut role = "";
    for planned in changes {
        if planned.role != role {
            role = &planned.role;
            let _ = writeln!(text, "  {role}");
        }
        one_change(text, &planned.change, diffs);
    }
}

fn one_change(text: &mut String, change: &Change, diffs: bool) {
    let _ = writeln!(text, "    {} {}", style("~").yellow(), change.summary);
    for detail in &change.details {
        match detail {
            Detail::Attribute { name, from, to } => {
                let _ = writeln!(text, "        {name}: {} -> {}", style(from).red(), style(to).green());
            }
            Detail::KnownAfter { what, after } => {
                let _ = writeln!(text, "        {what}: known after: {after}");
            }
            Detail::Text { diff } if diffs => {
                for line in diff.lines() {
                    let coloured = match line.as_bytes().first() {
                        Some(b'+') => style(line).green(),
                        Some(b'-') => style(line).red(),
                        _ => style(line),
                    };
                    let _ = writeln!(text, "        {coloured}");
                }
            }
            Detail::Text { diff } => {
                let count = |sign| diff.lines().skip(2).filter(|line: &&str| line.starts_with(sign)).count();
                let _ = writeln!(text, "        +{} -{} lines (--diff shows them)", count('+'), count('-'));
            }
        }
    }
    if let Some(disrupts) = &change.disrupts {
        let _ = writeln!(text, "        {} {disrupts}", style("interrupts").magenta());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{HostPlan, NodePlan, Unread};

    fn sample() -> Plan {
        let change = |role: &str, change| PlannedChange { role: role.into(), step: "a step".into(), change };
        let changes = vec![
            change(
                "base",
                Change::new("set kernel parameters (/etc/sysctl.d/zz-kubernetes.conf)").attribute(
                    "net.ipv4.ip_forward",
                    "0",
                    "1",
                ),
            ),
            change(
                "containerd",
                Change::new("write /etc/containerd/config.toml").text(
                    "/etc/containerd/config.toml",
                    "version = 1\n",
                    "version = 2\n",
                ),
            ),
            change("containerd", Change::new("restart containerd.service").disrupting("containerd")),
        ];
        let idle = HostPlan { host: "w1".into(), statements: 4, changes: vec![] };
        Plan { hosts: vec![HostPlan { host: "cp1".into(), statements: 5, changes }, idle], ..Plan::default() }
    }

    #[test]
    fn a_plan_with_diffs() {
        insta::assert_snapshot!(plan(&sample(), true));
    }

    #[test]
    fn a_plan_without_diffs() {
        insta::assert_snapshot!(plan(&sample(), false));
    }

    #[test]
    fn hosts_with_the_same_changes_are_shown_together() {
        let host = |name: String, value| {
            let change = Change::new("set a value").attribute("a", "0", value);
            let changes = vec![PlannedChange { role: "base".into(), step: "a step".into(), change }];
            HostPlan { host: name, statements: 2, changes }
        };
        let mut hosts: Vec<HostPlan> = (1..=38).map(|index| host(format!("w{index}"), "1")).collect();
        hosts.insert(1, host("cp1".into(), "2"));
        hosts.push(host("cp2".into(), "2"));
        insta::assert_snapshot!(plan(&Plan { hosts, ..Plan::default() }, false), @r"
        w1, w2, w3, w4, w5, w6, … (38 hosts)
          base
            ~ set a value
                a: 0 -> 1
        cp1, cp2 (2 hosts)
          base
            ~ set a value
                a: 0 -> 2
        40 of 80 statements on 40 hosts do not hold.
        ");
    }

    #[test]
    fn nodes_are_shown_after_hosts() {
        let change =
            Change::new("set the labels and taints of the node").attribute("label disk", "ssd", "hdd");
        let nodes = vec![NodePlan { node: "w1".into(), change }];
        let host = HostPlan { host: "w1".into(), statements: 3, changes: vec![] };
        let shown = plan(&Plan { hosts: vec![host], nodes, ..Plan::default() }, false);
        insta::assert_snapshot!(shown, @r"
        node w1
            ~ set the labels and taints of the node
                label disk: ssd -> hdd
        3 statements hold on 1 host.
        1 node differs in labels or taints.
        ");
    }

    #[test]
    fn one_line_says_how_much_holds() {
        let idle = |statements| HostPlan { host: "w1".into(), statements, changes: vec![] };
        let unread = || vec![Unread { host: "w2".into(), reason: "off".into() }];
        for (hosts, unread, line) in [
            (vec![idle(4)], vec![], "Nothing to change: 4 statements hold on 1 host."),
            (
                vec![idle(1), idle(0)],
                unread(),
                "Nothing to change: 1 statement holds on 2 hosts, and 1 host could not be read.",
            ),
            (vec![], unread(), "Nothing can be said, and 1 host could not be read."),
        ] {
            assert_eq!(summary(&Plan { hosts, unread, ..Plan::default() }), format!("{line}\n"));
        }
        let mut one = sample();
        one.hosts[0].changes.truncate(1);
        assert_eq!(summary(&one), "1 of 9 statements on 2 hosts does not hold.\n");
    }
}
