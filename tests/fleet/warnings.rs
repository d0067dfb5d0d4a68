//! What a run tells and goes on with.

use serde_json::Value;

use crate::{bed::Fleet, unreached::LIVES};

#[test]
fn what_preflight_warns_of_is_shown_once_and_stops_nothing() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    fleet.on("2222", 0, LIVES);
    fleet.on("2222", 1, "mkdir -p /etc/ufw; echo ENABLED=yes > /etc/ufw/ufw.conf");
    let ran = fleet.hoist("apply", &["--limit", "w1", "--output", "json"]);
    assert_eq!(ran.stderr.matches("firewalls that could drop what nodes and pods send").count(), 1, "{ran}");
    assert!(ran.stderr.contains("observed   ufw"), "{ran}");
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned = events.iter().find(|event| event["check"] == "firewall").unwrap();
    assert_eq!((&warned["event"], &warned["hosts"]), (&"warned".into(), &serde_json::json!(["w1"])));
    assert!(warned["fix"].as_str().unwrap().contains("10250/tcp"), "{warned}");
    assert!(fleet.left().contains(&"w1.joined".to_string()), "{ran}");
    // Where nothing is to be done there is nothing to warn of.
    fleet.hoist("apply", &["--limit", "w1"]).says_nothing_of("firewalls that could drop");
}
