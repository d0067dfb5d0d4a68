//! What hoist may do in AWS, as a policy document: the least that works.
//!
//! Whatever changes something is bound to the cluster's tag: what hoist did not make, it cannot touch. Reading is not, for
//! EC2 knows no conditions on `Describe…`. Source: "Actions, resources, and condition keys for Amazon EC2" in AWS's Service
//! Authorization Reference.

use serde_json::{Value, json};

use super::network::{Network, TAG};
use crate::inventory::{Connection, ExistingNetwork, Image};

/// The policy of whoever runs the controller: rents workers, and gives them back.
pub fn controller(network: &Network, image: &Image) -> Value {
    let (region, cluster) = (&network.region, &network.cluster);
    let arn = |what: &str| format!("arn:aws:ec2:{region}:*:{what}/*");
    let ours = ours(cluster);
    let will_be_ours = json!({"StringEquals": {format!("aws:RequestTag/{TAG}"): cluster}});
    let mut statements = vec![
        json!({
            "Sid": "Look", "Effect": "Allow", "Resource": "*",
            "Action": [
                "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeVolumes", "pricing:GetProducts",
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
            "Resource": parameters(region, image),
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
    // Beside somebody else's network, `destroy` looks whether one that hoist made before stands still.
    statements.push(json!({
        "Sid": "ReadTheNetwork", "Effect": "Allow", "Action": "cloudformation:DescribeStacks",
        "Resource": format!("arn:aws:cloudformation:{region}:*:stack/{}/*", network.stack()),
    }));
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// What EC2 reads when an image is named by a parameter: those of the systems' makers, and the inventory's own.
fn parameters(region: &str, image: &Image) -> Vec<String> {
    let own = [&image.amd64, &image.arm64].into_iter().flatten().filter(|said| said.starts_with('/'));
    let all = own.filter(|said| !said.starts_with("/aws/service/")).map(String::as_str);
    std::iter::once("/aws/service/*")
        .chain(all)
        .map(|name| format!("arn:aws:ssm:{region}:*:parameter{name}"))
        .collect()
}

fn ours(cluster: &str) -> Value {
    json!({"StringEquals": {format!("aws:ResourceTag/{TAG}"): cluster}})
}

fn workers(network: &Network) -> String {
    format!("hoist-{}-workers", network.cluster)
}

/// What EC2 does with a key for a disk, and the grant that lets it: to AWS alone, never to anybody else.
fn disks(key: &Value, condition: &Value) -> [Value; 2] {
    let mut to_aws = condition.clone();
    to_aws["Bool"] = json!({"kms:GrantIsForAWSResource": "true"});
    [
        json!({
            "Sid": "EncryptDisks", "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"],
            "Resource": key, "Condition": condition,
        }),
        json!({
            "Sid": "LetEc2EncryptDisks", "Effect": "Allow", "Action": "kms:CreateGrant",
            "Resource": key, "Condition": to_aws,
        }),
    ]
}

/// Launches into the network that hoist made.
fn ours_to_use(network: &Network) -> Vec<Value> {
    let (region, ours) = (&network.region, ours(&network.cluster));
    let arn = |what: &str| format!("arn:aws:ec2:{region}:*:{what}/*");
    let mut statements = vec![
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
    ];
    statements.extend(disks(&json!(format!("arn:aws:kms:{region}:*:key/*")), &ours));
    statements
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
        statements.extend(disks(&json!(resource), &condition));
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
         ModifyVpcAttribute ReplaceRouteTableAssociation",
    );
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
        // What CloudFormation reads of a resource grows with what EC2 can do: whoever lacks one read cannot make a VPC.
        {"Sid": "Look", "Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
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
#[path = "permissions_tests.rs"]
mod tests;
