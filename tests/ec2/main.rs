//! `burst::aws` as EC2 sees it: real requests of AWS' client library to an emulator that speaks EC2's protocol, and to
//! sockets that break. The library reads its settings from the environment, so each test runs in a process of its own.
#![cfg(feature = "aws")]

mod inner;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/skip.rs"]
mod skip;

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

/// Runs a test of `inner` with this environment alone.
#[track_caller]
fn run(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("inner::{test}"), "--exact", "--ignored", "--nocapture"]);
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

#[test]
fn an_instance_is_launched_seen_and_ended_with_all_that_belongs_to_it() {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("HOIST_CACHE").map_or_else(|| home.join(".cache/hoist"), PathBuf::from);
    match Moto::start(&cache) {
        Ok(moto) => run("life", &with_keys(&moto.url)),
        Err(reason) => skip::skip(&reason),
    }
}

#[test]
fn without_credentials_nothing_is_sent_and_nothing_is_tried_again() {
    run("no_credentials", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
}

#[test]
fn who_does_not_answer_leaves_open_what_was_done() {
    run("no_answer", &with_keys("http://127.0.0.1:1"));
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
    run("no_answer", &with_keys(&url));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
