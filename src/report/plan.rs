//! A plan in words.

use std::fmt::Write;

use console::style;

use crate::{
    engine::{HostPlan, Plan},
    task::Detail,
};

/// The whole plan. `diffs` shows how texts change; without it each change is one line and its attributes.
pub fn plan(plan: &Plan, diffs: bool) -> String {
    let mut text = String::new();
    for host in plan.hosts.iter().filter(|host| !host.changes.is_empty()) {
        let _ = writeln!(text, "{}", style(&host.host).bold());
        host_changes(&mut text, host, diffs);
    }
    text.push_str(&summary(plan));
    text
}

/// How much of the inventory holds, in one line.
pub fn summary(plan: &Plan) -> String {
    let changes = plan.changes();
    let statements: usize = plan.hosts.iter().map(|host| host.statements).sum();
    let hosts = plan.hosts.len();
    match changes {
        0 => format!("Nothing to change: {statements} statements hold on {hosts} hosts.\n"),
        _ => format!("{changes} of {statements} statements on {hosts} hosts do not hold.\n"),
    }
}

fn host_changes(text: &mut String, host: &HostPlan, diffs: bool) {
    let mut role = "";
    for planned in &host.changes {
        if planned.role != role {
            role = &planned.role;
            let _ = writeln!(text, "  {role}");
        }
        let _ = writeln!(text, "    {} {}", style("~").yellow(), planned.change.summary);
        for detail in &planned.change.details {
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
                    let count =
                        |sign| diff.lines().skip(2).filter(|line: &&str| line.starts_with(sign)).count();
                    let _ =
                        writeln!(text, "        +{} -{} lines (--diff shows them)", count('+'), count('-'));
                }
            }
        }
        if let Some(disrupts) = &planned.change.disrupts {
            let _ = writeln!(text, "        {} {disrupts}", style("interrupts").magenta());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::PlannedChange, task::Change};

    fn sample() -> Plan {
        let change = |role: &str, change| PlannedChange { role: role.into(), step: "a step".into(), change };
        let changes = vec![
            change(
                "base",
                Change::new("set kernel parameters (/etc/sysctl.d/90-kubernetes.conf)").attribute(
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
        Plan { hosts: vec![HostPlan { host: "cp1".into(), statements: 5, changes }, idle] }
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
    fn an_empty_plan() {
        let idle = HostPlan { host: "w1".into(), statements: 4, changes: vec![] };
        insta::assert_snapshot!(plan(&Plan { hosts: vec![idle] }, true), @"Nothing to change: 4 statements hold on 1 hosts.");
    }
}
