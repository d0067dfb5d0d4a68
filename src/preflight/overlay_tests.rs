//! Answers about tunnels and what is found.

use super::*;
use crate::preflight::Severity::{self, Error, Ok, Skipped};

fn said(mode: Mode, lines: &[(&str, Option<Step>)]) -> Vec<(Severity, String)> {
    let tried = lines.iter().filter_map(|(line, software)| {
        Some(Tried { software: *software, ..parse("cp1", &["cp1", "w1", "w2"], line)? })
    });
    let findings = judge(mode, &tried.collect::<Vec<_>>());
    findings.into_iter().map(|finding| (finding.severity, finding.observed)).collect()
}

#[test]
fn ping_works_and_tcp_dies() {
    let fine = said(Mode::Vxlan, &[("tried 1 answered full", None), ("tried 2 silent full", None)]);
    assert_eq!(fine, [(Ok, "256 KiB came back from w1, w2".into())]);
    for (line, software, says) in [
        ("tried 1 answered none", None, "ping passes and TCP does not"),
        ("tried 1 answered none", Some(Step::None), "ping passes and TCP does not"),
        ("tried 1 answered none", Some(Step::Full), "offload spoils"),
        ("tried 1 answered small", Some(Step::Full), "offload spoils"),
        ("tried 1 answered small", Some(Step::Small), "large ones do not"),
        ("tried 1 answered connected", None, "large ones do not"),
        ("tried 1 silent none", Some(Step::None), "nothing comes through"),
        ("tried 1 untried none", None, "nothing comes through"),
    ] {
        let [(severity, observed)] = &said(Mode::Vxlan, &[(line, software)])[..] else { panic!("{line}") };
        assert!(*severity == Error && observed.contains(says), "{line} {software:?}: {observed}");
    }
}

#[test]
fn without_a_tunnel() {
    let some = [("tried 1 answered small", None), ("tried 2 answered none", None), ("nonsense", None)];
    assert_eq!(
        said(Mode::Plain, &some),
        [
            (Error, "to w1: a connection is made, but large packets are lost".into()),
            (Skipped, "nobody answers on TCP port 10250 of w2: see `ports`".into())
        ]
    );
}
