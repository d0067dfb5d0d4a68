//! A host that reboots in the middle of an apply.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::bed::{Fleet, Ran};

const NAMES: [&str; 3] = ["cp1", "w1", "w2"];

/// Three steps, of which the second waits on w1 until it is told not to.
const SLOW: &str = "tasks:
  - name: before
    file: {path: '{{ vars.root }}/{{ host.name }}.before', content: ''}
  - name: long
    command:
      run: |
        cd '{{ vars.root }}'
        echo x >{{ host.name }}.begun
        [ {{ host.name }} != w1 ] || [ -e go ] || sleep 300
        echo x >{{ host.name }}.long
      creates: '{{ vars.root }}/{{ host.name }}.long'
  - name: after
    file: {path: '{{ vars.root }}/{{ host.name }}.after', content: ''}";

#[test]
fn it_is_lost_to_that_run_the_others_go_on_and_the_next_one_resumes() {
    let Some(mut fleet) = Fleet::start(&NAMES) else { return };
    fleet.role("slow", SLOW);
    let roles = fleet.path("roles");
    let arguments = ["apply", "--roles", roles.to_str().unwrap(), "--only", "slow"];
    let mut command = fleet.command(&arguments);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = thread::spawn(move || run.wait_with_output().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fleet.root().join("w1.begun").exists() {
        assert!(Instant::now() < deadline, "it does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    let down = Instant::now();
    fleet.stop(1);
    let ran = Ran::ended(running.join().unwrap()).exits(1);
    assert!(down.elapsed() < Duration::from_secs(10), "it waited for a host that is gone");
    let ran = ran.says("w1: slow: long: the connection to w1 was lost");
    let ran = ran.says("next: when the machine answers again, run the same command again: it goes on from");
    ran.says("Not finished: w1 failed.").says_nothing_of("cp1 failed").says_nothing_of("w2 failed");
    let done =
        |host: &str| ["after", "before", "begun", "long"].map(|file| format!("{host}.{file}")).to_vec();
    let half = ["w1.before", "w1.begun"].map(String::from).to_vec();
    assert_eq!(fleet.left(), [done("cp1"), half, done("w2")].concat());

    // While it is down there is nothing to do but to say so.
    let ran = fleet.hoist("apply", &["--only", "slow"]).exits(69).says("failed to connect to w1");
    ran.says("Nothing to change: 6 statements hold on 2 hosts").says("Not finished: w1 cannot be used.");

    fleet.boot(1);
    fleet.write("root/go", "");
    let plan = fleet.hoist("plan", &["--only", "slow"]).exits(2);
    plan.says("2 of 9 statements").says_nothing_of("before");
    fleet.hoist("apply", &["--only", "slow"]).exits(0).says("2 changes");
    fleet.hoist("plan", &["--only", "slow"]).exits(0).says("Nothing to change: 9 statements hold on 3 hosts");
    assert_eq!(fleet.left(), [done("cp1"), vec!["go".into()], done("w1"), done("w2")].concat());
}
