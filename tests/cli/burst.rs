//! `hoist burst`.

use serde_json::Value;

use super::{ask, assert_plain};

const SAMPLE: &str = "inventory/burst.yaml";

#[test]
fn the_network_is_shown_in_every_form() {
    let form = |form: &str| {
        let (exit, text, errors) = ask(&["burst", "plan", "-i", SAMPLE, "--as", form]);
        assert_eq!((exit, errors.as_str()), (0, ""), "{form}");
        text
    };
    insta::assert_snapshot!(form("text"));
    assert_eq!(ask(&["burst", "plan", "-i", SAMPLE]).1, form("text"));
    assert!(form("terraform").contains("resource \"aws_vpc\" \"burst\""));
    assert!(form("cloudformation").contains("Type: AWS::EC2::VPC"));
    let policy: Value = serde_json::from_str(&form("policy")).unwrap();
    let all: Value = serde_json::from_str(&form("json")).unwrap();
    assert_eq!(all["policy"], policy);
    assert_eq!(all["network"]["vpc"], "172.16.0.0/20");
}

#[test]
fn an_inventory_without_burst_is_told_what_to_say() {
    let (exit, text, errors) = ask(&["burst", "plan", "-i", "inventory/three.yaml"]);
    assert_eq!((exit, text.as_str()), (65, ""));
    assert!(errors.contains("asks for no workers in EC2"), "{errors}");
}

/// A small workload that is made up, on one machine.
const SMALL: [&str; 11] = [
    "burst",
    "simulate",
    "--prices",
    "examples/prices.yaml",
    "--metal",
    "1",
    "--pods",
    "60",
    "--hours",
    "4",
    "--seed",
];

fn simulate(more: &[&str]) -> (i32, String, String) {
    ask(&[&SMALL[..], more].concat())
}

/// The cost in the answer as JSON.
fn number(json: &str, path: &str) -> f64 {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    value.pointer(path).unwrap_or_else(|| panic!("{path} in {json}")).as_f64().unwrap()
}

#[test]
fn a_simulation_is_the_same_each_time_and_tells_nodes_cost_and_waiting() {
    let (exit, text, errors) = simulate(&["3", "--minutes", "120"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert_plain(&text);
    insta::assert_snapshot!("simulate", text);
    assert_eq!(simulate(&["3", "--minutes", "120"]).1, text);
    assert_ne!(simulate(&["4", "--minutes", "120"]).1, text);
}

#[test]
fn the_answer_for_programs_has_the_same_numbers() {
    let json = |more: &[&str]| simulate(&[&["3", "--minutes", "120", "--output", "json"], more].concat()).1;
    let plain = json(&[]);
    assert_eq!(number(&plain, "/pods"), 60.0);
    let hours: serde_json::Value = serde_json::from_str(&plain).unwrap();
    let hours = hours["hours"].as_array().unwrap();
    let sum: f64 = hours.iter().map(|hour| hour["cost"].as_f64().unwrap()).sum();
    assert!((sum - number(&plain, "/cost")).abs() < 1e-6, "the hours' costs are all of it");
    assert!(number(&plain, "/cost") > 0.0 && number(&plain, "/rented") >= 1.0);

    assert!(number(&json(&["--spot"]), "/cost") < number(&plain, "/cost"), "spot is cheaper");
    assert_eq!(number(&json(&["--max-nodes", "0"]), "/rented"), 0.0);
    assert_eq!(number(&json(&["--max-vcpus", "1"]), "/rented"), 0.0);
    assert_eq!(number(&json(&["--hourly-limit", "0.1"]), "/rented"), 0.0);
    assert!(number(&json(&["--budget", "0.5"]), "/cost") < number(&plain, "/cost"));
    assert_eq!(
        number(&json(&["--metal-cores", "200", "--metal-memory", "800"]), "/cost"),
        0.0,
        "all fits at home"
    );
    let slow = json(&["--ready-after", "600"]);
    assert!(number(&slow, "/pending_for_rented/max") >= 600.0 + 15.0);
    // Before anything is rented a pod waits for 15 s, and 2 s for others to come.
    assert!(number(&json(&["--ready-after", "0"]), "/pending_for_rented/max") >= 17.0);
}

#[test]
fn a_recorded_workload_is_replayed_with_the_inventorys_machines_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("pods.jsonl");
    let pod = |name: &str, cpu: &str| {
        serde_json::json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}
        })
    };
    let lines = [
        serde_json::json!({"at": 0, "create": pod("small", "500m")}),
        serde_json::json!({"at": 1.5, "create": pod("large", "15")}),
        serde_json::json!({"at": 2, "create": pod("gpu", "3")}),
        serde_json::json!({"at": 600, "delete": "shop/small"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
    std::fs::write(&recorded, text).unwrap();
    let chart = folder.path().join("chart.svg");
    let paths = [recorded.to_str().unwrap(), chart.to_str().unwrap()];
    let arguments = |cores: &'static str| {
        [
            "burst",
            "simulate",
            "--prices",
            "examples/prices.yaml",
            "-i",
            "inventory/burst.yaml",
            "--workload",
            paths[0],
            "--chart",
            paths[1],
            "--metal-cores",
            cores,
            "--output",
            "json",
        ]
    };
    let (exit, json, errors) = ask(&arguments("2"));
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert_eq!((number(&json, "/pods"), number(&json, "/ran"), number(&json, "/rented")), (3.0, 2.0, 1.0));
    assert!(
        json.contains("\"pod\": \"shop/large\"") && json.contains("more than any offered type has"),
        "{json}"
    );
    let svg = std::fs::read_to_string(&chart).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("rented nodes"));
    let (_, json, _) = ask(&arguments("16"));
    assert_eq!((number(&json, "/ran"), number(&json, "/rented")), (3.0, 0.0));
}

#[test]
fn mistakes_in_prices_and_workloads_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let prices = file("prices.yaml", "zones: []\ntypes:\n  a: {vcpus: 0, memory: 4096}\n");
    let (exit, output, errors) = ask(&["burst", "simulate", "--prices", &prices]);
    assert_eq!((exit, output.as_str()), (65, ""));
    assert!(
        errors.contains("memory_mib") && errors.contains("vcpus") && errors.contains("zones"),
        "{errors}"
    );
    let workload = file("pods.jsonl", "{\"at\": 1, \"delete\": \"a/b\"}\n{\"at\": 1}\n");
    let with = |workload: &str| {
        ask(&["burst", "simulate", "--prices", "examples/prices.yaml", "--workload", workload])
    };
    let (exit, _, errors) = with(&workload);
    assert_eq!(exit, 65);
    assert!(errors.contains("pods.jsonl:2: there must be either `create` or `delete`"), "{errors}");
    assert_eq!(with("/nonexistent").0, 71);
    for (arguments, says) in [
        (&["--metal", "1", "-i", "inventory/burst.yaml"][..], "cannot be used with"),
        (&["--workload", "x", "--seed", "1"], "cannot be used with"),
        (&["--budget", "much"], "no amount of dollars"),
        (&["--pods", "0"], "0"),
    ] {
        let all = [&["burst", "simulate", "--prices", "examples/prices.yaml"], arguments].concat();
        let (exit, _, errors) = ask(&all);
        assert_eq!(exit, 64, "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
}
