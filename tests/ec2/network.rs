//! The network, made by CloudFormation, in a process of its own.

use std::{sync::Mutex, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::{Client, types::Filter};
use hoist::{
    burst::{
        aws::{CloudFormation, Ec2},
        cloud::{Cloud as _, Kind, RunInstances, UserData},
        gateway::{Checks as _, NAME, PrivateKey, wanted},
        network::{
            Carriers as _, Made, Network, Outcome, Pace, StackFailure, Stacks as _, destroy, state, template,
            up,
        },
        offer::{Architecture, Capacity, Money, Offer},
        time::Time,
    },
    engine::Library,
    inventory::{self, Inventory},
};

const REGION: &str = "eu-central-1";
const CLUSTER: &str = "8c1f0d6e-uid";
pub const PACE: Pace = Pace { every: Duration::from_millis(20), patience: Duration::from_secs(30) };

pub fn sample() -> Inventory {
    inventory::parse("burst.yaml", include_str!("../../inventory/burst.yaml")).unwrap().inventory
}

pub async fn raw() -> Client {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12());
    Client::new(&config.region(Region::new(REGION)).load().await)
}

/// Where the workers' packets go, by what stands in their route table.
async fn routes(raw: &Client, made: &Made) -> Vec<(String, String)> {
    let told =
        raw.describe_route_tables().route_table_ids(made.routes.as_ref().unwrap()).send().await.unwrap();
    let mut routes: Vec<(String, String)> = told.route_tables()[0]
        .routes()
        .iter()
        .filter_map(|route| {
            let to = route.network_interface_id()?;
            Some((route.destination_cidr_block()?.to_owned(), to.to_owned()))
        })
        .collect();
    routes.sort();
    routes
}

#[tokio::test]
#[ignore = "run by the test of the emulator"]
async fn life() {
    let (raw, stacks, ec2) =
        (raw().await, CloudFormation::connect(REGION).await, Ec2::connect(REGION, CLUSTER).await);
    let library = Library::default();
    let mut inventory = sample();
    let network = Network::of(&inventory).unwrap();
    let nobody = |_: &_| ();

    assert_eq!(state(&stacks, &library, &network).await.unwrap(), Outcome::Made);
    assert!(ec2.carriers(&network.cluster).await.unwrap().is_empty());
    let happened = Mutex::new(Vec::new());
    let watch = |event: &hoist::burst::network::Event| happened.lock().unwrap().push(event.status.clone());
    let (outcome, made) = up(&stacks, &library, &network, PACE, &watch).await.unwrap();
    assert_eq!(outcome, Outcome::Made);
    assert!(happened.lock().unwrap().iter().any(|status| status == "CREATE_COMPLETE"));
    as_asked(&raw, &network, &made).await;

    let first = ec2.carriers(&network.cluster).await.unwrap();
    let mut kinds: Vec<&str> = first.iter().map(|it| it.kind.as_str()).collect();
    kinds.dedup();
    let all = [
        "network-interface",
        "elastic-ip",
        "security-group",
        "subnet",
        "route-table",
        "internet-gateway",
        "vpc",
    ];
    assert_eq!(kinds, all);
    let again = up(&stacks, &library, &network, PACE, &nobody).await.unwrap();
    assert_eq!(again, (Outcome::Nothing, made.clone()));
    assert_eq!(ec2.carriers(&network.cluster).await.unwrap(), first, "nothing was made twice");

    // Another network of machines.
    inventory.burst.lan = vec!["192.168.18.0/24".parse().unwrap(), "10.99.0.0/16".parse().unwrap()];
    let wider = Network::of(&inventory).unwrap();
    let (outcome, changed) = up(&stacks, &library, &wider, PACE, &nobody).await.unwrap();
    assert_eq!((outcome, &changed), (Outcome::Changed, &made));
    let to: Vec<String> = routes(&raw, &made).await.into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, ["0.0.0.0/0", "10.99.0.0/16", "192.168.18.0/24"]);
    assert_eq!(up(&stacks, &library, &wider, PACE, &nobody).await.unwrap().0, Outcome::Nothing);

    inhabited(&raw, &stacks, &ec2, &wider, &made, &inventory).await;
    gateway(&raw, &ec2, &made, &inventory).await;
    assert_eq!(destroy(&stacks, &ec2, &wider, PACE, &nobody).await.unwrap(), []);
    assert_eq!(stacks.describe(&wider.stack()).await.unwrap(), None);
    assert_eq!(
        destroy(&stacks, &ec2, &wider, PACE, &nobody).await.unwrap(),
        [],
        "there is nothing to destroy"
    );
    vpcs(&raw, &wider, 0).await;
}

pub async fn vpcs(raw: &Client, network: &Network, number: usize) {
    let ours = Filter::builder().name("tag:hoist.dev/cluster").values(&network.cluster).build();
    assert_eq!(raw.describe_vpcs().filters(ours).send().await.unwrap().vpcs().len(), number);
}

/// EC2 itself tells of what the outputs name.
async fn as_asked(raw: &Client, network: &Network, made: &Made) {
    vpcs(raw, network, 1).await;
    for zone in &network.zones {
        let told = raw.describe_subnets().subnet_ids(&made.subnets[&zone.name]).send().await.unwrap();
        let subnet = &told.subnets()[0];
        assert_eq!(subnet.availability_zone(), Some(zone.name.as_str()));
        assert_eq!(subnet.cidr_block(), Some(zone.workers.to_string().as_str()));
        assert_eq!(subnet.vpc_id(), made.vpc.as_deref());
    }
    let gateway = made.gateway.as_ref().unwrap();
    let told =
        raw.describe_network_interfaces().network_interface_ids(&gateway.interface).send().await.unwrap();
    let interface = &told.network_interfaces()[0];
    assert_eq!(interface.private_ip_address(), Some(gateway.private_address.to_string().as_str()));
    assert_eq!(interface.subnet_id(), Some(gateway.subnet.as_str()));
    let told = raw.describe_addresses().allocation_ids(&gateway.allocation).send().await.unwrap();
    assert_eq!(told.addresses()[0].public_ip(), Some(gateway.address.to_string().as_str()));
    let expected: Vec<(String, String)> = ["0.0.0.0/0", "10.20.0.0/24", "192.168.18.0/24"]
        .map(|to| (to.to_owned(), gateway.interface.clone()))
        .into();
    assert_eq!(routes(raw, made).await, expected);
    assert!(made.kms_key.as_ref().unwrap().starts_with("arn:aws:kms:"), "{made:?}");
}

/// A worker is launched with what the network gives, and keeps it from being destroyed.
async fn inhabited(
    raw: &Client,
    stacks: &CloudFormation,
    ec2: &Ec2,
    network: &Network,
    made: &Made,
    inventory: &Inventory,
) {
    let mut template = template(inventory, made, CLUSTER);
    // The emulator has none of Debian's, and no parameters that name them.
    let images = raw.describe_images().send().await.unwrap();
    let image = images.images().iter().find_map(|image| image.image_id()).unwrap().to_owned();
    template.images.insert(Architecture::Amd64, image);
    let (instance_type, zone) = ("m5.large".to_owned(), "eu-central-1b".to_owned());
    let offer = Offer { instance_type, zone, capacity: Capacity::OnDemand, price: Money(1) };
    let script = UserData::new("#!/bin/sh\n".into()).unwrap();
    let request = template.request("burst-1", 1, &offer, Architecture::Amd64, script, Time(0)).unwrap();
    let launched = ec2.launch(&request).await.unwrap();

    let error = destroy(stacks, ec2, network, PACE, &|_| ()).await.unwrap_err();
    let StackFailure::Inhabited { instances, .. } = &error else { panic!("{error}") };
    assert_eq!(instances, std::slice::from_ref(&launched.id));
    vpcs(raw, network, 1).await;

    ec2.terminate(&[launched.id]).await.unwrap();
    for leftover in ec2.leftovers().await.unwrap() {
        ec2.delete(&leftover).await.unwrap();
    }
}

/// Its instance takes the interface that the network has for it, and leaves it.
async fn gateway(raw: &Client, ec2: &Ec2, made: &Made, inventory: &Inventory) {
    let script = UserData::new("#!/bin/sh\n".into()).unwrap();
    let key = PrivateKey::generate().unwrap().public();
    let wanted = wanted(inventory, made, CLUSTER, &key, script).unwrap();
    let images = raw.describe_images().send().await.unwrap();
    let image_id = images.images().iter().find_map(|image| image.image_id()).unwrap().to_owned();
    let request = RunInstances { image_id, ..wanted.request(1) };
    let launched = ec2.launch(&request).await.unwrap();
    assert_eq!((launched.claim.as_deref(), &launched.client_token), (Some(NAME), &request.client_token));
    let interface = &made.gateway.as_ref().unwrap().interface;
    let told = raw.describe_instances().instance_ids(&launched.id).send().await.unwrap();
    let interfaces = told.reservations()[0].instances()[0].network_interfaces();
    assert_eq!(interfaces.len(), 1);
    assert_eq!(interfaces[0].network_interface_id(), Some(interface.as_str()));
    assert!(!ec2.impaired(&launched.id).await.unwrap());
    assert!(!ec2.impaired("i-0123456789abcdef0").await.unwrap());
    ec2.terminate(&[launched.id]).await.unwrap();
    for leftover in ec2.leftovers().await.unwrap().iter().filter(|it| it.id != *interface) {
        ec2.delete(leftover).await.unwrap();
    }
    let told = raw.describe_network_interfaces().network_interface_ids(interface).send().await.unwrap();
    assert_eq!(told.network_interfaces().len(), 1);
}

#[tokio::test]
#[ignore = "run by the test without credentials"]
async fn no_credentials() {
    let stacks = CloudFormation::connect(REGION).await;
    let network = Network::of(&sample()).unwrap();
    let error = state(&stacks, &Library::default(), &network).await.unwrap_err();
    let StackFailure::Cloud(cause) = &error else { panic!("{error}") };
    assert_eq!((cause.kind, cause.code.as_str()), (Kind::Denied, "NoCredentials"), "{error}");
    assert_eq!(error.exit(), hoist::exit::Exit::Permission);
}
