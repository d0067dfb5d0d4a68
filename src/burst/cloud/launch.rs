//! The one request that costs money.
//!
//! It is written down in whole before it is sent and repeated as it was written, for EC2 knows a repetition by its
//! client token and refuses it when anything else differs (`IdempotentParameterMismatch`).

use std::{collections::BTreeMap, fmt};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{
    offer::{Architecture, Capacity, Offer},
    time::Time,
};

/// Names of tags. Permissions and collection rest on them, so they never change.
pub mod tag {
    /// The cluster's uid. Only what carries it is ever touched. (`hoist.dev/cluster` has its name, to which permissions are
    /// bound: a name is known before the cluster is, but two clusters may have the same.)
    pub const CLUSTER: &str = "hoist.dev/cluster-uid";
    /// The claim's name.
    pub const CLAIM: &str = "hoist.dev/claim";
    /// By when its claim should have ended it: for people, and for sweepers of their own. hoist goes by claims alone, which know
    /// more: an instance may be older than this while nothing else is to be had.
    pub const EXPIRES: &str = "hoist.dev/expires";
    /// What the AWS console shows.
    pub const NAME: &str = "Name";
}

/// What cloud-init gets: a script, or the gzip of one. It holds a token to join with, so it is never printed. It is kept as
/// base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserData(Vec<u8>);

/// More than EC2 takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the user data has {0} bytes; EC2 takes {max} at most", max = UserData::MAX)]
#[diagnostic(help("shorten `burst.script`: have it fetch what is long from a server of yours and run that"))]
pub struct TooLong(usize);

impl UserData {
    /// Bytes that EC2 takes, before they are encoded.
    pub const MAX: usize = 16 * 1024;

    /// # Errors
    /// It is too long.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooLong> {
        if bytes.len() > Self::MAX { Err(TooLong(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// For whoever sends it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<UserData> for String {
    fn from(data: UserData) -> String {
        BASE64.encode(&data.0)
    }
}

impl TryFrom<String> for UserData {
    /// Nothing of it is quoted.
    type Error = &'static str;

    fn try_from(text: String) -> Result<UserData, &'static str> {
        BASE64.decode(text.as_bytes()).map(UserData).map_err(|_| "user data that is no base64")
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UserData({} bytes)", self.0.len())
    }
}

/// Parameters of `RunInstances` for one instance (`MinCount` and `MaxCount` are 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RunInstances {
    pub client_token: String,
    pub image_id: String,
    pub instance_type: String,
    /// With a `network_interface` the one that that is in; it is not sent then, for EC2 knows it.
    pub subnet_id: String,
    pub security_group_ids: Vec<String>,
    /// `NetworkInterfaces[0].NetworkInterfaceId`: one that is there already, and stays when the instance ends. It has
    /// subnet, security groups and tags of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<String>,
    /// `IamInstanceProfile.Name`
    pub iam_instance_profile: Option<String>,
    pub user_data: UserData,
    /// `InstanceMarketOptions`: `spot`, one-time, without a maximum price; or nothing.
    pub spot: bool,
    /// `CreditSpecification.CpuCredits`: `standard` for types that compute on credits, or what they use beyond them would cost
    /// more than their price, which is what limits count. Nothing for all others, which EC2 would refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_specification: Option<String>,
    /// `terminate`, so that a node that powers itself off is gone.
    pub instance_initiated_shutdown_behavior: String,
    pub metadata_options: MetadataOptions,
    /// Of the root volume.
    pub root: Root,
    /// For the instance, its volume and its network interface alike (`TagSpecifications`).
    pub tags: BTreeMap<String, String>,
}

/// IMDSv2 only, and not from pods: their packets have one hop more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MetadataOptions {
    pub http_tokens: String,
    pub http_put_response_hop_limit: u8,
}

/// The root volume (`BlockDeviceMappings.Ebs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Root {
    pub device_name: String,
    /// GiB
    pub volume_size: u32,
    pub volume_type: String,
    pub encrypted: bool,
    pub kms_key_id: Option<String>,
    pub delete_on_termination: bool,
}

impl RunInstances {
    /// SHA-256 of the request in hexadecimal: what a repetition is compared by.
    pub fn digest(&self) -> String {
        // Strings, numbers and maps of strings always become JSON.
        hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What all launches of a cluster have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// AMI ids.
    pub images: BTreeMap<Architecture, String>,
    /// Subnet ids by availability zone.
    pub subnets: BTreeMap<String, String>,
    pub security_groups: Vec<String>,
    pub instance_profile: Option<String>,
    pub root_device: String,
    pub root_gib: u32,
    pub kms_key: Option<String>,
    /// In addition to hoist's own.
    pub tags: BTreeMap<String, String>,
}

impl Template {
    /// With which nothing can be launched: for who only looks at what there is, or ends it.
    pub fn bare(cluster: &str) -> Template {
        Template {
            cluster: cluster.to_owned(),
            images: BTreeMap::new(),
            subnets: BTreeMap::new(),
            security_groups: Vec::new(),
            instance_profile: None,
            root_device: String::new(),
            root_gib: 0,
            kms_key: None,
            tags: BTreeMap::new(),
        }
    }

    /// The request for attempt `number` of a claim; nothing if there is no subnet in the zone or no image.
    pub fn request(
        &self,
        claim: &str,
        number: u32,
        offer: &Offer,
        architecture: Architecture,
        user_data: UserData,
        expires: Time,
    ) -> Option<RunInstances> {
        let mut tags = self.tags.clone();
        for (name, value) in [
            (tag::CLUSTER, self.cluster.clone()),
            (tag::CLAIM, claim.to_owned()),
            (tag::EXPIRES, expires.to_string()),
            (tag::NAME, claim.to_owned()),
        ] {
            tags.insert(name.to_owned(), value);
        }
        Some(RunInstances {
            client_token: client_token(&self.cluster, claim, number),
            image_id: self.images.get(&architecture)?.clone(),
            instance_type: offer.instance_type.clone(),
            subnet_id: self.subnets.get(&offer.zone)?.clone(),
            security_group_ids: self.security_groups.clone(),
            network_interface: None,
            iam_instance_profile: self.instance_profile.clone(),
            user_data,
            spot: offer.capacity == Capacity::Spot,
            credit_specification: is_burstable(&offer.instance_type).then(|| "standard".to_owned()),
            instance_initiated_shutdown_behavior: "terminate".to_owned(),
            metadata_options: MetadataOptions {
                http_tokens: "required".to_owned(),
                http_put_response_hop_limit: 1,
            },
            root: Root {
                device_name: self.root_device.clone(),
                volume_size: self.root_gib,
                volume_type: "gp3".to_owned(),
                encrypted: true,
                kms_key_id: self.kms_key.clone(),
                delete_on_termination: true,
            },
            tags,
        })
    }

    /// Changes with everything that may cure a refusal.
    pub fn digest(&self) -> String {
        hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Whether a type computes on credits: `t3`, `t4g` and the like.
fn is_burstable(instance_type: &str) -> bool {
    instance_type.strip_prefix('t').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The same for the same attempt of the same claim, whoever computes it, and no other: 64 characters, EC2's limit.
pub fn client_token(cluster: &str, claim: &str, number: u32) -> String {
    hex(format!("{cluster}\n{claim}\n{number}").as_bytes())
}

/// SHA-256 in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::offer::Money;

    fn request(number: u32, user_data: &str) -> RunInstances {
        request_of("m7g.large", number, user_data)
    }

    fn request_of(instance_type: &str, number: u32, user_data: &str) -> RunInstances {
        let template = Template {
            cluster: "8c1f".into(),
            images: [(Architecture::Arm64, "ami-1".into())].into(),
            subnets: [("eu-central-1a".into(), "subnet-a".into())].into(),
            security_groups: vec!["sg-1".into()],
            instance_profile: Some("hoist".into()),
            root_device: "/dev/xvda".into(),
            root_gib: 20,
            kms_key: None,
            tags: [("team".into(), "web".into()), (tag::CLAIM.into(), "mine".into())].into(),
        };
        let offer = Offer {
            instance_type: instance_type.into(),
            zone: "eu-central-1a".into(),
            capacity: Capacity::Spot,
            price: Money(30_000),
        };
        let user_data = UserData::new(user_data.into()).unwrap();
        assert!(
            template.request("c", 1, &offer, Architecture::Amd64, user_data.clone(), Time(0)).is_none(),
            "no image"
        );
        template.request("burst-1", number, &offer, Architecture::Arm64, user_data, Time(0)).unwrap()
    }

    #[test]
    fn a_launch_cannot_outlive_its_instance_and_says_whose_it_is() {
        let request = request(1, "#cloud-config");
        assert!(request.spot && request.root.delete_on_termination && request.root.encrypted);
        assert_eq!(request.instance_initiated_shutdown_behavior, "terminate");
        assert_eq!(request.metadata_options.http_tokens, "required");
        assert_eq!(request.metadata_options.http_put_response_hop_limit, 1);
        assert_eq!(request.tags[tag::CLUSTER], "8c1f");
        assert_eq!(request.tags[tag::CLAIM], "burst-1", "nobody's tag stands in for ours");
        assert_eq!(request.tags["team"], "web");
    }

    #[test]
    fn what_computes_on_credits_costs_its_price_and_no_more() {
        for name in ["t3.large", "t3a.medium", "t4g.xlarge"] {
            assert_eq!(request_of(name, 1, "").credit_specification.as_deref(), Some("standard"), "{name}");
        }
        for name in ["m7g.large", "trn1.2xlarge"] {
            assert_eq!(request_of(name, 1, "").credit_specification, None, "EC2 refuses it for {name}");
        }
        // What was written before is repeated with the bytes that it had.
        assert!(!serde_json::to_string(&request(1, "")).unwrap().contains("CreditSpecification"));
    }

    #[test]
    fn the_token_is_that_of_the_attempt_and_fits_ec2() {
        assert_eq!(request(1, "a").client_token, request(1, "b").client_token);
        assert_ne!(request(1, "a").client_token, request(2, "a").client_token);
        assert_ne!(client_token("a", "b", 1), client_token("a", "c", 1));
        assert_eq!(client_token("a", "b", 1).len(), 64);
        assert_ne!(request(1, "a").digest(), request(1, "b").digest());
    }

    #[test]
    fn user_data_is_never_printed_and_never_too_long() {
        assert!(!format!("{:?}", request(1, "s3cr3t")).contains("s3cr3t"));
        let kept = serde_json::to_string(&request(1, "s3cr3t").user_data).unwrap();
        assert_eq!(serde_json::from_str::<UserData>(&kept).unwrap().expose(), b"s3cr3t");
        let damaged = serde_json::from_str::<UserData>("\"s3cr3t\"").unwrap_err();
        assert!(!damaged.to_string().contains("s3cr3t"), "{damaged}");
        assert!(UserData::new(vec![0; UserData::MAX]).is_ok());
        assert_eq!(UserData::new(vec![0; UserData::MAX + 1]), Err(TooLong(UserData::MAX + 1)));
    }
}
