//! What a run does, and how it ends.

use std::{fs, time::Duration};

use hoist::engine::{Event, Journal, Outcome, Run, events, observe_all};

use crate::bed::Bed;

const FOLDERS: &str = "
tasks:
  - name: '{{ item }} is there'
    loop: \"['one', 'two', 'three']\"
    directory: {path: '{{ vars.root }}/{{ item }}', owner: '{{ vars.user }}', group: '{{ vars.group }}'}
  - name: a file
    file:
      path: '{{ vars.root }}/one/file'
      content: \"it's {{ host.name }}\\n\"
      owner: '{{ vars.user }}'
      group: '{{ vars.group }}'
  - name: a command
    command:
      run: echo ran >> '{{ vars.root }}/ran'
      creates: '{{ vars.root }}/ran'
";

#[tokio::test]
async fn nothing_is_left_to_change_after_a_run() {
    let bed = Bed::new(&[("folders", FOLDERS)], &[]);
    assert_eq!(bed.plan("a", &["folders"]).await.changes.len(), 5);
    let ran = bed.run(&[("a", &["folders"])], 1).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 5 });
    assert_eq!(bed.read("one/file"), "it's a\n");
    let plan = bed.plan("a", &["folders"]).await;
    assert_eq!((plan.statements, plan.changes), (5, vec![]));
    let again = bed.run(&[("a", &["folders"])], 1).await;
    assert_eq!(*again.outcome("a"), Outcome::Converged { changes: 0 });
    assert_eq!((again.journal.as_str(), bed.read("ran").as_str()), ("", "ran\n"));
    // What somebody takes away comes back, and nothing else is done.
    fs::remove_dir(bed.root().join("two")).unwrap();
    let ran = bed.run(&[("a", &["folders"])], 1).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 1 });
    assert!(ran.journal.contains("two is there") && !ran.journal.contains("one is there"));
}

#[tokio::test]
async fn a_failing_step_stops_only_its_host_and_says_why() {
    let role = "
tasks:
  - name: full
    command:
      run: |
        echo copying
        [ '{{ host.name }}' = good ] || { echo 'cp: No space left on device' >&2; exit 9; }
        touch '{{ vars.root }}/{{ host.name }}'
      creates: '{{ vars.root }}/{{ host.name }}'
  - name: after it
    command:
      run: touch '{{ vars.root }}/{{ host.name }}.after'
      creates: '{{ vars.root }}/{{ host.name }}.after'
";
    let bed = Bed::new(&[("full", role)], &[]);
    let ran = bed.run(&[("bad", &["full"]), ("good", &["full"])], 1).await;
    assert_eq!(*ran.outcome("good"), Outcome::Converged { changes: 2 });
    let failure = ran.failure("bad");
    assert_eq!((failure.role.as_str(), failure.step.as_str()), ("full", "full"));
    assert!(failure.what.ends_with("ended with status 9"), "{failure}");
    assert_eq!(failure.output, ["copying", "cp: No space left on device"]);
    assert_eq!(failure.cause.as_deref(), Some("the host's disk is full"));
    assert!(failure.next.contains("run the same command again"), "{failure}");
    assert!(!bed.root().join("bad.after").exists() && bed.root().join("good.after").exists());
    assert!(ran.journal.lines().any(|line| line.contains("\"failed\"") && line.contains("\"bad\"")));
    assert!(ran.events.contains(&Event::HostFailed { host: "bad".into(), failure: failure.clone() }));
}

/// As kubeadm does before it fails.
#[tokio::test]
async fn a_token_that_a_command_prints_is_shown_nowhere() {
    let token = ["abcdef", "0123456789abcdef"].join(".");
    let role = format!(
        "
tasks:
  - name: prints it
    command:
      run: |
        echo '[bootstrap-token] Using token: {}'.0123456789abcdef
        exit 9
      creates: /none
",
        "abcdef"
    );
    let bed = Bed::new(&[("prints", &role)], &[]);
    let ran = bed.run(&[("a", &["prints"])], 1).await;
    assert_eq!(ran.failure("a").output, ["[bootstrap-token] Using token: [secret]"]);
    assert!(!ran.journal.contains(&token) && !format!("{:?}", ran.events).contains(&token));
}

#[tokio::test]
async fn a_batch_says_which_of_its_steps_failed() {
    let bed = Bed::new(&[("folders", &FOLDERS.replace("'two'", "'file/two'"))], &[]);
    // A file where a folder should be.
    fs::write(bed.root().join("file"), "").unwrap();
    let ran = bed.run(&[("a", &["folders"])], 1).await;
    let failure = ran.failure("a");
    assert_eq!(failure.step, "file/two is there");
    assert!(failure.output.iter().any(|line| line.contains("file")), "{failure}");
    assert!(!failure.to_string().contains("#hoist"), "{failure}");
    assert!(bed.root().join("one").exists() && !bed.root().join("three").exists());
    let states: Vec<(String, String)> = ran
        .journal
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["step"].as_str().unwrap().to_owned(), line["state"].as_str().unwrap().to_owned()))
        .filter(|(_, state)| state != "begin")
        .collect();
    let states: Vec<(&str, &str)> =
        states.iter().map(|(step, state)| (step.as_str(), state.as_str())).collect();
    assert_eq!(
        states,
        [
            ("one is there", "done"),
            ("file/two is there", "failed"),
            ("three is there", "not-begun"),
            ("a file", "not-begun")
        ]
    );
    let done = |event: &&Event| matches!(event, Event::StepDone { .. });
    assert_eq!(ran.events.iter().filter(done).count(), 1, "only the first of the batch is done");
}

#[tokio::test]
async fn a_role_that_undoes_itself_is_reported() {
    let role = "
tasks:
  - name: never content
    command:
      run: touch '{{ vars.root }}/x'
      creates: '{{ vars.root }}/x'
  - name: takes it away
    command:
      run: 'rm {{ vars.root }}/x; touch {{ vars.root }}/y'
      creates: '{{ vars.root }}/y'
";
    let bed = Bed::new(&[("restless", role)], &[]);
    let ran = bed.run(&[("a", &["restless"])], 1).await;
    let failure = ran.failure("a");
    assert_eq!(failure.step, "never content");
    assert_eq!(failure.what, "it was made true and is not true any more");
    assert!(failure.cause.as_ref().unwrap().contains("not idempotent"));
    assert_eq!(failure.output.len(), 1, "{failure}");
    assert!(!ran.events.iter().any(|event| matches!(event, Event::HostDone { .. })));
}

#[tokio::test]
async fn the_next_run_knows_what_a_dropped_one_was_doing() {
    let role = "
tasks:
  - name: before
    command:
      run: touch '{{ vars.root }}/x'
      creates: '{{ vars.root }}/x'
  - name: endless
    command:
      run: sleep 60
      unless: 'false'
";
    let bed = Bed::new(&[("endless", role)], &[]);
    let subjects = bed.subjects(&[("a", &["endless"])]).await;
    let plans: Vec<_> = observe_all(&subjects, false, 1).await.into_iter().map(Result::unwrap).collect();
    let (journal, before) = Journal::begin(bed.state()).unwrap();
    assert_eq!(before, []);
    let path = journal.path().to_path_buf();
    let (sender, mut receiver) = events();
    let run = Run {
        subjects,
        bystanders: vec![],
        library: bed.library(),
        journal: std::sync::Arc::new(journal),
        events: sender,
        forks: 1,
        places: Default::default(),
        environment: Vec::new(),
        turns: Default::default(),
    };
    let begun = async {
        while let Some(event) = receiver.recv().await {
            if matches!(event, Event::StepStarted { step, .. } if step == "endless") {
                break;
            }
        }
        // The event comes before the line.
        while !fs::read_to_string(&path).unwrap().contains("endless") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        outcomes = run.carry_out(&plans) => panic!("{outcomes:?}"),
        () = begun => {}
    }
    // The tasks of the dropped run end when they are polled next, and with them its hold of the journal.
    while fs::File::open(&path).unwrap().try_lock().is_err() {
        tokio::task::yield_now().await;
    }
    let (_, before) = Journal::begin(bed.state()).unwrap();
    let steps: Vec<(&str, &str)> =
        before.iter().map(|step| (step.host.as_str(), step.step.as_str())).collect();
    assert_eq!(steps, [("a", "endless")]);
}

/// Waiting is no work: what one host waits for may be the work of one that has not had its turn.
#[tokio::test]
async fn who_waits_for_something_takes_nobodys_turn() {
    let waits = "
tasks:
  - name: the other is there
    wait: {until: the other is there, check: \"[ -e '{{ vars.root }}/there' ]\", timeout: 15}
";
    let comes = "
tasks:
  - name: it comes after a while
    command: {run: \"sleep 0.5; touch '{{ vars.root }}/there'\", creates: '{{ vars.root }}/there'}
";
    let bed = Bed::new(&[("waits", waits), ("comes", comes)], &[]);
    let ran = bed.run(&[("a", &["waits"]), ("b", &["comes"])], 1).await;
    for host in ["a", "b"] {
        assert_eq!(*ran.outcome(host), Outcome::Converged { changes: 1 }, "{host}");
    }
}

/// What a host waits for may be the work of one that first needs something of it.
#[tokio::test]
async fn who_waits_for_something_still_answers_others() {
    let begins = "
provides:
  join: {run: echo token=something}
tasks:
  - name: it is there
    command: {run: \"touch '{{ vars.root }}/here'\", creates: '{{ vars.root }}/here'}
";
    let waits = "
needs: [begins]
tasks:
  - name: the other is there
    wait: {until: the other is there, check: \"[ -e '{{ vars.root }}/there' ]\", timeout: 12}
";
    let comes = "
tasks:
  - name: it comes after a while
    command: {run: \"sleep 0.5; touch '{{ vars.root }}/late'\", creates: '{{ vars.root }}/late'}
  - name: with what the other gives
    command:
      run: cat > '{{ vars.root }}/there'
      creates: '{{ vars.root }}/there'
      stdin: {template: join.txt}
      known_after: the other is there
";
    let template = ("join.txt", "{{ late.join.token }}\n");
    let bed = Bed::new(&[("begins", begins), ("waits", waits), ("comes", comes)], &[template]);
    let ran = bed.run(&[("a", &["begins", "waits"]), ("b", &["comes"])], 4).await;
    assert_eq!(*ran.outcome("b"), Outcome::Converged { changes: 2 });
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 2 });
}
