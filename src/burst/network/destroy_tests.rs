//! What is taken away, and when nothing is.

use std::sync::Mutex;

use super::*;
use crate::burst::network::recorded::{Recorded, event, network};

const FAST: Pace = Pace { every: Duration::ZERO, patience: Duration::from_millis(300) };

/// What each look shows; the last stays.
struct Shown(Mutex<Vec<Vec<Tagged>>>);

impl Shown {
    fn new(looks: &[&[(&str, &str)]]) -> Shown {
        let one = |&(kind, id): &(&str, &str)| Tagged { kind: kind.into(), id: id.into() };
        Shown(Mutex::new(looks.iter().rev().map(|look| look.iter().map(one).collect()).collect()))
    }
}

#[async_trait]
impl Carriers for Shown {
    async fn carriers(&self, cluster: &str) -> Result<Vec<Tagged>, CloudError> {
        assert_eq!(cluster, "office-burst");
        let mut looks = self.0.lock().unwrap();
        Ok(if looks.len() > 1 { looks.pop().unwrap() } else { looks[0].clone() })
    }
}

fn run(stacks: &Recorded, carriers: &Shown) -> Result<Vec<Tagged>, StackFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(destroy(stacks, carriers, &network(), FAST, &|_| ()))
}

#[test]
fn a_stack_is_deleted_from_every_state() {
    for (looks, orders) in [
        (&[("CREATE_COMPLETE", "x"), ("DELETE_IN_PROGRESS", "x"), ("-", "")][..], &["delete"][..]),
        (
            &[("UPDATE_IN_PROGRESS", "x"), ("UPDATE_COMPLETE", "x"), ("DELETE_IN_PROGRESS", ""), ("-", "")],
            &["delete"],
        ),
        (&[("DELETE_IN_PROGRESS", "x"), ("DELETE_COMPLETE", "")], &[]),
        (&[("DELETE_FAILED", "x"), ("DELETE_IN_PROGRESS", "x"), ("-", "")], &["delete"]),
        (&[("UPDATE_ROLLBACK_FAILED", "x"), ("-", "")], &["delete"]),
        (&[("-", "")], &[]),
    ] {
        let stacks = Recorded::new(looks);
        // EC2 shows for a while what is gone.
        let carriers = Shown::new(&[&[("vpc", "vpc-1")], &[("vpc", "vpc-1")], &[]]);
        assert_eq!(run(&stacks, &carriers).unwrap(), []);
        assert_eq!(stacks.orders(), orders, "{looks:?}");
    }
}

#[test]
fn nothing_is_taken_from_under_an_instance() {
    let stacks = Recorded::new(&[("CREATE_COMPLETE", "x")]);
    let error = run(&stacks, &Shown::new(&[&[("vpc", "vpc-1"), ("instance", "i-1")]])).unwrap_err();
    assert_eq!(error.to_string(), "instances of office-burst are there still: i-1");
    assert!(stacks.orders().is_empty());
}

#[test]
fn what_is_left_is_told() {
    let stacks = Recorded::new(&[("CREATE_COMPLETE", "x"), ("-", "")]);
    let carriers = Shown::new(&[&[("volume", "vol-1"), ("security-group", "sg-1")]]);
    let left: Vec<String> = run(&stacks, &carriers).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(left, ["security-group sg-1", "volume vol-1"]);
}

#[test]
fn a_stack_that_cannot_be_deleted_is_told_with_its_reason() {
    let looks = [("CREATE_COMPLETE", "x"), ("DELETE_IN_PROGRESS", "x"), ("DELETE_FAILED", "x")];
    let events = vec![
        event(3, "the stack", "DELETE_FAILED", "The following resource(s) failed to delete: [Vpc]."),
        event(2, "Vpc", "DELETE_FAILED", "The vpc 'vpc-1' has dependencies and cannot be deleted."),
        event(1, "the stack", "DELETE_IN_PROGRESS", "User Initiated"),
    ];
    let hidden_events = Mutex::new(events.len());
    let stacks = Recorded { events, hidden_events, ..Recorded::new(&looks) };
    let error = run(&stacks, &Shown::new(&[&[]])).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("Vpc (AWS::EC2::VPC): The vpc 'vpc-1' has dependencies and cannot be deleted.")
    );
    assert_eq!(stacks.orders(), ["delete"]);
}

#[test]
fn what_stands_is_told_and_nothing_is_done_about_it() {
    let stands = |looks: &[(&str, &str)], shown: &[(&str, &str)]| {
        let (stacks, carriers) = (Recorded::new(looks), Shown::new(&[shown]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let standing = runtime.block_on(standing(&stacks, &carriers, &network())).unwrap();
        assert!(stacks.orders().is_empty());
        standing.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let stack = "stack hoist-burst-office-burst";
    assert_eq!(stands(&[("-", "")], &[]), [""; 0]);
    assert_eq!(stands(&[("DELETE_COMPLETE", "")], &[("vpc", "vpc-1")]), ["vpc vpc-1"]);
    let both = [("vpc", "vpc-1"), ("elastic-ip", "eipalloc-1")];
    assert_eq!(stands(&[("CREATE_COMPLETE", "x")], &both), [stack, "elastic-ip eipalloc-1", "vpc vpc-1"]);
}

/// Of a network that the inventory calls somebody else's, beside a stack that shows this.
fn beside_somebody_elses(stacks: &Recorded) -> Vec<String> {
    let existing = crate::inventory::ExistingNetwork {
        subnets: vec!["subnet-1".into()],
        security_groups: vec!["sg-1".into()],
        instance_profile: None,
        kms_key: None,
    };
    let network = Network { existing: Some(existing), ..network() };
    // What is in their network is not looked at.
    let carriers = Shown::new(&[&[("vpc", "vpc-1")]]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let standing = runtime.block_on(standing(stacks, &carriers, &network)).unwrap();
    standing.iter().map(ToString::to_string).collect()
}

#[test]
fn a_stack_from_before_the_network_was_somebody_elses_is_told() {
    let told = "stack hoist-burst-office-burst";
    for (status, expected) in
        [("CREATE_COMPLETE", &[told][..]), ("DELETE_FAILED", &[told]), ("DELETE_COMPLETE", &[]), ("-", &[])]
    {
        assert_eq!(beside_somebody_elses(&Recorded::new(&[(status, "x")])), expected, "{status}");
    }
    let denied =
        Recorded { denied: Some(crate::burst::cloud::Order::DescribeStacks), ..Recorded::new(&[("-", "")]) };
    let unknown = beside_somebody_elses(&denied);
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].starts_with(&format!("{told}, unless there is none: CloudFormation refused")));
}
