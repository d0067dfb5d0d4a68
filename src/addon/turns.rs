//! Whose turn it is: each add-on as soon as those that it comes after have ended, and those that it needs are done.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{Desired, order::before, run::Ended};
use crate::engine::{Event, Events, Outcome};

/// Lets `one` make each add-on, at most `forks` at the same time. One that fails stops only those that need it; they are
/// told, and blocked in `ended`, which has those that went before, and gets these.
pub(super) async fn take<'a, Made: Future<Output = Outcome>>(
    addons: &[&'a Desired],
    forks: usize,
    events: &Events,
    ended: &mut Ended,
    one: impl Fn(&'a Desired) -> Made,
) {
    let mut waiting: Vec<&Desired> = addons.to_vec();
    let mut running = FuturesUnordered::new();
    let mut open: BTreeSet<&str> = addons.iter().map(|addon| addon.name.as_str()).collect();
    loop {
        let mut still = Vec::new();
        for addon in std::mem::take(&mut waiting) {
            let unfinished = ended.unfinished();
            let by = addon.needs.iter().find(|name| unfinished.contains(name));
            if let Some(by) = by.cloned() {
                open.remove(addon.name.as_str());
                ended.block(events, &addon.name, by);
            } else if before(addon).any(|name| open.contains(name)) || running.len() >= forks.max(1) {
                still.push(addon);
            } else {
                let made = one(addon);
                running.push(async move { (addon, made.await) });
            }
        }
        waiting = still;
        let Some((addon, outcome)) = running.next().await else {
            // Who is blocked may block others.
            if waiting.is_empty() { break } else { continue }
        };
        open.remove(addon.name.as_str());
        ended.outcomes.push((addon.name.clone(), outcome));
    }
}

impl Ended {
    /// It is not begun, because of another one.
    pub fn block(&mut self, events: &Events, addon: &str, by: String) {
        events.send(Event::AddonBlocked { addon: addon.to_owned(), by: by.clone() });
        let (role, step) = (format!("addon {addon}"), String::from("install it"));
        self.outcomes.push((addon.to_owned(), Outcome::Blocked { role, step, by }));
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap, future::poll_fn, pin::pin, task::Poll};

    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        addon::{desired::tests::nothing, order::sorted},
        engine::{Failure, events},
        report,
    };

    /// Add-ons by name, each with those that it needs.
    fn addons(edges: &[(&str, &[&str])]) -> Vec<Desired> {
        let one = |(name, needs): &(&str, &[&str])| {
            let mut desired = nothing(name, "n");
            desired.needs = needs.iter().map(ToString::to_string).collect();
            desired
        };
        sorted(edges.iter().map(one).collect())
    }

    fn failure() -> Outcome {
        Outcome::Failed(Failure {
            host: "cp1".into(),
            role: "addon".into(),
            step: "install chart".into(),
            what: "helm ended with status 1".into(),
            output: Vec::new(),
            cause: None,
            next: "mend it".into(),
        })
    }

    /// Add-ons that are at work until the test ends them.
    #[derive(Default)]
    struct Scripted {
        at_work: RefCell<BTreeMap<String, oneshot::Sender<Outcome>>>,
        /// Whoever was begun, in that order.
        begun: RefCell<Vec<String>>,
    }

    impl Scripted {
        fn one(&self, addon: &Desired) -> impl Future<Output = Outcome> + use<> {
            let (end, ended) = oneshot::channel();
            self.begun.borrow_mut().push(addon.name.clone());
            self.at_work.borrow_mut().insert(addon.name.clone(), end);
            async { ended.await.unwrap() }
        }

        fn names(&self) -> Vec<String> {
            self.at_work.borrow().keys().cloned().collect()
        }

        fn end(&self, name: &str, outcome: Outcome) {
            self.at_work.borrow_mut().remove(name).unwrap().send(outcome).unwrap();
        }

        /// Plays `script`: who is at work each time, whom the test ends then, and whether well.
        async fn play(&self, addons: &[Desired], forks: usize, script: &[(&[&str], &str, bool)]) -> Ended {
            let (events, _listener) = events();
            let (mut ended, all) = (Ended::default(), addons.iter().collect::<Vec<_>>());
            {
                let mut taken = pin!(take(&all, forks, &events, &mut ended, |addon| self.one(addon)));
                for (at_work, next, well) in script {
                    // One look without a wait: whoever can be begun has been, and nobody ends by itself.
                    let looked = poll_fn(|context| Poll::Ready(taken.as_mut().poll(context))).await;
                    assert!(looked.is_pending());
                    assert_eq!(self.names(), *at_work, "before {next} ends");
                    self.end(next, if *well { Outcome::Converged { changes: 1 } } else { failure() });
                }
                taken.await;
            }
            ended
        }
    }

    /// What a small company has: two that need the network, one that needs one of them, and one that needs nobody.
    const STACK: &[(&str, &[&str])] = &[
        ("ingress", &["metallb", "certs"]),
        ("metallb", &["cilium"]),
        ("certs", &["cilium"]),
        ("cilium", &[]),
        ("metrics", &["gone"]),
    ];

    #[tokio::test]
    async fn each_begins_as_soon_as_those_before_it_are_done_and_the_others_overlap() {
        let scripted = Scripted::default();
        let ended = scripted
            .play(
                &addons(STACK),
                8,
                &[
                    (&["cilium", "metrics"], "cilium", true),
                    // These two are at work at the same time, beside the one that needs nobody.
                    (&["certs", "metallb", "metrics"], "metallb", true),
                    (&["certs", "metrics"], "certs", true),
                    (&["ingress", "metrics"], "metrics", true),
                    (&["ingress"], "ingress", true),
                ],
            )
            .await;
        assert_eq!((ended.unfinished(), ended.changes()), (Vec::new(), 5));
    }

    #[tokio::test]
    async fn no_more_are_at_work_than_may_be() {
        for (forks, at_work) in [(0, 1), (1, 1), (2, 2)] {
            let (scripted, all) = (Scripted::default(), addons(&[("a", &[]), ("b", &[]), ("c", &[])]));
            let first = &["a", "b"][..at_work];
            let second = if at_work == 1 { &["b"][..] } else { &["b", "c"][..] };
            let script = [(first, "a", true), (second, "b", true), (&["c"], "c", true)];
            assert_eq!(scripted.play(&all, forks, &script).await.changes(), 3, "{forks}");
            assert_eq!(*scripted.begun.borrow(), ["a", "b", "c"]);
        }
    }

    #[tokio::test]
    async fn a_failure_stops_only_what_needs_it_and_the_report_says_what_was_not_begun() {
        let edges: &[(&str, &[&str])] =
            &[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &[]), ("e", &["d"])];
        let scripted = Scripted::default();
        let script: [(&[&str], &str, bool); 3] =
            [(&["a", "d"], "a", false), (&["d"], "d", true), (&["e"], "e", true)];
        let ended = scripted.play(&addons(edges), 8, &script).await;
        assert_eq!(*scripted.begun.borrow(), ["a", "d", "e"], "neither b nor c");
        let mut unfinished = ended.unfinished();
        unfinished.sort();
        assert_eq!(unfinished, ["a", "b", "c"]);
        let told = report::run::failures(&ended.outcomes);
        for line in [
            "addon: install chart: helm ended with status 1",
            "b: addon b: install it: not begun, because of a",
            "c: addon c: install it: not begun, because of b",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        assert!(!told.contains("d:") && !told.contains("e:"), "{told}");
    }

    #[tokio::test]
    async fn what_only_comes_after_one_that_fails_waits_for_its_end_and_is_begun() {
        let mut all = addons(&[("ingress-nginx", &[]), ("monitoring", &[]), ("boards", &["ingress-nginx"])]);
        for name in ["monitoring", "registry"] {
            let mut later = nothing(name, "n");
            let library = crate::engine::Library::default();
            later.definition.after = crate::addon::definition(&library, name).unwrap().after;
            all.retain(|addon| addon.name != name);
            all.push(later);
        }
        // Who comes after one that was not begun is begun, too.
        all[2].definition.after.push("boards".into());
        let scripted = Scripted::default();
        let script: [(&[&str], &str, bool); 3] = [
            (&["ingress-nginx"], "ingress-nginx", false),
            (&["monitoring", "registry"], "registry", true),
            (&["monitoring"], "monitoring", true),
        ];
        let mut unfinished = scripted.play(&sorted(all), 8, &script).await.unfinished();
        unfinished.sort();
        assert_eq!(unfinished, ["boards", "ingress-nginx"]);
    }

    #[tokio::test]
    async fn what_failed_before_nodes_were_ready_stops_what_needs_it() {
        let (scripted, (events, mut listener)) = (Scripted::default(), events());
        let all = addons(&[("metallb", &["cilium"]), ("ingress", &["metallb"])]);
        let mut ended = Ended { outcomes: vec![("cilium".into(), failure())] };
        take(&all.iter().collect::<Vec<_>>(), 8, &events, &mut ended, |addon| scripted.one(addon)).await;
        assert!(scripted.begun.borrow().is_empty());
        let expected = [("metallb", "cilium"), ("ingress", "metallb")];
        for (addon, by) in expected.map(|(addon, by)| (addon.to_owned(), by.to_owned())) {
            assert_eq!(listener.try_recv().unwrap(), Event::AddonBlocked { addon, by });
        }
    }
}
