//! The programs that stay on a node, run for real beside a server that stands for EC2's and programs that write down how
//! they were called.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use super::*;
use crate::burst::kubernetes::NOTICE;

/// Answers as IMDSv2 does: by what `answer` has for a path below `meta-data`, and only with a token that it gave. Gives its
/// address.
pub(super) fn metadata(mut answer: impl FnMut(&str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head: Vec<String> = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let has = |header: &str| head.iter().any(|line| line.eq_ignore_ascii_case(header));
            let words: Vec<&str> = head.first().map(|line| line.split(' ').collect()).unwrap_or_default();
            let found = match words[..] {
                ["PUT", "/latest/api/token", _] if has("X-aws-ec2-metadata-token-ttl-seconds: 60") => {
                    Some("t0ken==".to_owned())
                }
                ["GET", path, _] if has("X-aws-ec2-metadata-token: t0ken==") => {
                    path.strip_prefix("/latest/meta-data/").and_then(&mut answer)
                }
                _ => None,
            };
            let text = match found {
                Some(text) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
                None => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone".to_owned(),
            };
            // Whoever asked may be gone.
            let _ = stream.write_all(text.as_bytes());
        }
    });
    address
}

fn rendered(template: &str, capacity: &str) -> String {
    let mut context = Context::default();
    context.set("host", json!({"name": "burst-1", "rented": {"capacity": capacity, "lifetime": 90000}}));
    let library = Library::new(Some(env!("CARGO_MANIFEST_DIR").into()));
    let text = Templates::new(library).file(&format!("burst/{template}"), &context).unwrap();
    is_sh(&text);
    text
}

/// A folder with a script, and programs in `bin` that write their arguments into `calls`.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(script: &str, kubectl: &str) -> Bench {
        let bench = Bench(tempfile::tempdir().unwrap());
        fs::create_dir(bench.path("bin")).unwrap();
        fs::write(bench.path("script"), script).unwrap();
        for (name, then) in [("kubectl", kubectl), ("systemctl", "")] {
            let path = bench.path(&format!("bin/{name}"));
            fs::write(&path, format!("#!/bin/sh\n{then}\necho \"{name} $*\" >> calls\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, environment: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg("script").current_dir(self.0.path()).env("PATH", path);
        command.envs(environment.iter().copied()).output().unwrap()
    }

    /// What was called since it was asked last.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls.lines().map(String::from).collect()
    }
}

#[test]
fn a_notice_is_told_to_the_cluster_until_it_has_heard_of_it() {
    let mut asked = 0;
    let imds = metadata(move |path| {
        asked += usize::from(path == "spot/instance-action");
        (asked > 2).then(|| r#"{"action": "terminate", "time": "2026-01-02T03:04:05Z"}"#.to_owned())
    });
    // The line is cut for a moment.
    let bench = Bench::new(&rendered("node-notice.sh", "spot"), "[ -e tried ] || { : > tried; exit 1; }");
    let output = bench.run(&[("HOIST_IMDS", &imds), ("HOIST_EVERY", "0.05")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        bench.calls(),
        [format!(
            "kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout 10s annotate node burst-1 --overwrite \
             {NOTICE}=2026-01-02T03:04:05Z"
        )]
    );
}

#[test]
fn an_instance_that_is_paid_on_demand_waits_for_no_notice() {
    let bench = Bench::new(&rendered("node-notice.sh", "on-demand"), "");
    assert!(bench.run(&[("HOIST_IMDS", "http://127.0.0.1:9")]).status.success());
    assert_eq!(bench.calls(), Vec::<String>::new());
}

/// What one minute after the other of `moments` leads to: seconds since the boot, whether it is a node, whether the API
/// server answers, and what is done then.
fn alone(moments: &[(u32, bool, bool, &[&str])]) {
    let answer = "case $* in *healthz) [ -e answers ]; exit ;; esac";
    let bench = Bench::new(&rendered("node-alone.sh", "spot"), answer);
    let set = |path: &Path, exists: bool| match exists {
        true => fs::write(path, "").unwrap(),
        false => drop(fs::remove_file(path)),
    };
    for (uptime, joined, answers, expected) in moments {
        fs::write(bench.path("uptime"), format!("{uptime}.42 99.9\n")).unwrap();
        set(&bench.path("kubelet.conf"), *joined);
        set(&bench.path("answers"), *answers);
        let output = bench.run(&[
            ("HOIST_KUBELET_CONF", "kubelet.conf"),
            ("HOIST_STATE", "state"),
            ("HOIST_UPTIME", "uptime"),
        ]);
        let calls = bench.calls();
        let calls: Vec<&str> = calls.iter().map(|call| call.rsplit("10s ").next().unwrap()).collect();
        assert_eq!(calls, *expected, "{uptime}: {output:?}");
    }
}

#[test]
fn a_node_that_hears_nothing_for_an_hour_ends() {
    alone(&[
        (100, true, true, &[]),
        (160, true, false, &[]),
        (999, true, false, &[]),
        (2080, true, true, &[]),
        (5679, true, false, &[]),
        (5680, true, false, &["systemctl poweroff"]),
    ]);
}

/// Nobody else may be there to end it.
#[test]
fn a_node_ends_that_is_older_than_any_should_be() {
    alone(&[(89_999, true, true, &[]), (90_000, true, true, &["systemctl poweroff"])]);
}

#[test]
fn an_instance_that_never_became_a_node_ends() {
    alone(&[
        (60, false, false, &[]),
        (1199, false, false, &[]),
        (1210, false, false, &[]),
        (4809, false, false, &[]),
        (4810, false, false, &["systemctl poweroff"]),
    ]);
}

#[test]
fn a_node_that_boots_without_an_api_server_has_its_hour() {
    alone(&[(60, true, false, &[]), (3659, true, false, &[]), (3660, true, false, &["systemctl poweroff"])]);
}
