//! `vars.etcd`: what would keep etcd from starting. Its own rules: `Config.Validate` and `parseCompactionRetention` of
//! https://github.com/etcd-io/etcd/blob/main/server/embed/config.go

use serde_json::{Map, Value};

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, Span},
};

/// Each number, and from what to what it may be.
const RANGES: [(&str, i64, i64); 6] = [
    ("heartbeat_ms", 0, LONGEST_ELECTION / SIGNS_OF_LIFE),
    ("election_ms", 0, LONGEST_ELECTION),
    ("quota_bytes", 0, i64::MAX),
    ("snapshot_count", 1, i64::MAX),
    ("nice", -20, 19),
    ("oom_score_adjust", -1000, 1000),
];
const LONGEST_ELECTION: i64 = 50_000;
/// How many signs of life of the leader etcd wants to fit into the time until another is elected.
const SIGNS_OF_LIFE: i64 = 5;
const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    // Where the members are decides what they begin with.
    let known = ["roles", "site"].iter().all(|key| document.is_whole(&["hosts", "*", key]));
    let times = (known && document.is_whole(&["cluster", "etcd"])).then(|| inventory.etcd_times());
    let mut said = vec![(vec!["vars", "etcd"], &inventory.vars)];
    said.extend(inventory.hosts.iter().map(|(name, host)| (vec!["hosts", name, "vars", "etcd"], &host.vars)));
    for (path, vars) in said {
        if let Some(Value::Object(settings)) = vars.get("etcd") {
            let at = |key: &str| document.tree.at(&[&path[..], &[key]].concat());
            judge(settings, times, &at, problems);
        }
    }
}

fn judge(
    settings: &Map<String, Value>,
    times: Option<(i64, i64)>,
    at: &dyn Fn(&str) -> Span,
    problems: &mut Vec<Problem>,
) {
    let before = problems.len();
    for (key, least, most) in RANGES {
        let fits = |value: &Value| value.as_i64().is_some_and(|number| (least..=most).contains(&number));
        if let Some(value) = settings.get(key).filter(|value| !fits(value)) {
            let range = if most == i64::MAX {
                format!("of at least {least}")
            } else {
                format!("from {least} to {most}")
            };
            problems.push(
                Problem::new(at(key), format!("etcd cannot have {value} as `{key}`"))
                    .label("not in its range")
                    .help(format!("write a whole number {range}")),
            );
        }
    }
    let key = "compaction_retention";
    if let Some(value) = settings.get(key).filter(|value| !is_time(value)) {
        problems.push(
            Problem::new(at(key), format!("{value} is no time that etcd reads"))
                .label("no time")
                .help("write hours as a number, such as 8, or a time such as 8h or 30m"),
        );
    }
    let Some(times) = times.filter(|_| problems.len() == before) else { return };
    // 0 is by the sites.
    let number = |key: &str| settings.get(key).and_then(Value::as_i64).filter(|number| *number != 0);
    let heartbeat = number("heartbeat_ms").unwrap_or(times.0);
    let election = number("election_ms").unwrap_or(times.1);
    if election < SIGNS_OF_LIFE * heartbeat {
        let key = if number("election_ms").is_some() { "election_ms" } else { "heartbeat_ms" };
        problems.push(
            Problem::new(
                at(key),
                format!("etcd does not start with an election after {election} ms and a heartbeat each {heartbeat} ms"),
            )
            .label(format!("at least {SIGNS_OF_LIFE} heartbeats must fit"))
            .help(format!("write `election_ms: {}` or more", 10 * heartbeat)),
        );
    }
}

/// Hours as a number, or a duration of Go's without a sign.
fn is_time(value: &Value) -> bool {
    match value {
        Value::Number(hours) => hours.is_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => !text.is_empty(),
        Value::String(text) => is_duration(text),
        _ => false,
    }
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - unit.len()];
        rest = unit.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.');
        let unit = &unit[..unit.len() - rest.len()];
        if number.parse::<f64>().is_err() || !UNITS.contains(&unit) {
            return false;
        }
    }
    !text.is_empty()
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
        all.as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_etcd_would_not_start_with_is_named() {
        for (settings, part) in [
            ("heartbeat_ms: 0, election_ms: 0", ""),
            ("heartbeat_ms: 300, election_ms: 1500", ""),
            ("heartbeat_ms: 300, election_ms: 1499", "election after 1499 ms and a heartbeat each 300 ms"),
            ("heartbeat_ms: 201", "election after 1000 ms and a heartbeat each 201 ms"),
            ("election_ms: 50000", ""),
            ("election_ms: 50001", "50001 as `election_ms`"),
            ("election_ms: 1s", "\"1s\" as `election_ms`"),
            ("heartbeat_ms: -1", "-1 as `heartbeat_ms`"),
            ("quota_bytes: 8Gi", "\"8Gi\" as `quota_bytes`"),
            ("snapshot_count: 0", "0 as `snapshot_count`"),
            ("nice: -21", "-21 as `nice`"),
            ("oom_score_adjust: 1001", "1001 as `oom_score_adjust`"),
            ("compaction_retention: 8", ""),
            ("compaction_retention: \"8\"", ""),
            ("compaction_retention: 1h30m", ""),
            ("compaction_retention: 0.5h", ""),
            ("compaction_retention: 8 hours", "\"8 hours\" is no time"),
            ("compaction_retention: 1d", "\"1d\" is no time"),
            ("compaction_retention: h", "\"h\" is no time"),
            ("compaction_retention: -1h", "\"-1h\" is no time"),
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
        assert_eq!(said("", &text), ["etcd cannot have 99 as `nice`"]);
    }
}
