//! `hoist preflight` against OpenSSH's own server, on hosts in network namespaces of their own.

#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod hosts;
mod machine;

use assert_cmd::Command;
use serde_json::Value;

/// Exit code and findings of `hoist preflight -i FILE …`.
fn preflight(inventory: &std::path::Path, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(["preflight", "--output", "json", "-i"]).arg(inventory).args(arguments);
    command.env("HOME", "/nonexistent").env_remove("SSH_AUTH_SOCK");
    let output = command.timeout(std::time::Duration::from_secs(120)).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let findings = serde_json::from_slice(&output.stdout);
    let findings = findings.unwrap_or_else(|error| panic!("{error}: {output:?} {errors}"));
    (output.status.code().unwrap(), findings)
}

/// What a check says: severity, hosts and what was observed, one line a finding.
fn said(findings: &[Value], check: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    of_check
        .map(|finding| {
            let hosts: Vec<String> = finding["hosts"].as_array().unwrap().iter().map(text).collect();
            format!("{} {}: {}", text(&finding["severity"]), hosts.join(","), text(&finding["observed"]))
        })
        .collect()
}
