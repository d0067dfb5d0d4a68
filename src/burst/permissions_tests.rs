//! Each policy allows what is done with it, and no more.

use std::collections::BTreeSet;

use super::*;
use crate::{
    burst::network::{Format, document},
    inventory::{self, Architecture},
};

fn network(connection: Connection) -> Network {
    let sample = include_str!("../../inventory/burst.yaml");
    let mut inventory = inventory::parse("burst.yaml", sample).unwrap().inventory;
    inventory.burst.connection = connection;
    Network::of(&inventory).unwrap()
}

/// Of an inventory that names no image.
fn controller(network: &Network) -> Value {
    super::controller(network, &Image::default())
}

fn existing() -> Network {
    let text = |text: &str| text.to_owned();
    let existing = ExistingNetwork {
        subnets: vec![text("subnet-1")],
        security_groups: vec![text("sg-1")],
        instance_profile: Some(text("burst")),
        kms_key: Some(text("alias/disks")),
    };
    Network { existing: Some(existing), ..network(Connection::Routed) }
}

fn policies() -> Vec<Value> {
    let all = [Connection::Gateway, Connection::Vpn, Connection::Routed].map(network);
    let both = all.iter().flat_map(|network| [controller(network), setup(network)]);
    both.chain([controller(&existing()), super::controller(&existing(), &images())]).collect()
}

/// A company's own, by a parameter and by its id.
fn images() -> Image {
    let (amd64, arm64) = (Some("/company/golden".to_owned()), Some("ami-0123".to_owned()));
    Image { amd64, arm64, ..Image::default() }
}

/// A statement may do without a condition only if it changes nothing, or names what it uses.
#[test]
fn whatever_changes_something_is_bound() {
    for policy in policies() {
        // The limit of a managed policy, without white space.
        assert!(policy.to_string().len() < 6144);
        for statement in policy["Statement"].as_array().unwrap() {
            bound(statement);
        }
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        many => serde_json::from_value(many.clone()).unwrap(),
    }
}

#[track_caller]
fn bound(statement: &Value) {
    let (actions, resources) = (list(&statement["Action"]), list(&statement["Resource"]));
    let reads = |action: &String| {
        let verb = action.split(':').nth(1).unwrap();
        verb.starts_with("Describe") || verb.starts_with("Get")
    };
    let named = |arn: &String| {
        // The stack, which has an id behind its name; or one thing.
        arn.contains(":stack/hoist-burst-") || !arn.contains("/*")
    };
    let bound = statement.get("Condition").is_some() || resources.iter().all(named);
    let images = statement["Sid"] == "LaunchFromImages";
    assert!(bound || images || actions.iter().all(reads), "{statement}");
    assert!(actions.iter().all(|action| !action.ends_with(":*")), "{statement}");
}

/// Or whoever has it could make an instance that may do anything.
#[test]
fn no_policy_can_give_a_role_rights() {
    for policy in policies() {
        let text = policy.to_string();
        for forbidden in ["PutRolePolicy", "AttachRolePolicy", "iam:Create*", "PermissionsBoundary"] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
}

/// What a stack may hold has its permissions: an action for each type of a resource.
#[test]
fn the_stacks_resources_can_be_made() {
    for connection in [Connection::Gateway, Connection::Vpn, Connection::Routed] {
        let network = network(connection);
        let text = document(&crate::engine::Library::default(), &network, Format::Cloudformation).unwrap();
        let policy = setup(&network).to_string();
        for line in text.lines().filter_map(|line| line.strip_prefix("    Type: AWS::")) {
            let action = match line {
                "EC2::EIP" => "ec2:AllocateAddress",
                "EC2::EIPAssociation" => "ec2:AssociateAddress",
                "EC2::SubnetRouteTableAssociation" => "ec2:AssociateRouteTable",
                "EC2::VPCGatewayAttachment" => "ec2:AttachInternetGateway",
                "EC2::SecurityGroupIngress" => "ec2:AuthorizeSecurityGroupIngress",
                "EC2::VPNGatewayRoutePropagation" => "ec2:EnableVgwRoutePropagation",
                "EC2::VPC" => "ec2:CreateVpc",
                "EC2::VPNGateway" => "ec2:CreateVpnGateway",
                "EC2::VPNConnection" => "ec2:CreateVpnConnection",
                "EC2::VPNConnectionRoute" => "ec2:CreateVpnConnectionRoute",
                "KMS::Key" => "kms:CreateKey",
                other => &format!(
                    "{}:Create{}",
                    other.split("::").next().unwrap().to_lowercase(),
                    other.split("::").nth(1).unwrap()
                ),
            };
            assert!(policy.contains(&format!("{action:?}")), "{connection:?}: {action}");
        }
    }
}

/// Calls of AWS' client libraries in a source, as actions of a policy.
fn calls(service: &str, source: &str) -> BTreeSet<String> {
    const VERBS: [&str; 7] = ["describe_", "run_", "terminate_", "delete_", "get_", "create_", "update_"];
    // `client.delete_volume()`, with or without a line between.
    let methods = source.split('.').filter_map(|rest| rest.split_once("()")).map(|(name, _)| name);
    let is_name = |name: &&str| name.bytes().all(|it| it == b'_' || it.is_ascii_lowercase());
    let methods = methods.filter(is_name).filter(|name| VERBS.iter().any(|verb| name.starts_with(verb)));
    let words = |name: &str| -> String {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        name.split('_').filter(|word| !word.is_empty()).map(capital).collect()
    };
    methods
        .map(|name| match name {
            "get_products" => "pricing:GetProducts".to_owned(),
            name => format!("{service}:{}", words(name)),
        })
        .collect()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    policy["Statement"].as_array().unwrap().iter().flat_map(|it| list(&it["Action"])).collect()
}

/// What somebody else asks for in the caller's name: EC2 while it launches.
const WHILE_LAUNCHING: [&str; 8] = [
    "ec2:CreateTags",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncrypt*",
];

#[test]
fn the_controller_may_do_what_it_does_and_nothing_more() {
    let network = network(Connection::Gateway);
    let (controller, setup) = (actions(&controller(&network)), actions(&setup(&network)));
    let ec2 = [
        include_str!("aws/mod.rs"),
        include_str!("aws/launch.rs"),
        include_str!("aws/checks.rs"),
        include_str!("aws/market.rs"),
    ];
    let mut used: BTreeSet<String> = ec2.iter().flat_map(|source| calls("ec2", source)).collect();
    // Whoever launches reads what the network's stack says of it; the rest of stacks is for who makes them.
    let stack = calls("cloudformation", include_str!("aws/stack.rs"));
    used.insert("cloudformation:DescribeStacks".to_owned());
    assert_eq!(used.difference(&controller).collect::<Vec<_>>(), [""; 0], "called, and not allowed");
    // EC2 reads the parameter that names the image; it is called by its ARN in the launch.
    used.extend(WHILE_LAUNCHING.map(str::to_owned).into_iter().chain(["ssm:GetParameters".to_owned()]));
    assert_eq!(controller.difference(&used).collect::<Vec<_>>(), [""; 0], "allowed, and never called");

    let both: BTreeSet<String> = controller.union(&setup).cloned().collect();
    let allowed = |action: &str| both.iter().any(|pattern| meant(pattern, action));
    let mut looks = calls("ec2", include_str!("aws/tagged.rs"));
    looks.extend(calls("ec2", include_str!("aws/zones.rs")));
    assert!(stack.len() == 5 && looks.len() > 10, "{stack:?} {looks:?}");
    assert_eq!(stack.union(&looks).filter(|it| !allowed(it)).collect::<Vec<_>>(), [""; 0]);
    // What AWS lists of CloudFormation for these kinds, and hoist itself never calls.
    for read in
        ["ec2:DescribeNetworkAcls", "ec2:DescribeVpcEncryptionControls", "ec2:ReplaceRouteTableAssociation"]
    {
        assert!(allowed(read), "{read}");
    }
}

/// Whether an action or a resource is meant by what is in a policy.
fn meant(pattern: &str, arn: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == arn,
        Some((begin, rest)) => arn.strip_prefix(begin).is_some_and(|arn| {
            (0..=arn.len()).filter(|at| arn.is_char_boundary(*at)).any(|at| meant(rest, &arn[at..]))
        }),
    }
}

/// EC2 reads them in the name of whoever launches.
#[test]
fn the_parameters_that_name_images_may_be_read_and_no_others() {
    let may = |image: &Image, parameter: &str| {
        let arn = format!("arn:aws:ssm:eu-central-1:123456789012:parameter{parameter}");
        let policy = super::controller(&network(Connection::Gateway), image);
        let statements = policy["Statement"].as_array().unwrap().iter();
        let mut read = statements.filter(|it| list(&it["Action"]).contains(&"ssm:GetParameters".to_owned()));
        read.any(|it| list(&it["Resource"]).iter().any(|pattern| meant(pattern, &arn)))
    };
    for image in [Image::default(), images()] {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            if let Some(parameter) = image.id(architecture).strip_prefix("resolve:ssm:") {
                assert!(may(&image, parameter), "{parameter}");
            }
        }
        assert!(!may(&image, "/company/secret"));
    }
    assert!(!may(&Image::default(), "/company/golden"));
}

/// A grant to anybody else would let others read the disks.
#[test]
fn a_key_is_granted_to_aws_alone() {
    for policy in policies() {
        for statement in policy["Statement"].as_array().unwrap() {
            if list(&statement["Action"]).contains(&"kms:CreateGrant".to_owned()) {
                let is_for_aws = &statement["Condition"]["Bool"]["kms:GrantIsForAWSResource"];
                assert_eq!((is_for_aws, list(&statement["Action"]).len()), (&json!("true"), 1));
            }
        }
    }
}

#[test]
fn the_policies_are_the_golden_ones() {
    let network = network(Connection::Gateway);
    insta::assert_snapshot!("controller", format!("{:#}", controller(&network)));
    insta::assert_snapshot!("setup", format!("{:#}", setup(&network)));
    insta::assert_snapshot!("existing", format!("{:#}", controller(&existing())["Statement"]));
}
