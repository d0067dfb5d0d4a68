//! Answers that are cut when everything is done: of every call that changes something.

use std::time::Duration;

use hoist::{
    burst::{
        aws::{CloudFormation, Ec2},
        cloud::{Cloud as _, Kind, Resource, RunInstances, State, UserData},
        network::{Network, Outcome, destroy, up},
        offer::Capacity,
    },
    engine::Library,
};

use super::{
    inner::{CLUSTER, REGION, Raw, request, template},
    network::{PACE, sample, vpcs},
    proxy,
    proxy::Fault,
};

#[tokio::test]
#[ignore = "run by the test of calls that are cut"]
async fn machines() {
    let proxy = proxy();
    let (raw, ec2) = (Raw::new().await, Ec2::connect(REGION, CLUSTER).await);
    let (subnet, group) = raw.network().await;
    let template = template(&raw.image().await, &subnet, &group);
    let wanted = request(&template, "burst-1", Capacity::OnDemand);

    proxy.next("RunInstances", Fault::CutBefore);
    assert_eq!(ec2.launch(&wanted).await.unwrap_err().kind, Kind::Ambiguous);
    assert_eq!(ec2.instances().await.unwrap(), []);
    proxy.next("RunInstances", Fault::CutAfter);
    assert_eq!(ec2.launch(&wanted).await.unwrap_err().kind, Kind::Ambiguous);
    let [made] = ec2.instances().await.unwrap().try_into().unwrap();
    proxy.next("RunInstances", Fault::Late(Duration::from_millis(300)));
    let again = ec2.launch(&wanted).await.unwrap();
    assert_eq!((&again.id, again.state), (&made.id, State::Pending));
    assert_eq!(again.client_token, wanted.client_token);
    assert_eq!((ec2.instances().await.unwrap().len(), proxy.calls("RunInstances")), (1, 3));
    let other = RunInstances { user_data: UserData::new(b"#!/bin/sh\n".into()).unwrap(), ..wanted.clone() };
    let error = ec2.launch(&other).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Mismatch, "IdempotentParameterMismatch"));

    proxy.next("TerminateInstances", Fault::CutAfter);
    let ids = std::slice::from_ref(&made.id);
    assert_eq!(ec2.terminate(ids).await.unwrap_err().kind, Kind::Ambiguous);
    assert!(ec2.instances().await.unwrap().iter().all(|it| it.state.is_ending()));
    ec2.terminate(ids).await.unwrap();
    let ended = ec2.launch(&wanted).await.unwrap();
    assert_eq!((&ended.id, ended.state), (&made.id, State::Terminated), "a token is used once");

    for (id, resource) in raw.leftovers(&subnet).await {
        let action = match resource {
            Resource::Volume => "DeleteVolume",
            Resource::NetworkInterface => "DeleteNetworkInterface",
        };
        let found = ec2.leftovers().await.unwrap().into_iter().find(|it| it.id == id).unwrap();
        proxy.next(action, Fault::CutAfter);
        assert_eq!(ec2.delete(&found).await.unwrap_err().kind, Kind::Ambiguous, "{action}");
        assert!(ec2.leftovers().await.unwrap().iter().all(|it| it.id != id), "{action}");
        ec2.delete(&found).await.unwrap();
        assert_eq!(proxy.calls(action), 2, "the library repeats nothing");
    }
}

#[tokio::test]
#[ignore = "run by the test of calls that are cut"]
async fn stacks() {
    let proxy = proxy();
    let (stacks, ec2) = (CloudFormation::connect(REGION).await, Ec2::connect(REGION, CLUSTER).await);
    let (library, mut inventory, nobody) = (Library::default(), sample(), |_: &_| ());
    let network = Network::of(&inventory).unwrap();

    // The library repeats these by itself.
    proxy.next("CreateStack", Fault::CutAfter);
    let (outcome, made) = up(&stacks, &library, &network, PACE, &nobody).await.unwrap();
    assert_eq!((outcome, proxy.calls("CreateStack")), (Outcome::Made, 2));
    vpcs(&super::network::raw().await, &network, 1).await;

    inventory.burst.lan.push("10.99.0.0/16".parse().unwrap());
    let wider = Network::of(&inventory).unwrap();
    proxy.next("UpdateStack", Fault::CutAfter);
    let changed = up(&stacks, &library, &wider, PACE, &nobody).await.unwrap();
    assert_eq!((changed, proxy.calls("UpdateStack")), ((Outcome::Changed, made), 2));

    proxy.next("DeleteStack", Fault::CutAfter);
    assert_eq!(destroy(&stacks, &ec2, &wider, PACE, &nobody).await.unwrap(), []);
    assert_eq!(proxy.calls("DeleteStack"), 2);
    vpcs(&super::network::raw().await, &network, 0).await;
}
