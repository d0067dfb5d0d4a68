//! What AWS refuses, through its own client library: what is told of it, and that nothing is asked for again and again.

use hoist::{
    burst::{
        aws::{CloudFormation, Ec2, Prices},
        cloud::{Cloud as _, CloudError, Kind, Leftover, Resource},
        gateway::Checks as _,
        market::Market as _,
        network::{Carriers as _, Network, StackFailure, destroy, up},
        offer::Capacity,
        permissions,
    },
    engine::Library,
};
use miette::Diagnostic as _;

use super::{
    inner::{CLUSTER, REGION, request, template},
    network::{PACE, sample},
    proxy,
    proxy::{Fault, Proxy},
};

#[tokio::test]
#[ignore = "run by the test of refusals"]
async fn by_code() {
    let (proxy, ec2) = (proxy(), Ec2::connect(REGION, CLUSTER).await);
    let wanted = request(&template("ami-1", "subnet-1", "sg-1"), "burst-1", Capacity::Spot);
    for (status, code, kind, help) in [
        (503, "RequestLimitExceeded", Kind::Throttled, "repeated, more slowly"),
        (500, "InternalError", Kind::Ambiguous, "repeated, more slowly"),
        (503, "Unavailable", Kind::Ambiguous, "repeated, more slowly"),
        (500, "InsufficientInstanceCapacity", Kind::Capacity, "the next offer is taken"),
        (400, "VcpuLimitExceeded", Kind::Quota, "Service Quotas"),
        (400, "InsufficientFreeAddressesInSubnet", Kind::FullSubnet, "the next offer is taken"),
        (401, "AuthFailure", Kind::Denied, "the action ec2:RunInstances"),
        (403, "UnauthorizedOperation", Kind::Denied, "the action ec2:RunInstances"),
        (400, "IdempotentParameterMismatch", Kind::Mismatch, "please report it"),
        (400, "IdempotentInstanceTerminated", Kind::TokenUsedUp, "another is launched"),
        (400, "InvalidParameterValue", Kind::Invalid, "mend it in the inventory"),
    ] {
        proxy.next("RunInstances", Fault::Refused(status, code));
        let error = ec2.launch(&wanted).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str(), proxy.calls("RunInstances")),
            (kind, code, 1),
            "{error}"
        );
        assert!(error.help().unwrap().to_string().contains(help), "{error}");
        proxy.mend();
    }
    // Credentials for a session that is over. Nothing was done, and what is denied for ever is something else.
    for code in ["RequestExpired", "ExpiredToken"] {
        proxy.next("DescribeInstances", Fault::Refused(400, code));
        let error = ec2.instances().await.unwrap_err();
        assert_eq!(error.code, code);
        assert_ne!(error.kind, Kind::Ambiguous);
        assert_eq!(ec2.instances().await.unwrap(), []);
    }
}

/// It names the action, says that credentials lack it, and the action is in a policy that hoist prints. It was tried once.
#[track_caller]
fn denied<T: std::fmt::Debug>(proxy: &Proxy, action: &str, answer: Result<T, CloudError>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.to_string().contains(&format!("refused {action}: ")), "{error}");
    let permission = match action {
        "GetProducts" => format!("pricing:{action}"),
        stack if stack.contains("Stack") => format!("cloudformation:{action}"),
        _ => format!("ec2:{action}"),
    };
    let help = error.help().unwrap().to_string();
    assert!(help.contains(&format!("need the action {permission}")), "{error}: {help}");
    let sample = sample();
    let network = Network::of(&sample).unwrap();
    let controller = permissions::controller(&network, &sample.burst.image);
    let policies = format!("{controller}{}", permissions::setup(&network));
    let looks = permission.starts_with("ec2:Describe") && policies.contains("\"ec2:Describe*\"");
    assert!(looks || policies.contains(&format!("{permission:?}")), "{permission}");
    assert_eq!(proxy.calls(action), 1, "{:?}", proxy.called());
    proxy.mend();
}

#[tokio::test]
#[ignore = "run by the test of what is denied"]
async fn of_machines() {
    let (proxy, ec2, prices) = (proxy(), Ec2::connect(REGION, CLUSTER).await, Prices::connect(REGION).await);
    let deny = |action: &str| proxy.always(action, Fault::Refused(403, "UnauthorizedOperation"));
    let wanted = request(&template("ami-1", "subnet-1", "sg-1"), "burst-1", Capacity::Spot);
    let ids = ["i-0123456789abcdef0".to_owned()];
    let leftover = |id: &str, resource| Leftover { id: id.into(), resource, claim: None, in_use: false };

    deny("RunInstances");
    denied(&proxy, "RunInstances", ec2.launch(&wanted).await);
    deny("DescribeInstances");
    denied(&proxy, "DescribeInstances", ec2.instances().await);
    for action in ["DescribeVolumes", "DescribeNetworkInterfaces"] {
        deny(action);
        denied(&proxy, action, ec2.leftovers().await);
    }
    deny("TerminateInstances");
    denied(&proxy, "TerminateInstances", ec2.terminate(&ids).await);
    deny("DeleteVolume");
    denied(&proxy, "DeleteVolume", ec2.delete(&leftover("vol-1", Resource::Volume)).await);
    deny("DeleteNetworkInterface");
    let interface = leftover("eni-1", Resource::NetworkInterface);
    denied(&proxy, "DeleteNetworkInterface", ec2.delete(&interface).await);
    deny("GetConsoleOutput");
    denied(&proxy, "GetConsoleOutput", ec2.console_output(&ids[0]).await);
    deny("DescribeInstanceStatus");
    denied(&proxy, "DescribeInstanceStatus", ec2.impaired(&ids[0]).await);

    deny("DescribeInstanceTypes");
    denied(&proxy, "DescribeInstanceTypes", prices.types().await);
    deny("DescribeInstanceTypeOfferings");
    denied(&proxy, "DescribeInstanceTypeOfferings", prices.zones().await);
    deny("DescribeSpotPriceHistory");
    denied(&proxy, "DescribeSpotPriceHistory", prices.spot().await);
    proxy.always("GetProducts", Fault::Refused(400, "AccessDenied"));
    denied(&proxy, "GetProducts", prices.on_demand().await);
}

#[tokio::test]
#[ignore = "run by the test of what is denied"]
async fn of_the_network() {
    let proxy = proxy();
    let (stacks, ec2) = (CloudFormation::connect(REGION).await, Ec2::connect(REGION, CLUSTER).await);
    let (library, mut inventory, nobody) = (Library::default(), sample(), |_: &_| ());
    let network = Network::of(&inventory).unwrap();
    let deny = |action: &str| proxy.always(action, Fault::Refused(403, "AccessDenied"));
    let cause = |failure: StackFailure| match failure {
        StackFailure::Cloud(error) => error,
        other => panic!("{other}"),
    };

    for action in ["DescribeStackEvents", "DescribeStacks", "CreateStack"] {
        deny(action);
        denied(&proxy, action, up(&stacks, &library, &network, PACE, &nobody).await.map_err(cause));
    }
    up(&stacks, &library, &network, PACE, &nobody).await.unwrap();
    proxy.mend();
    let looks = ec2.carriers(&network.cluster).await.map(|_| proxy.called()).unwrap();
    assert!(looks.len() > 10, "{looks:?}");
    for action in looks {
        proxy.mend();
        proxy.always(&action, Fault::Refused(403, "UnauthorizedOperation"));
        denied(&proxy, &action, ec2.carriers(&network.cluster).await);
    }
    inventory.burst.lan.push("10.99.0.0/16".parse().unwrap());
    let wider = Network::of(&inventory).unwrap();
    deny("UpdateStack");
    denied(&proxy, "UpdateStack", up(&stacks, &library, &wider, PACE, &nobody).await.map_err(cause));
    deny("DeleteStack");
    denied(&proxy, "DeleteStack", destroy(&stacks, &ec2, &network, PACE, &nobody).await.map_err(cause));
    assert_eq!(destroy(&stacks, &ec2, &network, PACE, &nobody).await.unwrap(), []);
}
