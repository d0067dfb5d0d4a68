//! `hoist burst`.

use serde_json::Value;

use super::{answer, ask, assert_plain, hoist};

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
    assert_eq!(all["setup_policy"], serde_json::from_str::<Value>(&form("setup-policy")).unwrap());
    assert_eq!(all["network"]["vpc"], "172.16.0.0/20");
}

/// The sample with another connection.
fn connected(folder: &std::path::Path, connection: &str) -> String {
    let text = std::fs::read_to_string(SAMPLE).unwrap();
    let path = folder.join("burst.yaml");
    std::fs::write(&path, format!("{text}  {}\n", connection.replace('\n', "\n  "))).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_vpn_is_shown_with_its_price_and_a_network_that_is_there_with_its_ids() {
    let folder = tempfile::tempdir().unwrap();
    let vpn = connected(folder.path(), "connection: vpn\nvpn_device: 203.0.113.9");
    let (exit, text, errors) = ask(&["burst", "plan", "-i", &vpn]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert!(
        text.contains("203.0.113.9")
            && text.lines().any(|line| line.starts_with("VPN  ") && line.contains("0.0500    36.50")),
        "{text}"
    );
    let existing = connected(
        folder.path(),
        "connection: routed\nexisting: {subnets: [subnet-1, subnet-2, subnet-3], security_groups: [sg-1]}",
    );
    let (_, text, _) = ask(&["burst", "plan", "-i", &existing]);
    assert!(text.contains("subnet-1, subnet-2, subnet-3, with sg-1. Nothing is made."), "{text}");
    let (exit, text, errors) = ask(&["burst", "plan", "-i", &existing, "--as", "terraform"]);
    assert_eq!((exit, text.as_str()), (65, ""));
    assert!(errors.contains("is there already"), "{errors}");
}

#[test]
fn quotas_are_those_of_the_families_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let named =
        connected(folder.path(), "capacity: [spot, on-demand]\ninstances: {families: [x8g, m7g, r8g]}");
    let (exit, text, errors) = ask(&["burst", "plan", "-i", &named]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    let quotas: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.contains(" L-"))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1).collect())
        .collect();
    // The gateway is one of the standard ones.
    assert_eq!(
        quotas,
        [
            ["L-1216C47A", "34 vCPUs"],
            ["L-34B43A08", "32 vCPUs"],
            ["L-7295265B", "32 vCPUs"],
            ["L-E3A00192", "32 vCPUs"],
            ["L-F678F1CE", "1"],
            ["L-0263D0A3", "1"],
        ],
        "{text}"
    );
}

/// What needs no AWS.
#[test]
fn without_credentials_nothing_is_made_and_it_is_said_what_is_missing() {
    let (exit, text, errors) = answer(&mut without_aws(&["burst", "up", "-i", SAMPLE, "--yes"]));
    assert_eq!(text, "");
    if cfg!(feature = "aws") {
        assert_eq!(exit, 77, "{errors}");
        assert!(errors.contains("NoCredentials") && errors.contains("AWS_ACCESS_KEY_ID"), "{errors}");
    } else {
        assert_eq!(exit, 71, "{errors}");
        assert!(errors.contains("--no-default-features"), "{errors}");
    }
}

#[test]
fn a_network_that_is_there_is_taken_as_the_inventory_says() {
    let folder = tempfile::tempdir().unwrap();
    let existing = connected(
        folder.path(),
        "connection: routed\nexisting: {subnets: [subnet-1, subnet-2, subnet-3], security_groups: [sg-1]}",
    );
    let (exit, text, errors) =
        answer(&mut without_aws(&["burst", "up", "-i", &existing, "--output", "json"]));
    if cfg!(feature = "aws") {
        assert_eq!(exit, 0, "{errors}");
        let made: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&made["outcome"], &made["network"]["subnets"]["eu-central-1b"]),
            (&"nothing".into(), &"subnet-2".into())
        );
    } else {
        assert_eq!(exit, 71, "{errors}");
    }
}

/// Nobody to ask for credentials, and nobody to ask.
fn without_aws(arguments: &[&str]) -> assert_cmd::Command {
    let mut command = hoist(arguments);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command
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

#[test]
fn the_controller_is_printed_as_something_to_install() {
    let deployment =
        ["burst", "manifest", "-i", SAMPLE, "--as", "deployment", "--image", "example.com/hoist:1"];
    let home = tempfile::tempdir().unwrap();
    let in_home = || answer(without_aws(&deployment).env("HOME", home.path()));
    let (exit, _, errors) = in_home();
    assert!(exit == 71 && errors.contains("kubernetes-1.36.2/index.yaml"), "{errors}");
    let folder = home.path().join(".cache/hoist/artifacts/kubernetes-1.36.2");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index.yaml"), "kubernetes: 1.36.2\n").unwrap();
    let (exit, objects, errors) = in_home();
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert!(objects.contains("path: \"artifacts/kubernetes-1.36.2/index.yaml\""), "{objects}");
    assert!(
        objects.contains("image: \"example.com/hoist:1\"") && objects.contains("      max_instances: 10"),
        "{objects}"
    );
    assert!(!objects.contains("envFrom"), "without a Secret it has the machine's role");
    let (exit, unit, _) = ask(&["burst", "manifest", "-i", SAMPLE, "--as", "systemd"]);
    assert!(exit == 0 && unit.contains("AWS_REGION=eu-central-1"), "{unit}");
    for (roles, expected, says) in
        [("/library", 0, "--roles \"/library\""), ("library", 64, "an absolute path")]
    {
        let (exit, unit, errors) =
            ask(&["burst", "manifest", "-i", SAMPLE, "--as", "systemd", "--roles", roles]);
        assert!(exit == expected && format!("{unit}{errors}").contains(says), "{unit}{errors}");
    }
    let (exit, _, errors) = ask(&["burst", "manifest", "-i", SAMPLE, "--as", "deployment"]);
    assert!(exit == 64 && errors.contains("--image"), "{errors}");
    let (exit, _, errors) = ask(&["burst", "manifest", "-i", "inventory/three.yaml", "--as", "systemd"]);
    assert!(exit == 65 && errors.contains("asks for no workers"), "{errors}");
}

#[test]
fn a_controller_says_what_it_lacks_before_it_asks_anybody() {
    let (exit, text, errors) = ask(&["burst", "run", "-i", SAMPLE]);
    let (expected, words) = match cfg!(feature = "aws") {
        true => (71, "there are no artifacts for Kubernetes 1.36.2"),
        false => (64, "built without AWS"),
    };
    assert_eq!((exit, text.as_str()), (expected, ""), "{errors}");
    assert!(errors.contains(words), "{errors}");
    let (exit, _, errors) = ask(&["burst", "run", "-i", SAMPLE, "--dry-run"]);
    assert!(exit == 64 && errors.contains("--once"), "{errors}");
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    for verb in [&["status"][..], &["add", "2"], &["remove", "--all"]] {
        let arguments =
            [&["burst"], verb, &["-i", SAMPLE, "--kubeconfig", "/nonexistent/admin.conf"]].concat();
        let (exit, _, errors) = ask(&arguments);
        assert!(exit == 71 && errors.contains("/nonexistent/admin.conf"), "{verb:?} {errors}");
    }
}

#[test]
fn more_workers_than_the_inventory_allows_are_refused_before_anybody_is_asked() {
    let (exit, text, errors) = ask(&["burst", "add", "11", "-i", SAMPLE]);
    assert_eq!((exit, text.as_str()), (64, ""));
    assert!(errors.contains("`burst.max_instances`, 10"), "{errors}");
    let folder = tempfile::tempdir().unwrap();
    let listed = connected(folder.path(), "instances: {types: [m7i.large]}");
    let (exit, _, errors) = ask(&["burst", "add", "1", "-i", &listed, "--type", "c7i.large"]);
    assert!(exit == 64 && errors.contains("does not allow c7i.large"), "{errors}");
}
