//! What hoist may do in AWS, as a policy document: the least that works.
//!
//! Whatever changes something is bound to the cluster's tag: what hoist did not make, it cannot touch. Reading is not, for
//! EC2 knows no conditions on `Describe…`. Source: "Actions, resources, and condition keys for Amazon EC2" in AWS's Service
//! Authorization Reference.

use serde_json::{Value, json};

use super::network::{Network, TAG};

/// The policy of whoever runs the controller: rents workers, and gives them back.
pub fn controller(network: &Network) -> Value {
    let (region, cluster) = (&network.region, &network.cluster);
    let arn = |what: &str| format!("arn:aws:ec2:{region}:*:{what}/*");
    let ours = json!({"StringEquals": {format!("aws:ResourceTag/{TAG}"): cluster}});
    let will_be_ours = json!({"StringEquals": {format!("aws:RequestTag/{TAG}"): cluster}});
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Look", "Effect": "Allow", "Resource": "*",
                "Action": [
                    "ec2:DescribeAddresses", "ec2:DescribeImages", "ec2:DescribeInstanceTypeOfferings",
                    "ec2:DescribeInstanceTypes", "ec2:DescribeInstances", "ec2:DescribeInternetGateways",
                    "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets", "ec2:DescribeTags", "ec2:DescribeVolumes",
                    "ec2:DescribeVpcs", "pricing:GetProducts", "servicequotas:GetServiceQuota",
                ],
            },
            {
                "Sid": "LaunchWhatIsTagged", "Effect": "Allow", "Action": "ec2:RunInstances",
                "Resource": [arn("instance"), arn("volume"), arn("network-interface"), arn("spot-instances-request")],
                "Condition": will_be_ours,
            },
            {
                "Sid": "FirstSpotInstance", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
                "Resource": "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
                "Condition": {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
            },
            {
                "Sid": "LaunchIntoOurNetwork", "Effect": "Allow", "Action": "ec2:RunInstances",
                "Resource": [arn("subnet"), arn("security-group")],
                "Condition": ours,
            },
            {
                "Sid": "LaunchFromImages", "Effect": "Allow", "Action": "ec2:RunInstances",
                "Resource": format!("arn:aws:ec2:{region}::image/*"),
            },
            {
                "Sid": "ResolveImages", "Effect": "Allow", "Action": "ssm:GetParameters",
                "Resource": format!("arn:aws:ssm:{region}:*:parameter/aws/service/*"),
            },
            {
                "Sid": "TagOnlyWhileLaunching", "Effect": "Allow", "Action": "ec2:CreateTags",
                "Resource": [arn("instance"), arn("volume"), arn("network-interface"), arn("spot-instances-request")],
                "Condition": {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
            },
            {
                "Sid": "EndWhatIsOurs", "Effect": "Allow",
                "Action": [
                    "ec2:TerminateInstances", "ec2:GetConsoleOutput", "ec2:DeleteVolume", "ec2:DeleteNetworkInterface",
                    "ec2:ReplaceRoute", "ec2:AssociateAddress", "ec2:AttachNetworkInterface",
                ],
                "Resource": "*", "Condition": ours,
            },
            {
                "Sid": "GiveWorkersTheirRole", "Effect": "Allow", "Action": "iam:PassRole",
                "Resource": format!("arn:aws:iam::*:role/hoist-{cluster}-workers"),
                "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
            },
            {
                "Sid": "EncryptDisks", "Effect": "Allow",
                "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"],
                "Resource": format!("arn:aws:kms:{region}:*:key/*"), "Condition": ours,
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn policy() -> Value {
        let sample = include_str!("../../inventory/burst.yaml");
        let inventory = inventory::parse("burst.yaml", sample).unwrap().inventory;
        controller(&Network::of(&inventory).unwrap())
    }

    /// A statement may do without a condition only if it changes nothing, or names what it uses.
    #[test]
    fn whatever_changes_something_is_bound() {
        for statement in policy()["Statement"].as_array().unwrap() {
            let actions = match &statement["Action"] {
                Value::String(one) => vec![one.clone()],
                many => serde_json::from_value(many.clone()).unwrap(),
            };
            let reads = |action: &String| {
                let verb = action.split(':').nth(1).unwrap();
                verb.starts_with("Describe") || verb.starts_with("Get")
            };
            let bound = statement.get("Condition").is_some();
            let images = statement["Sid"] == "LaunchFromImages";
            assert!(bound || images || actions.iter().all(reads), "{statement}");
            assert!(actions.iter().all(|action| !action.ends_with(":*")), "{statement}");
        }
    }

    #[test]
    fn the_policy_is_the_golden_one_and_has_its_place() {
        let text = format!("{:#}", policy());
        // The limit of a managed policy, without white space.
        assert!(policy().to_string().len() < 6144);
        insta::assert_snapshot!(text);
    }
}
