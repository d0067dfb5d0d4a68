//! Runs that fail, runs that come together, and what is kept of them.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bed::{Fleet, Ran};

#[test]
fn a_failure_names_its_log_and_the_command_to_run_again() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    fleet.role(
        "picky",
        "tasks:
  - name: likes cp1
    command: {run: \"[ '{{ host.name }}' = cp1 ] || { echo 'a line' >&2; exit 5; }; touch '{{ vars.root }}/x'\", creates: '{{ vars.root }}/x'}",
    );
    let ran = fleet
        .hoist("apply", &["--only", "picky", "--limit", "w1,cp1"])
        .exits(1)
        .says("Not finished: w1 failed.");
    let log = fleet.records("log").pop().unwrap();
    let ran = ran.says(&format!("All that happened: {}", log.display())).says("| a line");
    ran.says("--only picky --limit w1,cp1");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let events: Vec<serde_json::Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times: Vec<jiff::Timestamp> =
        events.iter().map(|event| event["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted() && events.iter().all(|event| event["at"].as_str().unwrap().ends_with('Z')));
    let failed = events.iter().find(|event| event["event"] == "host-failed").unwrap();
    assert_eq!(failed["failure"]["output"], serde_json::json!(["a line"]));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["failed"]), (&"run-ended".into(), &serde_json::json!(["w1"])));
    assert_eq!(log.with_extension("jsonl"), fleet.records("jsonl")[0], "beside the journal");
}

#[test]
fn the_log_and_the_lines_of_json_are_the_same() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    let ran = fleet.hoist("apply", &["--only", "note", "--output", "json"]).exits(0);
    assert_eq!(fs::read_to_string(&fleet.records("log")[0]).unwrap(), ran.stdout);
}

/// As with `| head`: neither the run nor its log ends with the reader.
#[test]
fn a_reader_that_went_away_stops_neither_run_nor_log() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    let roles = fleet.path("roles");
    let mut command = fleet.command(&["apply", "--roles", roles.to_str().unwrap(), "--only", "note"]);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(0));
    let log = fs::read_to_string(&fleet.records("log")[0]).unwrap();
    assert!(log.lines().last().unwrap().contains(r#""event":"run-ended""#), "{log}");
    assert_eq!(fleet.left(), ["cp1.note", "cp1.secret"]);
}

/// A run that is held still while it has its locks.
#[test]
fn who_holds_a_lock_is_named_and_other_hosts_are_free() {
    let Some(fleet) = Fleet::start(&["cp1", "w1", "w2"]) else { return };
    let roles = fleet.path("roles");
    let arguments =
        ["apply", "--roles", roles.to_str().unwrap(), "--only", "note", "--limit", "w1", "--output", "json"];
    let mut command = fleet.command(&arguments);
    let mut first = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = BufReader::new(first.stdout.take().unwrap()).lines();
    events.next().unwrap().unwrap();
    // Our own child, not waited for yet: the number is still its own.
    let pid = Pid::from_raw(first.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let second = fleet.hoist("apply", &["--only", "note"]);
    let beside = fleet.hoist("apply", &["--only", "note", "--limit", "cp1,w2"]);
    kill(pid, Signal::SIGCONT).unwrap();
    let second = second.exits(75).says("another run is at work on w1: ada@").says("--only note --limit w1");
    second.says(&format!("(process {pid})"));
    let beside = beside.exits(0).says("4 changes");
    beside.says_nothing_of("interrupted");
    while events.next().is_some() {}
    assert_eq!(first.wait().unwrap().code(), Some(0));
    fleet.hoist("plan", &["--only", "note"]).exits(0);
}

#[test]
fn what_was_in_flight_is_told_to_people_and_to_programs() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    let interrupted = |run: &str| {
        let line = r#"{"at":"2026-01-01T00:00:00.000Z","state":"begin","host":"cp1","role":"note","step":"a note","input":"x"}"#;
        fleet.write(&format!("state/hoist/fleet/runs/{run}.jsonl"), &format!("{line}\n"));
    };
    interrupted("2026-01-01T00-00-00.000000000Z");
    let ran = fleet.hoist("apply", &["--only", "note", "--output", "json"]).exits(0);
    assert!(
        ran.stdout.contains(r#""event":"interrupted","host":"cp1","role":"note","step":"a note"}"#),
        "{ran}"
    );
    fs::remove_file(fleet.root().join("cp1.note")).unwrap();
    interrupted("2099-01-01T00-00-00.000000000Z");
    let ran = fleet.hoist("apply", &["--only", "note"]).exits(0);
    ran.says("cp1 note: a note: was in flight when the run before was interrupted; it is looked at again");
}

#[test]
fn a_bad_fork_count_or_a_missing_inventory_is_usage() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    Ran::of(fleet.command(&["apply", "--forks", "0"])).exits(64);
    fleet.hoist("apply", &["--only", "note", "--forks", "1"]).exits(0);
}

#[test]
fn what_a_killed_run_left_at_work_is_ended_before_the_next_one_begins() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    let seconds = format!("{}", 100_000 + std::process::id());
    let role = |run: &str| {
        fleet.role(
            "slow",
            &format!(
                "tasks: [{{name: slow, command: {{run: \"{run}\", creates: '{{{{ vars.root }}}}/slow'}}}}]"
            ),
        );
    };
    role(&format!("trap '' TERM; echo x > '{{{{ vars.root }}}}/begun'; sleep {seconds}"));
    let roles = fleet.path("roles");
    let mut command = fleet.command(&["apply", "--roles", roles.to_str().unwrap(), "--only", "slow"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = fleet.root().join("begun");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !begun.exists() {
        assert!(Instant::now() < deadline, "it does not begin");
        thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    role("echo done > '{{ vars.root }}/slow'");
    fleet.hoist("apply", &["--only", "slow"]).exits(0);
    let sleeps = |process: &fs::DirEntry| {
        fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.contains(&seconds))
    };
    let left = fs::read_dir("/proc").unwrap().flatten().filter(sleeps).count();
    assert_eq!(left, 0, "it still sleeps");
}
