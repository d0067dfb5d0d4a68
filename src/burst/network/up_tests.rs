//! Every state in which CloudFormation may be found.

use std::{sync::Mutex, time::Duration};

use super::*;
use crate::{
    burst::{
        cloud::Order,
        network::recorded::{Recorded, event, network, outputs},
    },
    exit::Exit,
};

const FAST: Pace = Pace { every: Duration::ZERO, patience: Duration::from_secs(60) };

fn wanted() -> String {
    digest(&document(&Library::default(), &network(), Format::Cloudformation).unwrap())
}

fn run(stacks: &Recorded, pace: Pace) -> Result<(Outcome, Made), StackFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(up(stacks, &Library::default(), &network(), pace, &|_| ()))
}

/// `=` stands for the digest that is wanted.
fn recorded(looks: &[(&str, &str)]) -> Recorded {
    let wanted = wanted();
    let filled: Vec<(&str, &str)> = looks
        .iter()
        .map(|(status, digest)| (*status, if *digest == "=" { wanted.as_str() } else { digest }))
        .collect();
    Recorded::new(&filled)
}

#[test]
fn from_every_state_to_the_network() {
    let old = "old";
    for (looks, orders, outcome) in [
        (
            &[("-", ""), ("CREATE_IN_PROGRESS", ""), ("CREATE_COMPLETE", "=")][..],
            &["create"][..],
            Outcome::Made,
        ),
        (&[("CREATE_COMPLETE", "=")], &[], Outcome::Nothing),
        (&[("UPDATE_COMPLETE", "=")], &[], Outcome::Nothing),
        // Somebody else's run, or one that was killed.
        (&[("CREATE_IN_PROGRESS", ""), ("CREATE_COMPLETE", "=")], &[], Outcome::Nothing),
        (
            &[
                ("CREATE_IN_PROGRESS", ""),
                ("CREATE_COMPLETE", old),
                ("UPDATE_IN_PROGRESS", old),
                ("UPDATE_COMPLETE", "="),
            ],
            &["update"],
            Outcome::Changed,
        ),
        (
            &[
                ("CREATE_COMPLETE", old),
                ("UPDATE_IN_PROGRESS", old),
                ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "="),
                ("UPDATE_COMPLETE", "="),
            ],
            &["update"],
            Outcome::Changed,
        ),
        // What CloudFormation tells lags: it is not asked for a change twice.
        (
            &[("CREATE_COMPLETE", old), ("CREATE_COMPLETE", old), ("UPDATE_COMPLETE", "=")],
            &["update"],
            Outcome::Changed,
        ),
        // A change that failed the last time.
        (&[("UPDATE_ROLLBACK_COMPLETE", "=")], &[], Outcome::Nothing),
        (&[("UPDATE_ROLLBACK_COMPLETE", old), ("UPDATE_COMPLETE", "=")], &["update"], Outcome::Changed),
        // A making that failed the last time: there is nothing in it.
        (
            &[("ROLLBACK_COMPLETE", ""), ("DELETE_IN_PROGRESS", ""), ("-", ""), ("CREATE_COMPLETE", "=")],
            &["delete", "create"],
            Outcome::Made,
        ),
        (
            &[("DELETE_IN_PROGRESS", "="), ("-", ""), ("CREATE_IN_PROGRESS", ""), ("CREATE_COMPLETE", "=")],
            &["create"],
            Outcome::Made,
        ),
    ] {
        let stacks = recorded(looks);
        let (did, made) = run(&stacks, FAST).unwrap();
        assert_eq!((stacks.orders(), did), (orders.to_vec(), outcome), "{looks:?}");
        assert_eq!(made.subnets["eu-central-1c"], "subnet-3");
        let gateway = made.gateway.unwrap();
        assert_eq!((gateway.zone.as_str(), gateway.interface.as_str()), ("eu-central-1a", "eni-1"));
    }
}

#[test]
fn no_updates_is_no_error() {
    let stacks = Recorded { nothing_to_do: true, ..recorded(&[("CREATE_COMPLETE", "old")]) };
    assert_eq!(run(&stacks, FAST).unwrap().0, Outcome::Nothing);
}

#[test]
fn what_ends_badly_is_told_with_aws_own_reasons_and_not_begun_again() {
    let failed = |begun: &str, status: &str| {
        vec![
            event(9, "the stack", status, ""),
            event(8, "InternetGateway", "CREATE_FAILED", "Resource creation cancelled"),
            event(7, "Vpc", "CREATE_FAILED", "The maximum number of VPCs has been reached."),
            event(6, "the stack", begun, "User Initiated"),
            event(5, "Vpc", "CREATE_FAILED", "an old one"),
        ]
    };
    for (looks, orders, begun, status) in [
        (
            &[("-", ""), ("CREATE_IN_PROGRESS", ""), ("ROLLBACK_IN_PROGRESS", ""), ("ROLLBACK_COMPLETE", "")]
                [..],
            &["create"][..],
            "CREATE_IN_PROGRESS",
            "ROLLBACK_COMPLETE",
        ),
        (
            &[
                ("CREATE_COMPLETE", "old"),
                ("UPDATE_ROLLBACK_IN_PROGRESS", "old"),
                ("UPDATE_ROLLBACK_COMPLETE", "old"),
            ],
            &["update"],
            "UPDATE_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE",
        ),
        (
            &[("ROLLBACK_COMPLETE", ""), ("DELETE_IN_PROGRESS", ""), ("DELETE_FAILED", "")],
            &["delete"],
            "DELETE_IN_PROGRESS",
            "DELETE_FAILED",
        ),
    ] {
        let events = failed(begun, status);
        // They happen while it is waited for.
        let hidden_events = Mutex::new(events.len());
        let stacks = Recorded { events, hidden_events, ..recorded(looks) };
        let error = run(&stacks, FAST).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "CloudFormation ended with {status}:\n  Vpc (AWS::EC2::VPC): The maximum number of VPCs has been reached."
            )
        );
        assert_eq!((stacks.orders(), error.exit()), (orders.to_vec(), Exit::Failed));
    }
}

#[test]
fn a_failure_that_no_look_saw_happen_is_known_by_its_events() {
    let events = vec![
        event(2, "the stack", "ROLLBACK_COMPLETE", ""),
        event(1, "Vpc", "CREATE_FAILED", "no"),
        event(0, "the stack", "CREATE_IN_PROGRESS", "User Initiated"),
    ];
    let hidden_events = Mutex::new(events.len());
    let looks = [("-", ""), ("ROLLBACK_COMPLETE", "")];
    let stacks = Recorded { events, hidden_events, ..recorded(&looks) };
    let error = run(&stacks, FAST).unwrap_err();
    assert!(matches!(error, StackFailure::Failed { .. }), "{error}");
    assert_eq!(stacks.orders(), ["create"]);
}

#[test]
fn nobody_waits_for_ever() {
    let pace = Pace { patience: Duration::ZERO, ..FAST };
    let error = run(&recorded(&[("UPDATE_IN_PROGRESS", "old")]), pace).unwrap_err();
    assert!(error.to_string().contains("UPDATE_IN_PROGRESS"), "{error}");
    assert_eq!(error.exit(), Exit::Temporary);
}

#[test]
fn what_only_a_person_can_mend_is_left_alone() {
    let looks = [("UPDATE_ROLLBACK_FAILED", "old")];
    let stacks = recorded(&looks);
    assert!(matches!(run(&stacks, FAST).unwrap_err(), StackFailure::Stuck { .. }));
    assert!(stacks.orders().is_empty());
    let contested =
        recorded(&[("CREATE_COMPLETE", "old"), ("UPDATE_IN_PROGRESS", "old"), ("UPDATE_COMPLETE", "other")]);
    assert!(matches!(run(&contested, FAST).unwrap_err(), StackFailure::Contested { .. }));
}

#[test]
fn a_refusal_names_the_action_and_ends_the_run() {
    let stacks = Recorded { denied: Some(Order::CreateStack), ..recorded(&[("-", "")]) };
    let error = run(&stacks, FAST).unwrap_err();
    assert_eq!(error.exit(), Exit::Permission);
    assert_eq!(error.to_string(), "CloudFormation refused CreateStack: AccessDenied: not authorized");
    use miette::Diagnostic as _;
    assert!(error.help().unwrap().to_string().contains("cloudformation:CreateStack"));
}

#[test]
fn an_output_that_is_missing_is_named() {
    let mut without = outputs("x");
    without.remove("GatewayInterface");
    let error = Made::read(&network(), &without).unwrap_err();
    assert_eq!(error.to_string(), "the stack hoist-burst-office-burst has no output GatewayInterface");
}

#[test]
fn where_a_network_is_there_already_none_is_made() {
    let existing = crate::inventory::ExistingNetwork {
        subnets: vec!["subnet-7".into()],
        security_groups: vec!["sg-7".into()],
        instance_profile: None,
        kms_key: None,
    };
    let network = Network { existing: Some(existing), ..network() };
    let stacks = recorded(&[("-", "")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let error = runtime.block_on(up(&stacks, &Library::default(), &network, FAST, &|_| ())).unwrap_err();
    assert_eq!((error.exit(), stacks.orders()), (Exit::Data, vec![]));
}

#[test]
fn zones_that_the_region_does_not_have_are_named_with_those_that_it_has() {
    let there = |letters: &str| -> Vec<String> {
        letters.chars().map(|letter| format!("eu-central-1{letter}")).collect()
    };
    assert!(in_zones(&network(), &there("abcd")).is_ok());
    let error = in_zones(&network(), &there("acd")).unwrap_err();
    assert_eq!(error.to_string(), "eu-central-1 has no zone eu-central-1b");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("`burst.zones`") && help.ends_with("eu-central-1a, eu-central-1c, eu-central-1d"));
    assert_eq!(error.exit(), crate::exit::Exit::Data);
}
