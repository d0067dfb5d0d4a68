//! `burst::aws` as EC2 sees it: real requests of AWS' client library to an emulator that speaks EC2's protocol, and to
//! sockets that break. The library reads its settings from the environment, so each test runs in a process of its own.
#![cfg(feature = "aws")]

mod cuts;
mod destroy;
mod inner;
mod limits;
#[path = "../support/moto.rs"]
mod moto;
mod network;
#[path = "../support/proxy.rs"]
mod proxy;
mod refusals;
#[path = "../support/skip.rs"]
mod skip;
mod zones;

use std::{
    io::Read as _,
    net::TcpListener,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use moto::Moto;
use proxy::{Fault, Proxy};

/// Runs a test of another file with this environment alone.
#[track_caller]
fn run(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "tests"), ("AWS_SECRET_ACCESS_KEY", "tests")];

fn with_keys(url: &str) -> Vec<(&str, &str)> {
    [&KEYS[..], &[("AWS_ENDPOINT_URL", url)]].concat()
}

/// One of its own, if it can be had.
fn emulator() -> Option<Moto> {
    emulator_with("{}")
}

/// One with these rules.
fn emulator_with(rules: &str) -> Option<Moto> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("HOIST_CACHE").map_or_else(|| home.join(".cache/hoist"), PathBuf::from);
    Moto::start(&cache, rules).map_err(|reason| skip::skip(&reason)).ok()
}

/// Where the test finds the emulator, in front of which it has a proxy.
const EMULATOR: &str = "EMULATOR";

/// Against an emulator behind a proxy that breaks what the test wants broken.
#[track_caller]
fn broken(test: &str) {
    let Some(moto) = emulator() else { return };
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let url = format!("http://{free}");
    run(test, &[&with_keys(&url)[..], &[(EMULATOR, moto.url.as_str())]].concat());
}

/// That proxy, for the test itself.
fn proxy() -> Proxy {
    let variable = |name: &str| std::env::var(name).unwrap();
    let address = variable("AWS_ENDPOINT_URL");
    Proxy::start(address.trim_start_matches("http://"), &variable(EMULATOR)).unwrap()
}

/// Against an emulator, or not at all.
#[track_caller]
fn emulated(test: &str) {
    if let Some(moto) = emulator() {
        run(test, &with_keys(&moto.url));
    }
}

/// The program itself, where nobody can be asked, and no host is reached.
fn hoist(url: &str, arguments: &[&str]) -> (i32, String, String) {
    hoist_with(url, "inventory/burst.yaml", arguments)
}

/// With this inventory.
fn hoist_with(url: &str, inventory: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(arguments).args(["-i", inventory]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "tests/fixtures/nobody");
    let output = command.envs(with_keys(url)).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_verb_makes_nothing_unasked_and_tells_programs_what_there_is() {
    let Some(moto) = emulator() else { return };
    let (exit, output, errors) = hoist(&moto.url, &["burst", "up"]);
    assert_eq!((exit, output.as_str()), (64, ""), "{errors}");
    assert!(errors.contains("VPC 172.16.0.0/20") && errors.contains("--yes"), "{errors}");
    let mut vpc = None;
    for (outcome, told) in [("made", 1), ("nothing", 0)] {
        let (exit, output, errors) = hoist(&moto.url, &["burst", "up", "--yes", "--output", "json"]);
        let unasked = errors.matches("the cluster does not say whether its workers were elsewhere").count();
        assert_eq!((exit, unasked), (0, told), "{errors}");
        let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!(answer["outcome"], outcome);
        let made = answer["network"]["vpc"].as_str().unwrap().to_owned();
        assert_eq!(*vpc.get_or_insert_with(|| made.clone()), made);
    }
    let (exit, output, errors) = hoist(&moto.url, &["burst", "up"]);
    assert_eq!((exit, errors.as_str()), (0, "it is so already\n"));
    assert!(output.contains(&vpc.unwrap()) && output.contains("gateway's address"), "{output}");
}

#[test]
fn an_instance_is_launched_seen_and_ended_with_all_that_belongs_to_it() {
    emulated("inner::life");
}

#[test]
fn types_zones_and_spot_prices_are_read_and_the_inventory_stands_in_for_the_price_list() {
    emulated("inner::prices");
}

#[test]
fn a_network_is_made_once_changed_and_destroyed_without_a_trace() {
    emulated("network::life");
}

#[test]
fn without_credentials_nothing_is_sent_and_nothing_is_tried_again() {
    for test in ["inner::no_credentials", "network::no_credentials"] {
        run(test, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    }
}

#[test]
fn who_does_not_answer_leaves_open_what_was_done() {
    run("inner::no_answer", &with_keys("http://127.0.0.1:1"));
}

#[test]
fn an_answer_that_is_cut_is_not_asked_for_again_by_the_library() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.unwrap().read(&mut [0; 65536]);
        }
    });
    run("inner::no_answer", &with_keys(&url));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_whose_answer_is_cut_is_done_once_however_often_it_is_repeated() {
    broken("cuts::machines");
    broken("cuts::stacks");
}

#[test]
fn a_refusal_by_ec2_is_told_as_what_it_is_and_asked_for_once() {
    broken("refusals::by_code");
}

#[test]
fn a_call_that_is_denied_names_the_action_that_is_in_the_policy() {
    broken("refusals::of_machines");
    broken("refusals::of_the_network");
}

#[test]
fn a_launch_meets_the_limits_of_an_account() {
    let rules = r#"{"pending": 2, "lag": 1, "forget": 2, "short": ["c5.large"], "vcpus": {"spot": {"Standard": 2, "X": 0}, "on-demand": {"Standard": 4}}}"#;
    let Some(moto) = emulator_with(rules) else { return };
    run("limits::all", &with_keys(&moto.url));
}

#[test]
fn the_verb_says_which_permission_is_missing() {
    let Some(moto) = emulator() else { return };
    let proxy = Proxy::start("127.0.0.1:0", &moto.url).unwrap();
    for action in ["DescribeStackEvents", "DescribeStacks", "CreateStack"] {
        proxy.always(action, Fault::Refused(403, "AccessDenied"));
        let (exit, output, errors) = hoist(&proxy.url, &["burst", "up", "--yes"]);
        assert_eq!((exit, output.as_str(), proxy.calls(action)), (77, "", 1), "{errors}");
        let said = format!("CloudFormation refused {action}: AccessDenied");
        assert!(errors.contains(&said) && errors.contains(&format!("cloudformation:{action}")), "{errors}");
        proxy.mend();
    }
}
