//! What is rented, and what a turn of the controller did.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Value, json};

use crate::burst::{
    claim::Claim,
    controller::MONTH,
    demand::{Explanation, Wish},
    gateway::Kept,
    local::Local,
    offer::{Capacity, Money, Offer},
    service::{Done, Status},
    time::Time,
};
use crate::report::table::Table;

/// What `hoist burst status` has found in the cluster.
pub struct Found {
    pub claims: Vec<Claim>,
    pub wish: Wish,
    /// Of the last turn; none before the first.
    pub status: Option<Status>,
    /// Services that lose traffic on rented nodes.
    pub local: Vec<Local>,
    /// Who leads; none if nobody has said so lately.
    pub leader: Option<String>,
    pub spent: Money,
    /// Dollars for a month.
    pub budget: Option<u32>,
    pub now: Time,
}

/// For people.
pub fn status(found: &Found) -> String {
    let mut text = String::new();
    let _ = match (&found.leader, &found.status) {
        (Some(leader), Some(status)) => {
            writeln!(
                text,
                "controller  {leader} leads; it told of its last turn {} ago",
                ago(found.now, status.at)
            )
        }
        (Some(leader), None) => writeln!(text, "controller  {leader} leads; it has told nothing yet"),
        (None, Some(status)) => {
            writeln!(
                text,
                "controller  none leads; {} was the last, {} ago",
                status.controller,
                ago(found.now, status.at)
            )
        }
        (None, None) => writeln!(text, "controller  none leads"),
    };
    let budget = found.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
    let _ = writeln!(text, "spent       {}{budget} US dollars in {}", found.spent, found.now.month());
    let claimed: BTreeSet<&String> = found.claims.iter().flat_map(|claim| &claim.pods).collect();
    let missing: Vec<&str> = found
        .wish
        .workers
        .iter()
        .filter(|worker| !claimed.contains(&worker.name))
        .map(|worker| worker.name.as_str())
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "wanted      {}, not rented yet", missing.join(", "));
    }
    if let Some(kept) = found.status.as_ref().and_then(|status| status.gateway.as_ref()) {
        let _ = writeln!(text, "gateway     {}", gateway(kept));
    }
    if let Some(price) = found.status.as_ref().and_then(|status| status.gateway_price) {
        let month = Money(price.0.saturating_mul(MONTH));
        let _ = writeln!(text, "set aside   {month} US dollars a month for the gateway, at {price} $/h");
    }
    if let Some(status) = &found.status {
        let Explanation { waiting, young, .. } = status.explanation;
        let _ = writeln!(text, "waiting     {waiting} pods, {young} of them not for long enough yet");
        let _ = writeln!(text, "offers      {}", status.offers);
        let lines = status.held_back.iter().map(|reason| ("held back", reason));
        let lines = lines.chain(status.troubles.iter().map(|trouble| ("trouble", trouble)));
        for (name, line) in lines.chain(status.remarks.iter().map(|remark| ("remark", remark))) {
            let _ = writeln!(text, "{name:<12}{line}");
        }
    }
    for Local { service, pods } in &found.local {
        let _ = writeln!(
            text,
            "local       {service} has externalTrafficPolicy: Local: on rented nodes its pods get nothing from outside: {}",
            pods.join(" ")
        );
    }
    let mut nodes =
        Table::new(["NODE", "PHASE", "SINCE", "AGE", "TYPE", "PAID", "ZONE", "$/H", "FOR", "WHY"]);
    for claim in &found.claims {
        let offer = claim.offer();
        let of = |get: fn(&Offer) -> String| offer.map(get).unwrap_or_default();
        nodes.row([
            claim.name.clone(),
            format!("{:?}", claim.phase).to_lowercase(),
            ago(found.now, claim.since),
            claim.launched.map(|launched| ago(found.now, launched)).unwrap_or_default(),
            of(|offer| offer.instance_type.clone()),
            of(|offer| paid(offer).to_owned()),
            of(|offer| offer.zone.clone()),
            of(|offer| offer.price.to_string()),
            claim.pods.join(" "),
            claim.why.as_ref().map(|why| why.words()).unwrap_or_default(),
        ]);
    }
    if found.claims.is_empty() {
        text.push_str("\nNothing is rented.\n");
    } else {
        let _ = write!(text, "\n{nodes}");
    }
    let unplaced = found.status.iter().flat_map(|status| &status.explanation.unplaced);
    let mut waiting = Table::new(["POD", "NO NODE, BECAUSE"]);
    let mut any = false;
    for pod in unplaced {
        any = true;
        waiting.row([pod.pod.clone(), pod.because.clone()]);
    }
    if any {
        let _ = write!(text, "\n{waiting}");
    }
    text
}

/// The same for programs. Nothing of what instances run is in it, for that is secret.
pub fn status_json(found: &Found) -> Value {
    let nodes = found.claims.iter().map(|claim| {
        let offer = claim.offer();
        json!({
            "name": claim.name, "phase": claim.phase, "since": claim.since, "launched": claim.launched,
            "times": claim.times, "demanded": claim.demanded, "asked": claim.launch.as_ref().and_then(|it| it.asked),
            "instance": claim.instance(), "address": claim.address, "for": claim.pods,
            "type": offer.map(|it| &it.instance_type), "zone": offer.map(|it| &it.zone),
            "capacity": offer.map(|it| it.capacity), "price": offer.map(|it| dollars(it.price)),
            "why": claim.why.as_ref().map(|why| why.words()),
        })
    });
    json!({
        "leader": found.leader, "spent": dollars(found.spent), "budget": found.budget, "month": found.now.month(),
        "nodes": nodes.collect::<Vec<_>>(), "wanted": found.wish, "last": found.status,
        "local": found.local,
    })
}

/// What a turn did, or would do.
pub fn turn(done: &Done, troubles: &[String]) -> String {
    let mut text = String::new();
    let Explanation { waiting, young, unplaced, placed, unneeded } = &done.explanation;
    let would = if done.report.is_none() { "would be " } else { "" };
    let _ = writeln!(
        text,
        "{waiting} pods wait, {young} of them not for long enough yet; {} US dollars are spent this month",
        done.spent
    );
    for wanted in &done.decision.wanted {
        if let Some(offer) = wanted.offers.first() {
            let _ = writeln!(
                text,
                "{would}rented: {} ({}, {}) at {} $/h for {}",
                offer.instance_type,
                paid(offer),
                offer.zone,
                offer.price,
                wanted.pods.join(" ")
            );
        }
    }
    for claim in &done.decision.removed {
        let _ = writeln!(text, "{would}removed: {claim}");
    }
    for node in unneeded {
        let _ = writeln!(text, "not needed now: {}, for {}", node.claim, node.because);
    }
    for pod in placed {
        let _ = writeln!(text, "has room: {} on {}", pod.pod, pod.because);
    }
    for pod in unplaced {
        let _ = writeln!(text, "nothing is rented for {}: {}", pod.pod, pod.because);
    }
    if let Some(reason) = &done.would_wait {
        let _ = writeln!(text, "nothing would be launched now: {reason}");
    }
    if let Some(report) = &done.report {
        for claim in &report.planned {
            let _ = writeln!(text, "claimed: {claim}");
        }
        if let Some(reason) = &report.held_back {
            let _ = writeln!(text, "nothing is launched: {reason}");
        }
    }
    let troubles = troubles.iter().chain(done.report.iter().flat_map(|report| &report.troubles));
    for trouble in troubles {
        let _ = writeln!(text, "trouble: {trouble}");
    }
    text
}

/// The same for programs.
pub fn turn_json(done: &Done, troubles: &[String]) -> Value {
    let wanted =
        done.decision.wanted.iter().map(|wanted| json!({"for": wanted.pods, "offers": wanted.offers}));
    let report = done.report.as_ref();
    json!({
        "wanted": wanted.collect::<Vec<_>>(), "removed": done.decision.removed, "explanation": done.explanation,
        "spent": dollars(done.spent),
        "planned": report.map(|it| &it.planned),
        "held_back": report.and_then(|it| it.held_back.as_ref()).or(done.would_wait.as_ref()),
        "troubles": troubles.iter().chain(report.iter().flat_map(|it| &it.troubles)).collect::<Vec<_>>(),
    })
}

/// `i-0a1b at 203.0.113.7:51820, lets in 4, answers 3; without a key: w3`
fn gateway(kept: &Kept) -> String {
    let instance = kept.instance.as_deref().unwrap_or("none yet");
    let mut words =
        format!("{instance} at {}, lets in {}, answers {}", kept.endpoint, kept.machines, kept.answered);
    if !kept.without_key.is_empty() {
        words += &format!("; without a key: {} (`hoist apply`)", kept.without_key.join(" "));
    }
    if !kept.unknown.is_empty() {
        words += &format!("; not in the controller's inventory: {}", kept.unknown.join(" "));
    }
    if let Some(trouble) = &kept.trouble {
        words += &format!("; {trouble}");
    }
    words
}

fn dollars(money: Money) -> f64 {
    money.0 as f64 / 1e6
}

fn paid(offer: &Offer) -> &'static str {
    match offer.capacity {
        Capacity::Spot => "spot",
        Capacity::OnDemand => "on demand",
    }
}

/// `45s`, `12m`, `3h20m`
fn ago(now: Time, then: Time) -> String {
    match now.since(then).as_secs() {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        claim::{Phase, Why},
        demand::Waiting,
    };

    const NOW: Time = Time(1_767_323_045_000); // 2026-01-02T03:04:05Z

    fn claim(name: &str, phase: Phase, minutes: u64, pods: &[&str]) -> Claim {
        let offer = Offer {
            instance_type: "m7i.large".into(),
            zone: "eu-central-1a".into(),
            capacity: Capacity::Spot,
            price: Money(41_600),
        };
        let since = Time(NOW.0 - minutes * 60_000);
        let mut claim =
            Claim::new(name.into(), vec![offer], pods.iter().map(ToString::to_string).collect(), since);
        claim.phase = phase;
        claim.launched = (phase > Phase::Launching).then_some(since);
        claim
    }

    fn found() -> Found {
        let mut wish = Wish::default();
        wish.add(2, None);
        let mut ending = claim("burst-2", Phase::Terminating, 200, &["web/b"]);
        ending.why = Some(Why::Notice);
        let explanation = Explanation {
            waiting: 3,
            young: 1,
            unplaced: vec![Waiting { pod: "web/gpu".into(), because: "needs nvidia.com/gpu".into() }],
            ..Explanation::default()
        };
        Found {
            claims: vec![claim("burst-1", Phase::Ready, 30, &["worker-1"]), ending],
            wish,
            status: Some(Status {
                at: Time(NOW.0 - 3_000),
                controller: "cp1-0a1b2c3d".into(),
                spent: Money(1),
                gateway: Some(Kept {
                    endpoint: "203.0.113.7:51820".parse().unwrap(),
                    instance: Some("i-0a1b".into()),
                    machines: 4,
                    answered: 3,
                    without_key: vec!["w3".into()],
                    unknown: vec!["w4".into()],
                    trouble: None,
                }),
                gateway_price: Some(Money(4_200)),
                explanation,
                held_back: Some("EC2 does not answer launches".into()),
                troubles: vec!["EC2 refused RunInstances: no answer: cut".into()],
                offers: 42,
                remarks: vec!["not offered as spot: m7i.metal".into()],
            }),
            local: vec![Local {
                service: "web/front".into(),
                pods: vec!["front-1".into(), "front-2".into()],
            }],
            leader: Some("cp1-0a1b2c3d".into()),
            spent: Money(12_345_600),
            budget: Some(200),
            now: NOW,
        }
    }

    #[test]
    fn the_status_says_who_leads_what_is_rented_and_what_is_wrong() {
        insta::assert_snapshot!(status(&found()));
        let idle = Found { claims: vec![], status: None, leader: None, ..found() };
        let text = status(&idle);
        assert!(
            text.starts_with("controller  none leads\n") && text.ends_with("Nothing is rented.\n"),
            "{text}"
        );
    }

    #[test]
    fn the_status_for_programs_has_the_same_and_nothing_secret() {
        let json = status_json(&found());
        assert_eq!((&json["spent"], &json["nodes"][0]["price"]), (&json!(12.3456), &json!(0.0416)));
        assert_eq!(json["nodes"][1]["why"], "EC2 takes it back");
        assert_eq!(json["last"]["explanation"]["unplaced"][0]["pod"], "web/gpu");
        assert_eq!(json["local"], json!([{"service": "web/front", "pods": ["front-1", "front-2"]}]));
        assert!(!json.to_string().contains("user_data"));
    }
}
