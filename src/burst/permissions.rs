//! What hoist may do in AWS, as a policy document: the least that works.
//!
//! Whatever changes something is bound to the cluster's tag: what hoist did not make, it cannot touch. Reading is not, for
//! EC2 knows no conditions on `Describe…`. Source: "Actions, resources, and condition keys for Amazon EC2" in AWS's Service
//! Authorization Reference.

use serde_json::{Value, json};

use super::network::{Network, TAG};
use crate::inventory::{Connection, ExistingNetwork};

/// The policy of whoever runs the controller: rents workers, and gives them back.
pub fn controller(network: &Network) -> Value {
    let (region, cluster) = (&network.region, &network.cluster);
    let arn = |what: &str| format!("arn:aws:ec2:{region}:*:{what}/*");
    let ours = ours(cluster);
    let will_be_ours = json!({"StringEquals": {format!("aws:RequestTag/{TAG}"): cluster}});
    let mut statements = vec![
        json!({
            "Sid": "Look", "Effect": "Allow", "Resource": "*",
            "Action": [
                "ec2:DescribeAddresses", "ec2:DescribeImages", "ec2:DescribeInstanceTypeOfferings",
                "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances", "ec2:DescribeInternetGateways",
                "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups",
                "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets", "ec2:DescribeTags", "ec2:DescribeVolumes",
                "ec2:DescribeVpcs", "pricing:GetProducts", "servicequotas:GetServiceQuota",
            ],
        }),
        json!({
            "Sid": "LaunchWhatIsTagged", "Effect": "Allow", "Action": "ec2:RunInstances",
            "Resource": [arn("instance"), arn("volume"), arn("network-interface"), arn("spot-instances-request")],
            "Condition": will_be_ours,
        }),
        json!({
            "Sid": "FirstSpotInstance", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
            "Resource": "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
            "Condition": {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        }),
        json!({
            "Sid": "LaunchFromImages", "Effect": "Allow", "Action": "ec2:RunInstances",
            "Resource": format!("arn:aws:ec2:{region}::image/*"),
        }),
        json!({
            "Sid": "ResolveImages", "Effect": "Allow", "Action": "ssm:GetParameters",
            "Resource": format!("arn:aws:ssm:{region}:*:parameter/aws/service/*"),
        }),
        json!({
            "Sid": "TagOnlyWhileLaunching", "Effect": "Allow", "Action": "ec2:CreateTags",
            "Resource": [arn("instance"), arn("volume"), arn("network-interface"), arn("spot-instances-request")],
            "Condition": {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        }),
        json!({
            "Sid": "EndWhatIsOurs", "Effect": "Allow",
            "Action": [
                "ec2:TerminateInstances", "ec2:GetConsoleOutput", "ec2:DeleteVolume", "ec2:DeleteNetworkInterface",
            ],
            "Resource": "*", "Condition": ours,
        }),
    ];
    statements.extend(match &network.existing {
        Some(existing) => somebody_elses(region, existing),
        None => ours_to_use(network),
    });
    if network.existing.is_none() {
        statements.push(json!({
            "Sid": "ReadTheNetwork", "Effect": "Allow", "Action": "cloudformation:DescribeStacks",
            "Resource": format!("arn:aws:cloudformation:{region}:*:stack/{}/*", network.stack()),
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn ours(cluster: &str) -> Value {
    json!({"StringEquals": {format!("aws:ResourceTag/{TAG}"): cluster}})
}

fn workers(network: &Network) -> String {
    format!("hoist-{}-workers", network.cluster)
}

/// What EC2 does with a key for a disk.
const DISKS: [&str; 5] = [
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncrypt*",
];

/// Launches into the network that hoist made.
fn ours_to_use(network: &Network) -> Vec<Value> {
    let (region, ours) = (&network.region, ours(&network.cluster));
    let arn = |what: &str| format!("arn:aws:ec2:{region}:*:{what}/*");
    vec![
        // The interface is the gateway's, which outlives each instance.
        json!({
            "Sid": "LaunchIntoOurNetwork", "Effect": "Allow", "Action": "ec2:RunInstances",
            "Resource": [arn("subnet"), arn("security-group"), arn("network-interface")], "Condition": ours,
        }),
        json!({
            "Sid": "GiveWorkersTheirRole", "Effect": "Allow", "Action": "iam:PassRole",
            "Resource": format!("arn:aws:iam::*:role/{}", workers(network)),
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        }),
        json!({
            "Sid": "EncryptDisks", "Effect": "Allow", "Action": DISKS,
            "Resource": format!("arn:aws:kms:{region}:*:key/*"), "Condition": ours,
        }),
    ]
}

/// Launches into a network without hoist's tags: by its ids.
fn somebody_elses(region: &str, existing: &ExistingNetwork) -> Vec<Value> {
    let named = |what: &str, id: &String| format!("arn:aws:ec2:{region}:*:{what}/{id}");
    let subnets = existing.subnets.iter().map(|id| named("subnet", id));
    let groups = existing.security_groups.iter().map(|id| named("security-group", id));
    let mut statements = vec![json!({
        "Sid": "LaunchIntoTheirNetwork", "Effect": "Allow", "Action": "ec2:RunInstances",
        "Resource": subnets.chain(groups).collect::<Vec<_>>(),
    })];
    if let Some(profile) = &existing.instance_profile {
        // AWS asks for the role. That it is called as its profile is so where EC2's console made both.
        statements.push(json!({
            "Sid": "GiveWorkersTheirRole", "Effect": "Allow", "Action": "iam:PassRole",
            "Resource": format!("arn:aws:iam::*:role/{profile}"),
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        }));
    }
    if let Some(key) = &existing.kms_key {
        let through_ec2 = format!("ec2.{region}.amazonaws.com");
        let mut condition = json!({"StringEquals": {"kms:ViaService": through_ec2}});
        let resource = match key {
            arn if arn.starts_with("arn:") => arn.clone(),
            alias if alias.starts_with("alias/") => {
                condition["ForAnyValue:StringEquals"] = json!({"kms:ResourceAliases": alias});
                format!("arn:aws:kms:{region}:*:key/*")
            }
            id => format!("arn:aws:kms:{region}:*:key/{id}"),
        };
        statements.push(json!({
            "Sid": "EncryptDisks", "Effect": "Allow", "Action": DISKS, "Resource": resource, "Condition": condition,
        }));
    }
    statements
}

/// The policy of whoever runs `hoist burst up` and `destroy`, in addition to the controller's: one stack of CloudFormation,
/// and what CloudFormation does for it in the caller's name. Nothing of the latter can be done without CloudFormation.
/// Making is bound to that alone, because not everything has its tags from the beginning; deleting to the tag, too.
pub fn setup(network: &Network) -> Value {
    let (region, cluster, workers) = (&network.region, &network.cluster, workers(network));
    let for_the_stack =
        json!({"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}});
    let mut ours_for_the_stack = for_the_stack.clone();
    ours_for_the_stack["StringEquals"] = ours(cluster)["StringEquals"].clone();
    let ec2 = |names: &str| names.split_whitespace().map(|name| format!("ec2:{name}")).collect::<Vec<_>>();
    let mut make = ec2(
        "AllocateAddress AssociateAddress AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress \
         AuthorizeSecurityGroupIngress CreateInternetGateway CreateNetworkInterface CreateRoute CreateRouteTable \
         CreateSecurityGroup CreateSubnet CreateTags CreateVpc ModifyNetworkInterfaceAttribute ModifySubnetAttribute \
         ModifyVpcAttribute",
    );
    let look = ec2("DescribeAddresses DescribeAvailabilityZones DescribeCustomerGateways DescribeInstances \
         DescribeInternetGateways DescribeNatGateways DescribeNetworkInterfaces DescribeRouteTables \
         DescribeSecurityGroupRules DescribeSecurityGroups DescribeSpotInstanceRequests DescribeSubnets \
         DescribeVolumes DescribeVpcAttribute DescribeVpcs DescribeVpnConnections DescribeVpnGateways");
    let mut remove = ec2(
        "DeleteInternetGateway DeleteNetworkInterface DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet \
         DeleteTags DeleteVpc DetachInternetGateway DisassociateAddress DisassociateRouteTable ReleaseAddress \
         ReplaceRoute RevokeSecurityGroupEgress RevokeSecurityGroupIngress",
    );
    if network.connection != Connection::Gateway {
        make.extend(ec2("CreateNatGateway"));
        remove.extend(ec2("DeleteNatGateway"));
    }
    if network.connection == Connection::Vpn {
        make.extend(ec2(
            "AttachVpnGateway CreateCustomerGateway CreateVpnConnection CreateVpnConnectionRoute CreateVpnGateway \
             EnableVgwRoutePropagation",
        ));
        remove.extend(ec2(
            "DeleteCustomerGateway DeleteVpnConnection DeleteVpnConnectionRoute DeleteVpnGateway DetachVpnGateway \
             DisableVgwRoutePropagation",
        ));
    }
    let iam = |what: &str| format!("arn:aws:iam::*:{what}/{workers}");
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Sid": "TheStack", "Effect": "Allow",
            "Action": [
                "cloudformation:CreateStack", "cloudformation:DeleteStack", "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks", "cloudformation:TagResource", "cloudformation:UntagResource",
                "cloudformation:UpdateStack",
            ],
            "Resource": format!("arn:aws:cloudformation:{region}:*:stack/{}/*", network.stack()),
        },
        {"Sid": "Look", "Effect": "Allow", "Action": look, "Resource": "*"},
        {"Sid": "MakeForTheStack", "Effect": "Allow", "Action": make, "Resource": "*", "Condition": for_the_stack},
        {
            "Sid": "RemoveForTheStack", "Effect": "Allow", "Action": remove, "Resource": "*",
            "Condition": ours_for_the_stack,
        },
        {
            "Sid": "MakeAKeyForTheStack", "Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*",
            "Condition": for_the_stack,
        },
        {
            "Sid": "KeepTheKeyForTheStack", "Effect": "Allow",
            "Action": [
                "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKeyRotation", "kms:EnableKeyRotation",
                "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags", "kms:PutKeyPolicy",
                "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias",
                "kms:UpdateKeyDescription",
            ],
            "Resource": [
                format!("arn:aws:kms:{region}:*:key/*"), format!("arn:aws:kms:{region}:*:alias/hoist-{cluster}"),
            ],
            "Condition": for_the_stack,
        },
        // A role without a right stays one: nothing here can give it any.
        {
            "Sid": "TheRoleOfWorkers", "Effect": "Allow",
            "Action": [
                "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateRole",
                "iam:DeleteInstanceProfile", "iam:DeleteRole", "iam:GetInstanceProfile", "iam:GetRole",
                "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies",
                "iam:RemoveRoleFromInstanceProfile", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
            ],
            "Resource": [iam("role"), iam("instance-profile")], "Condition": for_the_stack,
        },
        {
            "Sid": "GiveWorkersTheirRole", "Effect": "Allow", "Action": "iam:PassRole", "Resource": iam("role"),
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        },
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        burst::network::{Format, document},
        inventory,
    };

    fn network(connection: Connection) -> Network {
        let sample = include_str!("../../inventory/burst.yaml");
        let mut inventory = inventory::parse("burst.yaml", sample).unwrap().inventory;
        inventory.burst.connection = connection;
        Network::of(&inventory).unwrap()
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
        both.chain([controller(&existing())]).collect()
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
            let text =
                document(&crate::engine::Library::default(), &network, Format::Cloudformation).unwrap();
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

    #[test]
    fn the_policies_are_the_golden_ones() {
        let network = network(Connection::Gateway);
        insta::assert_snapshot!("controller", format!("{:#}", controller(&network)));
        insta::assert_snapshot!("setup", format!("{:#}", setup(&network)));
        insta::assert_snapshot!("existing", format!("{:#}", controller(&existing())["Statement"]));
    }
}
