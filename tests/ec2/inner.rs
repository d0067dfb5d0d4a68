//! What runs in a process of its own.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::{
    Client,
    types::{InstanceAttributeName, InstanceStateName, ResourceType, Tag, TagSpecification},
};
use hoist::{
    burst::{
        aws::{Ec2, Prices},
        cloud::{Cloud as _, Instance, Kind, Order, Resource, RunInstances, State, Template, UserData, tag},
        market::{Catalog, Market as _},
        offer::{Architecture, Capacity, Money, Offer},
        time::Time,
    },
    inventory::Burst,
};

pub const REGION: &str = "eu-central-1";
pub const ZONE: &str = "eu-central-1a";
pub const CLUSTER: &str = "8c1f0d6e-uid";
const SCRIPT: &str = "#cloud-config\nruncmd: [\"true\"]\n";

pub fn template(image: &str, subnet: &str, group: &str) -> Template {
    Template {
        cluster: CLUSTER.into(),
        images: [(Architecture::Amd64, image.into())].into(),
        subnets: [(ZONE.into(), subnet.into())].into(),
        security_groups: vec![group.into()],
        instance_profile: None,
        root_device: "/dev/sda1".into(),
        root_gib: 30,
        kms_key: None,
        tags: [("team".into(), "web".into())].into(),
    }
}

pub fn request(template: &Template, claim: &str, capacity: Capacity) -> RunInstances {
    let offer =
        Offer { instance_type: "m5.large".into(), zone: ZONE.into(), capacity, price: Money(100_000) };
    let user_data = UserData::new(SCRIPT.into()).unwrap();
    template.request(claim, 1, &offer, Architecture::Amd64, user_data, Time(0)).unwrap()
}

/// AWS itself, without hoist.
pub struct Raw(Client);

impl Raw {
    pub async fn new() -> Raw {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12());
        Raw(Client::new(&config.region(Region::new(REGION)).load().await))
    }

    /// A subnet and a security group in it.
    pub async fn network(&self) -> (String, String) {
        let vpc = self.0.create_vpc().cidr_block("10.80.0.0/16").send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        let subnet = self.0.create_subnet().vpc_id(&vpc).cidr_block("10.80.0.0/24").availability_zone(ZONE);
        let subnet = subnet.send().await.unwrap().subnet().unwrap().subnet_id().unwrap().to_owned();
        let group = self.0.create_security_group().group_name("workers").description("workers").vpc_id(vpc);
        (subnet, group.send().await.unwrap().group_id().unwrap().to_owned())
    }

    pub async fn image(&self) -> String {
        let images = self.0.describe_images().send().await.unwrap();
        images.images().iter().find_map(|image| image.image_id()).unwrap().to_owned()
    }

    /// A volume and a network interface that nobody uses, with the tags of a claim.
    pub async fn leftovers(&self, subnet: &str) -> [(String, Resource); 2] {
        let volume = self.0.create_volume().availability_zone(ZONE).size(1);
        let volume = volume.tag_specifications(specification(ResourceType::Volume)).send().await.unwrap();
        let interface = self.0.create_network_interface().subnet_id(subnet);
        let interface = interface.tag_specifications(specification(ResourceType::NetworkInterface));
        let interface = interface.send().await.unwrap();
        let interface = interface.network_interface().unwrap().network_interface_id().unwrap();
        [
            (volume.volume_id().unwrap().to_owned(), Resource::Volume),
            (interface.to_owned(), Resource::NetworkInterface),
        ]
    }

    /// One without a free address.
    pub async fn full_subnet(&self) -> String {
        let vpc = self.0.create_vpc().cidr_block("10.81.0.0/28").send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        let subnet = self.0.create_subnet().vpc_id(&vpc).cidr_block("10.81.0.0/28").availability_zone(ZONE);
        let subnet = subnet.send().await.unwrap().subnet().unwrap().subnet_id().unwrap().to_owned();
        // EC2 keeps five of sixteen.
        for _ in 0..11 {
            self.0.create_network_interface().subnet_id(&subnet).send().await.unwrap();
        }
        subnet
    }

    /// Instances of anybody that have not ended.
    pub async fn alive(&self) -> usize {
        let told = self.0.describe_instances().send().await.unwrap();
        let instances = told.reservations().iter().flat_map(|it| it.instances());
        let has_ended = |name: &InstanceStateName| *name == InstanceStateName::Terminated;
        instances.filter(|it| !it.state().and_then(|it| it.name()).is_some_and(has_ended)).count()
    }

    async fn user_data(&self, id: &str) -> String {
        let asked = self.0.describe_instance_attribute().instance_id(id);
        let told = asked.attribute(InstanceAttributeName::UserData).send().await.unwrap();
        told.user_data().unwrap().value().unwrap().to_owned()
    }

    async fn shutdown_behavior(&self, id: &str) -> String {
        let asked = self.0.describe_instance_attribute().instance_id(id);
        let asked = asked.attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior);
        let told = asked.send().await.unwrap();
        told.instance_initiated_shutdown_behavior().unwrap().value().unwrap().to_owned()
    }
}

fn named(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key().unwrap().to_owned(), tag.value().unwrap_or_default().to_owned()))
        .collect()
}

fn specification(resource: ResourceType) -> TagSpecification {
    let ours = Tag::builder().key(tag::CLUSTER).value(CLUSTER).build();
    let claim = Tag::builder().key(tag::CLAIM).value("burst-9").build();
    TagSpecification::builder().resource_type(resource).tags(ours).tags(claim).build()
}

#[tokio::test]
#[ignore = "run by the test of the emulator"]
async fn life() {
    let (raw, ec2) = (Raw::new().await, Ec2::connect(REGION, CLUSTER).await);
    let (subnet, group) = raw.network().await;
    let template = template(&raw.image().await, &subnet, &group);

    let wanted = request(&template, "burst-1", Capacity::OnDemand);
    let first = ec2.launch(&wanted).await.unwrap();
    assert_eq!(
        (first.claim.as_deref(), &first.client_token),
        (Some("burst-1"), &wanted.client_token),
        "{first:?}"
    );
    let spot = ec2.launch(&request(&template, "burst-2", Capacity::Spot)).await.unwrap();
    as_asked(&raw, &first, &wanted).await;

    let mut ids: Vec<String> = ec2.instances().await.unwrap().into_iter().map(|it| it.id).collect();
    ids.sort();
    let mut both = vec![first.id.clone(), spot.id.clone()];
    both.sort();
    assert_eq!(ids, both);
    assert_eq!(Ec2::connect(REGION, "another").await.instances().await.unwrap(), []);
    let unknown = "i-0123456789abcdef0".to_owned();
    let known = ec2.instances_by_id(&[first.id.clone(), unknown.clone()]).await.unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
    ec2.console_output(&first.id).await.unwrap();

    let error = ec2.terminate(std::slice::from_ref(&unknown)).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
    ec2.terminate(&both).await.unwrap();
    ec2.terminate(&both).await.unwrap();
    let ended = ec2.instances().await.unwrap();
    assert!(ended.iter().all(|it| it.state == State::Terminated), "{ended:?}");

    leftovers(&raw, &ec2, &subnet).await;
    refused(&ec2, &template).await;
}

/// All that was written down reached EC2.
async fn as_asked(raw: &Raw, launched: &Instance, wanted: &RunInstances) {
    let told = raw.0.describe_instances().instance_ids(&launched.id).send().await.unwrap();
    let told = &told.reservations()[0].instances()[0];
    assert_eq!(told.instance_type().unwrap().as_str(), "m5.large");
    assert_eq!(told.subnet_id(), Some(wanted.subnet_id.as_str()));
    assert_eq!(named(told.tags()), wanted.tags);
    assert_eq!(told.metadata_options().unwrap().http_tokens().unwrap().as_str(), "required");
    let volume = told.block_device_mappings()[0].ebs().unwrap().volume_id().unwrap();
    let volume = raw.0.describe_volumes().volume_ids(volume).send().await.unwrap();
    let volume = &volume.volumes()[0];
    assert_eq!((volume.size(), volume.encrypted()), (Some(30), Some(true)));
    assert_eq!(named(volume.tags()), wanted.tags);
    let encoded = raw.user_data(&launched.id).await;
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), SCRIPT);
    assert_eq!(raw.shutdown_behavior(&launched.id).await, "terminate");
}

async fn leftovers(raw: &Raw, ec2: &Ec2, subnet: &str) {
    for (id, resource) in raw.leftovers(subnet).await {
        let found = ec2.leftovers().await.unwrap();
        let found = found.into_iter().find(|it| it.id == id).unwrap();
        assert_eq!((found.resource, found.claim.as_deref()), (resource, Some("burst-9")));
        assert!(!found.in_use, "{found:?}");
        ec2.delete(&found).await.unwrap();
        assert!(ec2.leftovers().await.unwrap().iter().all(|it| it.id != id));
        ec2.delete(&found).await.unwrap();
    }
}

async fn refused(ec2: &Ec2, template: &Template) {
    let mut wrong = template.clone();
    wrong.subnets.insert(ZONE.into(), "subnet-00000000".into());
    let error = ec2.launch(&request(&wrong, "burst-3", Capacity::Spot)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Invalid, "InvalidSubnetID.NotFound"), "{error}");
}

#[tokio::test]
#[ignore = "run by the test of the emulator"]
async fn prices() {
    let aws = Prices::connect(REGION).await;
    let types = aws.types().await.unwrap();
    let large = types.iter().find(|told| told.name == "m5.large").unwrap();
    let kind = large.kind.as_ref().unwrap();
    assert_eq!((kind.vcpus, kind.memory_mib, kind.architecture), (2, 8192, Architecture::Amd64));
    assert!(large.hvm && large.ena && !large.bare_metal && !large.burstable, "{large:?}");
    assert!(!large.current, "AWS calls it a previous generation");
    assert!(types.iter().any(|told| told.name == "m7i.large" && told.current));
    assert_eq!(large.capacity, [Capacity::Spot, Capacity::OnDemand].into());
    let arm = types.iter().find(|told| told.name == "t4g.nano").unwrap();
    assert!(arm.burstable && arm.kind.as_ref().unwrap().architecture == Architecture::Arm64, "{arm:?}");
    assert!(types.len() > 200, "all pages: {}", types.len());

    let zones = aws.zones().await.unwrap();
    assert!(zones.contains(&("m5.large".to_owned(), ZONE.to_owned())), "{} places", zones.len());
    let spot = aws.spot().await.unwrap();
    assert!(spot[&("m5.large".to_owned(), ZONE.to_owned())] > Money(0));
    let refused = aws.on_demand().await.unwrap_err();
    assert_eq!(refused.order, Order::GetProducts, "the emulator has no price list: {refused}");

    let mut burst = Burst::default();
    burst.instances.families = vec!["m5".into()];
    burst.prices.insert("m5.large".into(), 0.115);
    let mut catalog = Catalog::default();
    assert_eq!(catalog.refresh(&aws, &burst, Time(0)).await, [""; 0]);
    let offered = catalog.offered(&burst, &[ZONE.to_owned()]);
    let of = |capacity| {
        let is = move |offer: &&Offer| offer.instance_type == "m5.large" && offer.capacity == capacity;
        offered.offers.iter().find(is).map(|offer| offer.price)
    };
    assert_eq!(of(Capacity::OnDemand), Some(Money(119_110)), "with a disk of 30 GiB");
    assert!(of(Capacity::Spot).is_some());
    assert!(offered.types.keys().all(|name| name.starts_with("m5.")), "{:?}", offered.types.keys());
}

#[tokio::test]
#[ignore = "run by the test without credentials"]
async fn no_credentials() {
    let ec2 = Ec2::connect(REGION, CLUSTER).await;
    let template = template("ami-1", "subnet-1", "sg-1");
    let error = ec2.launch(&request(&template, "burst-1", Capacity::Spot)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Denied, "NoCredentials"), "{error}");
    assert!(error.message.contains("credentials"), "{error}");
}

#[tokio::test]
#[ignore = "run by the tests of sockets that break"]
async fn no_answer() {
    let ec2 = Ec2::connect(REGION, CLUSTER).await;
    let template = template("ami-1", "subnet-1", "sg-1");
    let error = ec2.launch(&request(&template, "burst-1", Capacity::Spot)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Ambiguous, "{error}");
    assert!(!error.to_string().contains("cloud-config"), "{error}");
}
