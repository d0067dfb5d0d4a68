//! Values that one host gives to another.

use std::fs;

use hoist::engine::{Event, Outcome, Run, events, observe_all};

use crate::bed::Bed;

/// Put together by the provider alone, so that it cannot come from the text of a role.
const MARKER: &str = "marker4711secret";

/// Gives its value only after somebody has begun to wait for it.
const PROVIDER: &str = "
provides:
  join: {run: \"echo x >> '{{root}}/asked'; printf 'token=marker%ssecret\\\\n' 4711\"}
tasks:
  - name: the cluster is there
    command:
      run: |
        until [ -e '{{ vars.root }}/go' ]; do sleep 0.02; done
        touch '{{ vars.root }}/provided'
      creates: '{{ vars.root }}/provided'
      timeout: 15
";

const CONSUMER: &str = "
tasks:
  - name: joined
    command:
      run: cat > '{{ vars.root }}/{{ host.name }}.joined'
      creates: '{{ vars.root }}/{{ host.name }}.joined'
      stdin: {template: join.txt}
      known_after: the cluster is there
";

const JOIN: (&str, &str) = ("join.txt", "{{ host.name }} has {{ late.join.token }}\n");

fn bed(provides: &str, tasks: &str, consumer: &str) -> Bed {
    let provider = format!("provides: {{join: {{run: {provides:?}}}}}\ntasks:\n{tasks}");
    Bed::new(&[("provider", &provider), ("consumer", consumer)], &[JOIN])
}

const DONE: &str = "
  - name: the cluster is there
    command:
      run: touch '{{ vars.root }}/provided'
      creates: '{{ vars.root }}/provided'
";
const BROKEN: &str = "
  - name: the cluster is there
    command:
      run: 'echo broken >&2; exit 7'
      unless: 'false'
";

#[tokio::test]
async fn a_late_value_is_waited_for_had_once_and_never_seen() {
    for forks in [1, 4] {
        let bed = Bed::new(&[("consumer", CONSUMER)], &[JOIN]);
        let root = bed.root();
        // The script of a provider is no template: its path is written here.
        let provider = PROVIDER.replace("{{root}}", root.to_str().unwrap());
        let folder = bed.state().join("roles/provider");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("role.yaml"), format!("description: a test\n{provider}")).unwrap();
        let ran = bed
            .run_and(
                &[("a", &["consumer"]), ("p", &["provider"]), ("b", &["consumer"])],
                forks,
                move |event| {
                    if matches!(event, Event::Waiting { value, .. } if value == "join") {
                        fs::write(root.join("go"), "").unwrap();
                    }
                },
            )
            .await;
        for host in ["a", "p", "b"] {
            assert_eq!(*ran.outcome(host), Outcome::Converged { changes: 1 }, "{host}, forks {forks}");
        }
        assert_eq!(bed.read("a.joined"), format!("a has {MARKER}\n"));
        assert_eq!(bed.read("b.joined"), format!("b has {MARKER}\n"));
        assert_eq!(bed.read("asked"), "x\n", "asked once for both");
        assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
        // Nothing to do is nothing to ask.
        let again = bed.run(&[("a", &["consumer"]), ("p", &["provider"])], forks).await;
        assert_eq!(*again.outcome("a"), Outcome::Converged { changes: 0 });
        assert_eq!(bed.read("asked"), "x\n");
    }
}

/// The value is used only in a template that the input's template includes: it must be waited for all the same. The
/// element of a loop is there as well.
#[tokio::test]
async fn an_input_may_include_templates_and_use_the_element_of_a_loop() {
    let consumer = "
tasks:
  - name: joined as {{ item }}
    loop: \"['x', 'y']\"
    command:
      run: cat > '{{ vars.root }}/{{ item }}'
      creates: '{{ vars.root }}/{{ item }}'
      stdin: {template: outer.txt}
";
    let provider =
        format!("provides: {{join: {{run: \"printf 'token=marker%ssecret\\\\n' 4711\"}}}}\ntasks:\n{DONE}");
    let templates =
        [("outer.txt", "{% include 'inner.txt' %} as {{ item }}\n"), ("inner.txt", "{{ late.join.token }}")];
    let bed = Bed::new(&[("provider", &provider), ("consumer", consumer)], &templates);
    let ran = bed.run(&[("a", &["consumer"]), ("p", &["provider"])], 2).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 2 });
    assert_eq!((bed.read("x"), bed.read("y")), (format!("{MARKER} as x\n"), format!("{MARKER} as y\n")));
    assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
}

#[test]
fn what_an_input_uses_must_be_known_before_the_run() {
    for (template, says) in [
        ("{{ late['join'].token }}", "does not say which late value"),
        ("{% for name in late %}{% endfor %}", "does not say which late value"),
        ("{% include vars.name %}", "whose name is computed"),
    ] {
        let bed = Bed::new(&[("one", CONSUMER)], &[("join.txt", template)]);
        let error = bed.compile(&["one"]).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("task \"joined\""), "{template}: {error}");
    }
}

#[tokio::test]
async fn a_command_that_prints_its_input_does_not_give_it_away() {
    let consumer = CONSUMER.replace("cat >", "tee /dev/stderr; exit 3 >");
    let bed = bed("printf 'token=marker%ssecret\\n' 4711", DONE, &consumer);
    let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"])], 2).await;
    let failure = ran.failure("a");
    assert_eq!(failure.output, ["a has [secret]", "a has [secret]"]);
    assert!(failure.what.contains("status 3"), "{failure}");
    assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
}

#[tokio::test]
async fn a_provider_that_dies_after_its_answer_does_not_give_it_away() {
    let bed = bed("printf 'token=marker%ssecret\\n' 4711; kill -9 $$", DONE, CONSUMER);
    let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"])], 2).await;
    let failure = ran.failure("a");
    assert!(failure.what.starts_with("p could not give \"join\""), "{failure}");
    assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
}

/// Who gives a value may change something for it: so it has lines of its own in the journal.
#[tokio::test]
async fn who_gives_to_whom_is_journalled() {
    let provides = "[ $HOIST_ASKER_NAME = a ] && printf 'token=marker%ssecret\\n' 4711";
    let provider = format!("provides: {{join: {{each: true, run: {provides:?}}}}}\ntasks:\n{DONE}");
    let bed = Bed::new(&[("provider", &provider), ("consumer", CONSUMER)], &[JOIN]);
    let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"]), ("b", &["consumer"])], 2).await;
    let lines: Vec<serde_json::Value> =
        ran.journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (asker, end) in [("a", "done"), ("b", "failed")] {
        let step = format!("gives \"join\" to {asker}");
        let states: Vec<&str> = lines
            .iter()
            .filter(|line| line["host"] == "p" && line["role"] == "provider" && line["step"] == step.as_str())
            .map(|line| line["state"].as_str().unwrap())
            .collect();
        assert_eq!(states, ["begin", end], "{}", ran.journal);
    }
    assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
}

/// Such as a snapshot of a large etcd, which takes longer than a token.
#[tokio::test]
async fn a_provider_may_take_as_long_as_its_role_says() {
    for (timeout, in_time) in [(1, false), (60, true)] {
        let provides = format!("{{join: {{timeout: {timeout}, run: sleep 3; echo token=late}}}}");
        let provider = format!("provides: {provides}\ntasks:\n{DONE}");
        let bed = Bed::new(&[("provider", &provider), ("consumer", CONSUMER)], &[JOIN]);
        let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"])], 2).await;
        if in_time {
            assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 1 });
        } else {
            assert!(ran.failure("a").what.starts_with("p could not give \"join\""), "{}", ran.failure("a"));
        }
    }
}

#[tokio::test]
async fn a_provider_that_refuses_says_why() {
    let bed = bed("echo token=marker4711secret; echo no such cluster >&2; exit 4", DONE, CONSUMER);
    let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"])], 2).await;
    let failure = ran.failure("a");
    assert_eq!(failure.what, "p could not give \"join\" (status 4)");
    assert_eq!(failure.output, ["no such cluster"]);
    assert!(!ran.visible().contains(MARKER), "{}", ran.visible());
}

#[tokio::test]
async fn who_waits_for_a_failed_host_is_blocked_by_its_name() {
    let bed = bed("echo token=never", BROKEN, CONSUMER);
    let ran = bed.run(&[("a", &["consumer"]), ("p", &["provider"])], 2).await;
    assert_eq!(ran.failure("p").output, ["broken"]);
    let blocked = Outcome::Blocked { role: "consumer".into(), step: "joined".into(), by: "p".into() };
    assert_eq!(*ran.outcome("a"), blocked);
    assert!(ran.events.iter().any(|event| matches!(event, Event::HostBlocked { by, .. } if by == "p")));
    assert_eq!(bed.read("a.joined"), "");
}

/// The second provider is itself a consumer, as a second control plane is: it must not wait for itself by way of
/// the others who wait.
#[tokio::test]
async fn a_failed_host_blocks_a_provider_that_waits_too() {
    let first = "
provides: {join: {run: echo token=never}}
tasks:
  - name: begins
    when: host.name == 'p'
    command:
      run: until [ -e '{{ vars.root }}/go' ]; do sleep 0.02; done; exit 7
      unless: 'false'
      timeout: 15
  - name: joins
    when: host.name != 'p'
    command:
      run: cat
      unless: 'false'
      stdin: {template: join.txt}
";
    let bed = Bed::new(&[("provider", first), ("consumer", CONSUMER)], &[JOIN]);
    let (root, waiting) = (bed.root(), std::sync::Mutex::new(0));
    let hosts: &[(&str, &[&str])] =
        &[("a", &["consumer"]), ("p", &["provider"]), ("q", &["provider"]), ("b", &["consumer"])];
    let ran = bed
        .run_and(hosts, 4, move |event| {
            if matches!(event, Event::Waiting { .. }) {
                let mut waiting = waiting.lock().unwrap();
                *waiting += 1;
                if *waiting == 3 {
                    fs::write(root.join("go"), "").unwrap();
                }
            }
        })
        .await;
    assert!(ran.failure("p").what.contains("status 7"));
    for host in ["a", "b", "q"] {
        assert!(matches!(ran.outcome(host), Outcome::Blocked { by, .. } if by == "p"), "{host}");
    }
}

/// Two providers that wait for each other's value after the one that both could have had it from has failed.
#[tokio::test]
async fn providers_that_wait_for_each_other_are_blocked_by_the_one_that_failed() {
    let role = "
provides: {join: {run: echo token=never}}
tasks:
  - name: begins
    when: host.name == 'p'
    command:
      run: until [ -e '{{ vars.root }}/go' ]; do sleep 0.02; done; exit 7
      unless: 'false'
      timeout: 15
  - name: joins
    when: host.name != 'p'
    command:
      run: cat
      unless: 'false'
      stdin: {template: join.txt}
      one_at_a_time: join
";
    let bed = Bed::new(&[("provider", role)], &[JOIN]);
    let (root, waiting) = (bed.root(), std::sync::Mutex::new(0));
    let hosts: &[(&str, &[&str])] = &[("p", &["provider"]), ("q", &["provider"]), ("r", &["provider"])];
    let ran = bed
        .run_and(hosts, 4, move |event| {
            if matches!(event, Event::Waiting { .. }) {
                let mut waiting = waiting.lock().unwrap();
                *waiting += 1;
                if *waiting == 2 {
                    fs::write(root.join("go"), "").unwrap();
                }
            }
        })
        .await;
    assert!(ran.failure("p").what.contains("status 7"));
    for host in ["q", "r"] {
        assert!(matches!(ran.outcome(host), Outcome::Blocked { by, .. } if by == "p"), "{host}");
    }
}

#[tokio::test]
async fn a_value_for_each_host_is_asked_anew_and_knows_who_asks() {
    let provider = format!(
        "provides:\n  join:\n    each: true\n    run: echo \"token=for-$HOIST_ASKER_NAME-at-$HOIST_ASKER_ADDRESS\"\ntasks:\n{DONE}"
    );
    let bed = Bed::new(&[("provider", &provider), ("consumer", CONSUMER)], &[JOIN]);
    let ran = bed.run(&[("p", &["provider"]), ("a", &["consumer"]), ("b", &["consumer"])], 4).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 1 });
    assert_eq!(bed.read("a.joined"), "a has for-a-at-\n");
    assert_eq!(bed.read("b.joined"), "b has for-b-at-\n");
}

/// A host that was long busy with other things gets a value of its own: the first one would be of no use to it any more.
#[tokio::test]
async fn a_value_that_is_too_old_is_asked_for_anew() {
    for (lasts, second) in [("", 1), ("    lasts: 1\n", 2)] {
        let slow = format!("needs: [slow]\n{CONSUMER}");
        let bed = Bed::new(
            &[("consumer", CONSUMER), ("late-consumer", &slow), ("slow", SLOW), ("provider", "tasks: []\n")],
            &[JOIN],
        );
        let asked = bed.root().join("asked");
        let provider = format!(
            "description: a test\nprovides:\n  join:\n{lasts}    run: echo x >> {0}; echo token=number-$(wc -l < {0})\ntasks:{DONE}",
            asked.display()
        );
        fs::write(bed.state().join("roles/provider/role.yaml"), provider).unwrap();
        let hosts = [("p", &["provider"][..]), ("a", &["consumer"]), ("b", &["late-consumer"])];
        let ran = bed.run(&hosts, 4).await;
        assert_eq!(*ran.outcome("b"), Outcome::Converged { changes: 2 });
        assert_eq!(bed.read("a.joined"), "a has number-1\n");
        assert_eq!(bed.read("b.joined"), format!("b has number-{second}\n"), "{lasts:?}");
    }
}

/// The same for one that had its value and then waited for its turn to act.
#[tokio::test]
async fn a_value_that_got_too_old_in_the_queue_is_asked_for_anew() {
    let consumer = CONSUMER.replace("run: cat", "run: sleep 1.5; cat");
    let bed = Bed::new(&[("consumer", &consumer), ("provider", "tasks: []\n")], &[JOIN]);
    let asked = bed.root().join("asked");
    let provider = format!(
        "description: a test\nprovides:\n  join:\n    lasts: 1\n    run: echo x >> {0}; echo token=number-$(wc -l < {0})\ntasks:{DONE}",
        asked.display()
    );
    fs::write(bed.state().join("roles/provider/role.yaml"), provider).unwrap();
    let ran = bed.run(&[("p", &["provider"][..]), ("a", &["consumer"]), ("b", &["consumer"])], 1).await;
    assert_eq!(*ran.outcome("b"), Outcome::Converged { changes: 1 });
    let had = |host: &str| bed.read(&format!("{host}.joined")).split_off(host.len());
    let mut had = ["a", "b"].map(had);
    had.sort();
    assert_eq!(had, [" has number-1\n", " has number-2\n"]);
}

const SLOW: &str = "
tasks:
  - name: something that takes long
    command:
      run: sleep 2; touch '{{ vars.root }}/slow'
      creates: '{{ vars.root }}/slow'
";

#[tokio::test]
async fn a_value_that_nobody_provides_is_an_error_before_anything_is_done() {
    let bed = bed("echo token=never", DONE, CONSUMER);
    let subjects = bed.subjects(&[("a", &["consumer"])]).await;
    let plans: Vec<_> = observe_all(&subjects, false, 1).await.into_iter().map(Result::unwrap).collect();
    let (journal, _) = hoist::engine::Journal::begin(bed.state()).unwrap();
    let run = Run {
        subjects,
        bystanders: vec![],
        library: bed.library(),
        journal: std::sync::Arc::new(journal),
        events: events().0,
        forks: 1,
        places: Default::default(),
        environment: Vec::new(),
        turns: Default::default(),
    };
    let error = run.carry_out(&plans).await.unwrap_err();
    assert_eq!(error.to_string(), "no role of this run provides \"join\", which joined uses");
}
