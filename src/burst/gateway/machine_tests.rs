//! The edges of the gateway's life, one by one.

use super::*;
use crate::burst::cloud::{Order, RunInstances, UserData};

fn wanted(script: &str) -> Wanted {
    let user_data = UserData::new(script.into()).unwrap();
    let request = serde_json::json!({
        "ClientToken": "", "ImageId": "ami-1", "InstanceType": "t4g.nano", "SubnetId": "subnet-9",
        "SecurityGroupIds": [], "NetworkInterface": "eni-1", "IamInstanceProfile": null, "UserData": user_data,
        "Spot": false, "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "Root": {
            "DeviceName": "/dev/xvda", "VolumeSize": 8, "VolumeType": "gp3", "Encrypted": true, "KmsKeyId": null,
            "DeleteOnTermination": true,
        },
        "Tags": {},
    });
    let request: RunInstances = serde_json::from_value(request).unwrap();
    Wanted::new("8c1f".into(), "a key".into(), request)
}

fn at(seconds: u64) -> Time {
    Time(1_000_000 + seconds * 1000)
}

fn instance(id: &str, attempt: u32, state: State) -> Instance {
    Instance {
        id: id.into(),
        state,
        reason: None,
        launched: at(0),
        client_token: wanted("1").request(attempt).client_token,
        address: None,
        claim: Some("gateway".into()),
    }
}

fn seen(instances: &[Instance]) -> Seen {
    Seen { instances: instances.to_vec(), impaired: false }
}

/// The first attempt, running as `i-1`.
fn running() -> Record {
    let first = next(&Record::default(), Some(&wanted("1")), &Seen::default(), at(0));
    assert!(first.launch && first.record.attempt == 1);
    answered(&first.record, &Ok(instance("i-1", 1, State::Pending)), at(1))
}

#[test]
fn one_that_runs_is_left_alone() {
    let up = seen(&[instance("i-1", 1, State::Running)]);
    let after = next(&running(), Some(&wanted("1")), &up, at(1000));
    assert_eq!(after, Next { record: running(), launch: false, terminate: vec![] });
}

#[test]
fn a_launch_that_was_not_answered_is_sent_again_as_it_was_and_more_slowly() {
    let mut record = next(&Record::default(), Some(&wanted("1")), &Seen::default(), at(0)).record;
    let request = record.launch.clone().unwrap().request;
    let cut = Err(CloudError::unanswered(Order::RunInstances, "cut"));
    let mut times = Vec::new();
    for second in 0..200 {
        // Whatever is wanted by now.
        let after = next(&record, None, &Seen::default(), at(second));
        record = after.record;
        if after.launch {
            times.push(second);
            record = answered(&record, &cut, at(second));
        }
        assert_eq!(record.launch.as_ref().unwrap().request, request);
    }
    assert_eq!(times, [2, 6, 14, 30, 62, 122, 182]);
    // It was made after all, and nobody wants it.
    let shown = seen(&[instance("i-1", 1, State::Running)]);
    let after = next(&record, None, &shown, at(201));
    assert_eq!((after.terminate, after.record.launch), (vec!["i-1".to_owned()], None));
}

#[test]
fn one_that_ended_is_replaced_at_once_and_one_that_is_ending_when_it_has() {
    let ended = next(&running(), Some(&wanted("1")), &seen(&[instance("i-1", 1, State::Terminated)]), at(9));
    assert!(ended.launch && ended.record.attempt == 2, "{ended:?}");
    let mut record = running();
    for (second, state, launches) in
        [(9, State::ShuttingDown, false), (20, State::ShuttingDown, false), (30, State::Terminated, true)]
    {
        let after = next(&record, Some(&wanted("1")), &seen(&[instance("i-1", 1, state)]), at(second));
        assert_eq!((after.launch, after.terminate), (launches, vec![]), "{second}");
        record = after.record;
    }
    assert_eq!(record.short, 1, "it counts on its way, and not again at its end");
    // A stopped one costs, and does nothing.
    let stopped = next(&running(), Some(&wanted("1")), &seen(&[instance("i-1", 1, State::Stopped)]), at(9));
    assert_eq!((stopped.launch, stopped.terminate), (false, vec!["i-1".to_owned()]));
}

#[test]
fn one_whose_checks_fail_for_half_a_minute_is_replaced() {
    let (up, mut record) = (seen(&[instance("i-1", 1, State::Running)]), running());
    let bad = Seen { impaired: true, ..up.clone() };
    record = next(&record, Some(&wanted("1")), &bad, at(10)).record;
    record = next(&record, Some(&wanted("1")), &up, at(20)).record;
    record = next(&record, Some(&wanted("1")), &bad, at(30)).record;
    let still = next(&record, Some(&wanted("1")), &bad, at(59));
    assert!(still.terminate.is_empty());
    let after = next(&still.record, Some(&wanted("1")), &bad, at(60));
    assert_eq!((after.launch, after.terminate), (false, vec!["i-1".to_owned()]));
}

#[test]
fn another_configuration_is_another_gateway_after_the_first_has_ended() {
    let up = seen(&[instance("i-1", 1, State::Running)]);
    let early = next(&running(), Some(&wanted("2")), &up, at(119));
    assert_eq!((early.launch, early.terminate), (false, vec![]), "each change cuts workers off");
    let after = next(&running(), Some(&wanted("2")), &up, at(120));
    assert_eq!((after.launch, after.terminate), (false, vec!["i-1".to_owned()]));
    let waits = next(&after.record, Some(&wanted("2")), &up, at(122));
    assert_eq!((waits.launch, waits.terminate), (false, vec![]), "it was asked for");
    let gone =
        next(&waits.record, Some(&wanted("2")), &seen(&[instance("i-1", 1, State::Terminated)]), at(160));
    assert!(gone.launch && gone.record.attempt == 2);
    assert_eq!(gone.record.launch.unwrap().configuration, wanted("2").configuration());
}

#[test]
fn one_that_ec2_does_not_show_for_a_minute_is_told_to_end_and_replaced() {
    let mut record = running();
    let mut ends = Vec::new();
    for second in (10..100).step_by(5) {
        let after = next(&record, Some(&wanted("1")), &Seen::default(), at(second));
        ends.extend((!after.terminate.is_empty()).then_some(second));
        record = after.record;
        if after.launch {
            // What hides still holds the interface.
            let held = CloudError::answered(Order::RunInstances, 400, IN_USE, "eni-1 is in use");
            record = answered(&record, &Err(held), at(second));
        }
    }
    assert_eq!(ends, [70, 80, 90]);
    assert!(record.attempt > 2 && record.refused.is_none(), "{record:?}");
}

#[test]
fn what_has_its_name_and_is_not_it_is_ended() {
    let stray = instance("i-7", 9, State::Running);
    let up = seen(&[instance("i-1", 1, State::Running), stray.clone()]);
    let after = next(&running(), Some(&wanted("1")), &up, at(9));
    assert_eq!((after.launch, after.terminate), (false, vec!["i-7".to_owned()]));
    assert_eq!(after.record.instance(), Some("i-1"));
    // The same from a record that was lost.
    let lost = next(&Record::default(), Some(&wanted("1")), &seen(&[stray]), at(9));
    assert_eq!((lost.launch, lost.terminate), (false, vec!["i-7".to_owned()]));
}

#[test]
fn a_refusal_that_somebody_has_to_cure_waits_for_that_and_others_for_half_a_minute() {
    let begun = next(&Record::default(), Some(&wanted("1")), &Seen::default(), at(0)).record;
    let refused = |status, code| {
        let error = CloudError::answered(Order::RunInstances, status, code, "no");
        answered(&begun, &Err(error), at(1))
    };
    let denied = refused(403, "UnauthorizedOperation");
    assert!(!next(&denied, Some(&wanted("1")), &Seen::default(), at(900)).launch);
    assert!(
        next(&denied, Some(&wanted("1")), &Seen::default(), at(901)).launch,
        "it may have been cured elsewhere"
    );
    assert!(denied.refused.as_ref().unwrap().reason.contains("UnauthorizedOperation"));
    assert!(next(&denied, Some(&wanted("2")), &Seen::default(), at(2)).launch);
    let short = refused(500, "InsufficientInstanceCapacity");
    assert!(!next(&short, Some(&wanted("1")), &Seen::default(), at(30)).launch);
    let again = next(&short, Some(&wanted("1")), &Seen::default(), at(31));
    assert!(again.launch && again.record.attempt == 2);
    // A clock that was set back holds nothing up.
    assert!(next(&short, Some(&wanted("1")), &Seen::default(), Time(0)).launch);
}

/// Seconds at which one was asked for, when each begins to end as soon as it is there, and the record in the end. `ways`: what
/// EC2 shows of each, second by second.
fn launches_of_short_ones(ways: &[State]) -> (Vec<u64>, Record) {
    let (mut record, mut launches, mut shown) = (Record::default(), Vec::new(), 0);
    for second in 0..3000 {
        let (attempt, reason) = (record.attempt, Some("Client.VolumeLimitExceeded".into()));
        let of = |state: &State| Instance { reason, ..instance(&format!("i-{attempt}"), attempt, *state) };
        let instances: Vec<Instance> = ways.get(shown).map(of).into_iter().filter(|_| attempt > 0).collect();
        shown += 1;
        let after = next(&record, Some(&wanted("1")), &seen(&instances), at(second));
        assert_eq!(after.terminate, [""; 0]);
        record = after.record;
        if after.launch {
            launches.push(second);
            let given = instance(&format!("i-{}", record.attempt), record.attempt, State::Pending);
            (record, shown) = (answered(&record, &Ok(given), at(second)), 0);
        }
    }
    (launches, record)
}

#[test]
fn those_that_end_soon_are_replaced_more_and_more_slowly() {
    let (launches, record) = launches_of_short_ones(&[State::Terminated]);
    assert_eq!(launches, [0, 1, 12, 33, 74, 155, 316, 637, 1278, 1919, 2560]);
    assert_eq!(record.ended.as_deref(), Some("Client.VolumeLimitExceeded"));
    // What powers itself off is seen on its way; it counts once.
    let (launches, powered) =
        launches_of_short_ones(&[State::ShuttingDown, State::ShuttingDown, State::Terminated]);
    assert_eq!(launches, [0, 3, 14, 35, 76, 157, 318, 639, 1280, 1921, 2562]);
    assert_eq!(powered.ended.as_deref(), Some("Client.VolumeLimitExceeded"));
    assert_eq!(powered.short, record.short);
    // One that has lasted ends by accident.
    let lasted = Record { launch: running().launch, ..record };
    let after = next(&lasted, Some(&wanted("1")), &seen(&[instance("i-1", 1, State::Terminated)]), at(9000));
    assert_eq!((after.launch, after.record.short), (true, 0));
}

#[test]
fn a_token_whose_instance_is_forgotten_makes_room_for_the_next_attempt() {
    let asked = next(&Record::default(), Some(&wanted("1")), &Seen::default(), at(0)).record;
    let error = CloudError::answered(Order::RunInstances, 400, "IdempotentInstanceTerminated", "terminated");
    let after = answered(&asked, &Err(error), at(4000));
    assert_eq!((&after.launch, &after.refused), (&None, &None));
    let again = next(&after, Some(&wanted("1")), &Seen::default(), at(4001));
    assert_eq!((again.launch, again.record.attempt), (true, 2));
}

#[test]
fn a_record_is_read_back_and_tells_no_secret() {
    let record = next(&Record::default(), Some(&wanted("k3y")), &Seen::default(), at(0)).record;
    let read: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(read, record);
    assert!(!format!("{record:?}").contains("k3y"));
}

#[test]
fn without_one_that_is_wanted_nothing_is_left() {
    let up = seen(&[instance("i-1", 1, State::Running)]);
    let ends = next(&running(), None, &up, at(9));
    assert_eq!((ends.launch, ends.terminate), (false, vec!["i-1".to_owned()]));
    let gone = next(&ends.record, None, &seen(&[instance("i-1", 1, State::Terminated)]), at(50));
    assert!(gone.record.is_nothing() && !gone.launch);
}
