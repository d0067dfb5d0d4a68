//! `vars.etcd`: what would keep etcd from starting and no schema can say. Its own rule: `Config.Validate` of
//! https://github.com/etcd-io/etcd/blob/main/server/embed/config.go

use serde_json::Value;

use super::all_vars;
use crate::{
    inventory::Inventory,
    yaml::{Document, Problem},
};

/// How many signs of life of the leader etcd wants to fit into the time until another is elected.
const SIGNS_OF_LIFE: i64 = 5;
/// The longest time in milliseconds until another is elected that etcd takes.
const LONGEST: i64 = 50_000;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    // Where the members are decides what they begin with.
    let known = ["roles", "site"].iter().all(|key| document.is_whole(&["hosts", "*", key]));
    if !known || !document.is_whole(&["cluster", "etcd"]) {
        return;
    }
    let (usual_heartbeat, usual_election) = document.value.etcd_times();
    for (path, vars) in all_vars(&document.value) {
        let path = [&path[..], &["etcd"]].concat();
        let Some(settings) = vars.get("etcd").filter(|_| document.is_whole(&path)) else { continue };
        // 0 is by the sites.
        let number = |key: &str| settings.get(key).and_then(Value::as_i64).filter(|number| *number != 0);
        let heartbeat = number("heartbeat_ms").unwrap_or(usual_heartbeat);
        let election = number("election_ms").unwrap_or(usual_election);
        if election < SIGNS_OF_LIFE * heartbeat {
            let key = if number("election_ms").is_some() { "election_ms" } else { "heartbeat_ms" };
            problems.push(
                Problem::new(
                    document.tree.at(&[&path[..], &[key]].concat()),
                    format!(
                        "etcd does not start with an election after {election} ms and a heartbeat each {heartbeat} ms"
                    ),
                )
                .label(format!("at least {SIGNS_OF_LIFE} heartbeats must fit"))
                .help(format!("write `election_ms: {}` or more", (10 * heartbeat).min(LONGEST))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory;

    const LAB: &str = include_str!("../../../tests/fixtures/cluster/etcd.yaml");

    /// What is said of these settings.
    fn said(settings: &str, text: &str) -> Vec<String> {
        let vars = format!("vars:\n  etcd: {{{settings}}}\n");
        let text = match text.contains("\nvars:\n") {
            true => text.replace("vars:\n", &vars),
            false => format!("{text}\n{vars}"),
        };
        let Err(mistakes) = inventory::parse("t.yaml", &text) else { return Vec::new() };
        let all = mistakes.to_json();
        let line = |one: &serde_json::Value| {
            format!("{}, {}", one["message"].as_str().unwrap(), one["help"].as_str().unwrap())
        };
        all.as_array().unwrap().iter().map(line).collect()
    }

    #[test]
    fn what_etcd_would_not_start_with_is_named() {
        for (settings, part) in [
            ("heartbeat_ms: 0, election_ms: 0", ""),
            ("heartbeat_ms: 300, election_ms: 1500", ""),
            ("heartbeat_ms: 300, election_ms: 1499", "election after 1499 ms and a heartbeat each 300 ms"),
            (
                "heartbeat_ms: 201",
                "election after 1000 ms and a heartbeat each 201 ms, write `election_ms: 2010`",
            ),
            ("heartbeat_ms: 6000", "a heartbeat each 6000 ms, write `election_ms: 50000`"),
            ("election_ms: 50000", ""),
            ("election_ms: 50001", "`vars.etcd.election_ms` should be between 0 and 50000, not 50001"),
            ("election_ms: 1s", "`vars.etcd.election_ms` should be a whole number, not a string"),
            ("heartbeat_ms: -1", "`vars.etcd.heartbeat_ms` should be between 0 and 10000, not -1"),
            ("quota_bytes: 8Gi", "`vars.etcd.quota_bytes` should be a whole number, not a string"),
            ("quota_bytes: -1", "`vars.etcd.quota_bytes` should be at least 0, not -1"),
            ("snapshot_count: 0", "`vars.etcd.snapshot_count` should be at least 1, not 0"),
            ("nice: -21", "`vars.etcd.nice` should be between -20 and 19, not -21"),
            (
                "oom_score_adjust: 1001",
                "`vars.etcd.oom_score_adjust` should be between -1000 and 1000, not 1001",
            ),
            ("compaction_retention: 8", ""),
            ("compaction_retention: \"8\"", ""),
            ("compaction_retention: 1h30m", ""),
            ("compaction_retention: 0.5h", ""),
            ("compaction_retention: 8 hours", "or whole hours such as 8, not `8 hours`"),
            ("compaction_retention: 1d", "or whole hours such as 8, not `1d`"),
            ("compaction_retention: h", "or whole hours such as 8, not `h`"),
            ("compaction_retention: -1h", "or whole hours such as 8, not `-1h`"),
            ("compaction_retention: -1", "`vars.etcd.compaction_retention` should be at least 0, not -1"),
            ("compaction_retention: 0.5", "or whole hours such as 8, not the number 0.5"),
        ] {
            let said = said(settings, LAB);
            match part {
                "" => assert!(said.is_empty(), "{settings}: {said:?}"),
                part => assert!(said.len() == 1 && said[0].contains(part), "{settings}: {said:?}"),
            }
        }
    }

    #[test]
    fn members_at_several_sites_begin_with_longer_times() {
        let text = include_str!("../../../inventory/ha.yaml");
        assert!(said("heartbeat_ms: 500", text).is_empty());
        let said = said("heartbeat_ms: 501", text);
        assert!(said.iter().any(|one| one.contains("after 2500 ms and a heartbeat each 501 ms")), "{said:?}");
    }

    #[test]
    fn what_a_host_says_counts_too() {
        let text = LAB.replace("21, roles: [etcd]", "21, roles: [etcd], vars: {etcd: {nice: 99}}");
        let said = said("", &text);
        let expected = "`hosts.etcd1.vars.etcd.nice` should be between -20 and 19, not 99";
        assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    }
}
