//! What one host's trouble means for the others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hoist::{
    engine::{Bystander, Event, Outcome, observe_all},
    transport::{Destination, Error, Host, Local, Output, Script, Stream, Transfer},
};

use crate::bed::Bed;

const PROVIDER: &str = "
provides: {join: {run: \"printf 'token=marker%ssecret\\\\n' 4711\"}}
tasks: []
";
const CONSUMER: &str = "
tasks:
  - name: before it
    command: {run: \"touch '{{ vars.root }}/{{ host.name }}.before'\", creates: '{{ vars.root }}/{{ host.name }}.before'}
  - name: joined
    command:
      run: cat > '{{ vars.root }}/{{ host.name }}.joined'
      creates: '{{ vars.root }}/{{ host.name }}.joined'
      stdin: {template: join.txt}
";
const JOIN: (&str, &str) = ("join.txt", "{{ late.join.token }}");

fn bed() -> Bed {
    Bed::new(
        &[("provider", PROVIDER), ("above", "needs: [provider]\ntasks: []"), ("consumer", CONSUMER)],
        &[JOIN],
    )
}

fn bystander(name: &str, role: &str, host: Option<Arc<dyn Host>>) -> Bystander {
    Bystander { name: name.into(), roles: vec![role.into()], host }
}

#[tokio::test]
async fn who_needs_a_host_that_is_not_there_is_blocked_by_its_name_and_does_the_rest() {
    let bed = bed();
    let subjects = bed.subjects(&[("a", &["consumer"]), ("b", &["consumer"])]).await;
    // The role that provides the value is needed by the one it has.
    let absent = vec![bystander("p", "above", None), bystander("q", "consumer", None)];
    let ran = bed.run_beside(subjects, absent, 2, |_| {}).await;
    for host in ["a", "b"] {
        let blocked = Outcome::Blocked { role: "consumer".into(), step: "joined".into(), by: "p".into() };
        assert_eq!(*ran.outcome(host), blocked);
        assert!(bed.root().join(format!("{host}.before")).exists());
    }
    assert!(!ran.events.iter().any(|event| matches!(event, Event::Waiting { .. })), "nobody waits in vain");
}

#[tokio::test]
async fn a_host_that_is_not_changed_gives_its_values() {
    let bed = bed();
    let subjects = bed.subjects(&[("a", &["consumer"])]).await;
    let host: Arc<dyn Host> = Arc::new(Local::open("p2").await.unwrap());
    let beside = vec![bystander("p1", "provider", None), bystander("p2", "provider", Some(host))];
    let ran = bed.run_beside(subjects, beside, 2, |_| {}).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 2 });
    assert_eq!(bed.read("a.joined"), "marker4711secret");
    assert!(!ran.visible().contains("marker4711secret"));
}

#[tokio::test]
async fn who_waits_says_for_whom() {
    let provider = PROVIDER.replace(
        "tasks: []",
        "tasks:\n  - name: slow\n    command: {run: \"sleep 0.3; touch '{{ vars.root }}/x'\", creates: '{{ vars.root }}/x'}",
    );
    let bed = Bed::new(&[("provider", &provider), ("consumer", CONSUMER)], &[JOIN]);
    let ran = bed.run(&[("a", &["consumer"]), ("p", &["provider"]), ("q", &["provider"])], 3).await;
    let from: Vec<&Vec<String>> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Waiting { from, .. } => Some(from),
            _ => None,
        })
        .collect();
    assert_eq!(from, [&["p", "q"]]);
}

/// Needed by a statement that holds already: nothing has to be provided.
#[tokio::test]
async fn a_value_that_no_change_needs_may_be_missing() {
    let bed = bed();
    for name in ["a.before", "a.joined"] {
        std::fs::write(bed.root().join(name), "").unwrap();
    }
    let ran = bed.run(&[("a", &["consumer"])], 1).await;
    assert_eq!(*ran.outcome("a"), Outcome::Converged { changes: 0 });
}

/// A host whose connection is lost after so many scripts.
struct Fragile {
    host: Local,
    left: std::sync::atomic::AtomicUsize,
}

impl Fragile {
    async fn open(name: &str, scripts: usize) -> Arc<dyn Host> {
        Arc::new(Fragile { host: Local::open(name).await.unwrap(), left: scripts.into() })
    }

    fn lost(&self) -> Error {
        Error::Lost { host: self.host.name().into(), reason: "the cable was pulled".into() }
    }
}

#[async_trait]
impl Host for Fragile {
    fn name(&self) -> &str {
        self.host.name()
    }
    async fn run(&self, script: Script) -> Result<Output, Error> {
        use std::sync::atomic::Ordering::SeqCst;
        match self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => self.host.run(script).await,
            Err(_) => Err(self.lost()),
        }
    }
    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        Err(self.lost())
    }
    async fn forward(&self, _: Destination) -> Result<Box<dyn Stream>, Error> {
        Err(self.lost())
    }
}

#[tokio::test]
async fn a_host_that_is_lost_while_it_is_read_is_told_and_the_others_are_read() {
    let bed = bed();
    let mut subjects =
        bed.subjects(&[("a", &["consumer"]), ("b", &["consumer"]), ("c", &["consumer"])]).await;
    subjects[1].host = Fragile::open("b", 0).await;
    let plans = observe_all(&subjects, false, 1).await;
    assert_eq!(plans[0].as_ref().unwrap().host, "a");
    assert!(plans[1].as_ref().unwrap_err().to_string().contains("the cable was pulled"));
    assert_eq!(plans[2].as_ref().unwrap().host, "c");
}

#[tokio::test]
async fn a_host_that_is_lost_at_any_script_fails_alone_and_says_what_to_do() {
    let folders = "
tasks:
  - name: '{{ item }}'
    loop: \"['one', 'two']\"
    directory: {path: '{{ vars.root }}/{{ host.name }}.{{ item }}', owner: '{{ vars.user }}', group: '{{ vars.group }}'}
  - name: command
    command: {run: \"touch '{{ vars.root }}/{{ host.name }}.x'\", creates: '{{ vars.root }}/{{ host.name }}.x'}
";
    let mut scripts = 1;
    loop {
        let bed = Bed::new(&[("folders", folders)], &[]);
        let mut subjects = bed.subjects(&[("a", &["folders"]), ("b", &["folders"])]).await;
        subjects[0].host = Fragile::open("a", scripts).await;
        let ran = bed.run_beside(subjects, Vec::new(), 2, |_| {}).await;
        assert_eq!(*ran.outcome("b"), Outcome::Converged { changes: 3 });
        if *ran.outcome("a") == (Outcome::Converged { changes: 3 }) {
            break;
        }
        let failure = ran.failure("a");
        assert!(failure.what.contains("the cable was pulled"), "{failure}");
        assert_eq!(
            failure.next,
            "when the machine answers again, run the same command again: it goes on from where it stopped"
        );
        assert_eq!(failure.output, Vec::<String>::new());
        // What the journal says has begun has an end.
        let count = |state: &str| ran.journal.lines().filter(|line| line.contains(state)).count();
        let ends = ["\"done\"", "\"failed\"", "\"not-begun\""].map(count).iter().sum::<usize>();
        assert_eq!(count("\"begin\""), ends, "{}", ran.journal);
        scripts += 1;
    }
    assert_eq!(scripts, 6, "plan, observe, act, observe, act, prove");
}

/// A secret that the limit of what is kept of an output has cut in two is still none that may be shown.
#[tokio::test]
async fn a_secret_that_was_cut_in_half_is_not_shown() {
    let consumer = "
tasks:
  - name: talks and hangs
    command:
      run: read -r token; for i in $(seq 400); do printf '%s|' \"$token\"; done; sleep 60
      unless: 'false'
      timeout: 1
      stdin: {template: join.txt}
";
    let bed = Bed::new(
        &[("provider", PROVIDER), ("consumer", consumer)],
        &[("join.txt", "{{ late.join.token }}\n")],
    );
    let ran = tokio::time::timeout(
        Duration::from_secs(20),
        bed.run(&[("p", &["provider"]), ("a", &["consumer"])], 2),
    );
    let ran = ran.await.unwrap();
    let failure = ran.failure("a");
    assert!(failure.what.contains("did not end within 1 s"), "{failure}");
    assert!(failure.next.starts_with("see what the machine is waiting for"), "{failure}");
    let output = failure.output.concat();
    assert!(output.contains("[secret]|[secret]"), "{failure}");
    for part in ["secret|[", "4711", "marker"] {
        assert!(!output.replace("[secret]", "").contains(part), "{part}: {failure}");
    }
}
