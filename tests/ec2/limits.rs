//! What an account, a zone and a subnet have no more of, and how EC2 tells of what it has.

use std::time::Duration;

use hoist::burst::{
    aws::Ec2,
    cloud::{Cloud as _, Kind, RunInstances, State},
    offer::Capacity,
};

use super::inner::{CLUSTER, REGION, Raw, request, template};

#[tokio::test]
#[ignore = "run by the test of limits"]
async fn all() {
    let (raw, ec2) = (Raw::new().await, Ec2::connect(REGION, CLUSTER).await);
    let (subnet, group) = raw.network().await;
    let template = template(&raw.image().await, &subnet, &group);
    let wanted = request(&template, "burst-1", Capacity::OnDemand);

    // EC2 shows it later than it has it, and it runs later still.
    let launched = ec2.launch(&wanted).await.unwrap();
    assert_eq!(launched.state, State::Pending);
    assert_eq!(ec2.instances().await.unwrap(), [], "not yet");
    assert_eq!(ec2.launch(&wanted).await.unwrap().id, launched.id, "and is no second one");
    let mut states = Vec::new();
    while states.last() != Some(&State::Running) {
        assert!(states.len() < 100, "{states:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        states.extend(ec2.instances().await.unwrap().iter().map(|it| it.state));
    }
    assert_eq!(states[0], State::Pending);
    ec2.terminate(std::slice::from_ref(&launched.id)).await.unwrap();
    assert_eq!(ec2.instances().await.unwrap()[0].state, State::Running, "as it was a moment ago");

    // Each of another type, or a quota would come first.
    let of = |name: &str, instance_type: &str, capacity| {
        let instance_type = instance_type.to_owned();
        RunInstances { instance_type, ..request(&template, name, capacity) }
    };
    // What another quota counts takes nothing of this one.
    let error = ec2.launch(&of("burst-8", "x1e.xlarge", Capacity::Spot)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Quota, "MaxSpotInstanceCountExceeded"));
    let on_credits = RunInstances {
        credit_specification: Some("standard".into()),
        ..of("burst-9", "m5.large", Capacity::Spot)
    };
    let error = ec2.launch(&on_credits).await.unwrap_err();
    assert_eq!(error.code, "InstanceCreditSpecification.NotSupported");
    ec2.launch(&of("burst-2", "m5.large", Capacity::Spot)).await.unwrap();
    let full = raw.full_subnet().await;
    let refused = [
        (of("burst-3", "c5.large", Capacity::Spot), Kind::Capacity, "InsufficientInstanceCapacity"),
        (of("burst-4", "m5.large", Capacity::Spot), Kind::Quota, "MaxSpotInstanceCountExceeded"),
        (of("burst-5", "m5.2xlarge", Capacity::OnDemand), Kind::Quota, "VcpuLimitExceeded"),
        (
            RunInstances { subnet_id: full, ..of("burst-6", "m5.large", Capacity::OnDemand) },
            Kind::FullSubnet,
            "InsufficientFreeAddressesInSubnet",
        ),
        (too_long(of("burst-7", "m5.large", Capacity::OnDemand)), Kind::Invalid, "InvalidParameterValue"),
    ];
    for (request, kind, code) in refused {
        let error = ec2.launch(&request).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{error}");
    }
    // By now EC2 shows all that there is, and no more what has ended.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(raw.alive().await, 1, "nothing was made");
    // What has ended is given again under its token, until it is forgotten.
    assert_eq!(ec2.instances().await.unwrap().len(), 1);
    let error = ec2.launch(&wanted).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::TokenUsedUp, "IdempotentInstanceTerminated"));
}

/// One that hoist never writes, for it measures before.
fn too_long(request: RunInstances) -> RunInstances {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(vec![b'#'; 16 * 1024 + 1]);
    RunInstances { user_data: serde_json::from_value(encoded.into()).unwrap(), ..request }
}
