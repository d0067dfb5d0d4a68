//! Commands that run on one host at a time.

use hoist::engine::{Event, Outcome};

use crate::bed::Bed;

/// Fails when two are at work at the same time.
const ROLE: &str = "
tasks:
  - name: alone
    command:
      run: |
        mkdir '{{ vars.root }}/at-work' || exit 9
        sleep 0.2
        rmdir '{{ vars.root }}/at-work'
        touch '{{ vars.root }}/{{ host.name }}.done'
      creates: '{{ vars.root }}/{{ host.name }}.done'
      one_at_a_time: TURN
";

#[tokio::test]
async fn they_take_turns_and_say_for_whom_they_wait() {
    let bed = Bed::new(&[("one", &ROLE.replace("TURN", "door"))], &[]);
    let ran = bed.run(&[("a", &["one"]), ("b", &["one"]), ("c", &["one"])], 4).await;
    for host in ["a", "b", "c"] {
        assert_eq!(*ran.outcome(host), Outcome::Converged { changes: 1 }, "{host}");
    }
    let waiting = |event: &&Event| matches!(event, Event::Waiting { value, .. } if value == "door");
    assert_eq!(ran.events.iter().filter(waiting).count(), 2);
}

#[tokio::test]
async fn an_empty_name_is_no_limit() {
    let bed = Bed::new(&[("one", &ROLE.replace("TURN", "''"))], &[]);
    let ran = bed.run(&[("a", &["one"]), ("b", &["one"])], 4).await;
    assert!(["a", "b"].iter().any(|host| matches!(ran.outcome(host), Outcome::Failed(_))));
}

/// The others stand in the queue while the first one fails.
#[tokio::test]
async fn what_broke_one_host_is_not_begun_on_the_next() {
    let role = "
tasks:
  - name: queues
    when: host.name != 'f'
    command:
      run: until [ -e '{{ vars.root }}/f.begun' ]; do sleep 0.02; done; touch '{{ vars.root }}/{{ host.name }}.queued'
      creates: '{{ vars.root }}/{{ host.name }}.queued'
      timeout: 15
  - name: alone
    command:
      run: |
        touch '{{ vars.root }}/{{ host.name }}.begun'
        until [ -e '{{ vars.root }}/go' ]; do sleep 0.02; done
        exit 7
      unless: 'false'
      one_at_a_time: door
      timeout: 15
";
    let bed = Bed::new(&[("one", role)], &[]);
    let (root, waiting) = (bed.root(), std::sync::Mutex::new(0));
    let ran = bed
        .run_and(&[("f", &["one"]), ("g", &["one"]), ("h", &["one"])], 4, move |event| {
            if matches!(event, Event::Waiting { from, .. } if from == &["f"]) {
                let mut waiting = waiting.lock().unwrap();
                *waiting += 1;
                if *waiting == 2 {
                    std::fs::write(root.join("go"), "").unwrap();
                }
            }
        })
        .await;
    assert!(ran.failure("f").what.contains("status 7"));
    for host in ["g", "h"] {
        assert!(matches!(ran.outcome(host), Outcome::Blocked { by, .. } if by == "f"), "{host}");
        assert!(!bed.root().join(format!("{host}.begun")).exists(), "{host}");
    }
}
