//! What is rented, and what boots on it. The doc comments are the reference that users read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an instance is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// Cheap, and taken back by EC2 with two minutes of notice.
    Spot,
    OnDemand,
}

impl Capacity {
    /// As labels of nodes have it.
    pub fn name(self) -> &'static str {
        match self {
            Capacity::Spot => "spot",
            Capacity::OnDemand => "on-demand",
        }
    }
}

/// A processor architecture, by Kubernetes' name for it (`kubernetes.io/arch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    Amd64,
    Arm64,
}

/// Which types of instances may be rented. What is not said is not limited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Instances {
    /// The processors that images of pods are made for.
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub architectures: Vec<Architecture>,
    /// Families such as `m7i` or `c7a`. Default: all that AWS calls current and counts in its quotas of standard instances
    /// (A, C, D, H, I, M, R, T, Z). Others, such as `g6` or `x8g`, have quotas of their own, which are 0 in new accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[a-z0-9-]+$")))]
    pub families: Vec<String>,
    /// Exactly these types, such as `m7i.large`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$")))]
    pub types: Vec<String>,
    /// The oldest generation: the number in `m7i`.
    #[schemars(range(min = 1))]
    pub generation: u32,
    /// The fewest and the most vCPUs of one instance.
    pub vcpus: Range,
    /// The least and the most memory of one instance, in GiB.
    pub memory: Range,
    /// Types whose speed depends on credits, such as `t3`. They are launched as `standard`, so that they cost their price and no
    /// more: they begin without credits, with a fraction of their processors.
    pub burstable: bool,
}

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    pub min: u32,
    pub max: u32,
}

/// What instances boot: an image with cloud-init, of a system whose packages hoist knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Image {
    /// The system that is in it.
    pub system: System,
    /// For amd64: the id of an image, or a parameter of SSM that holds one. Default: the newest of the system's makers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(ami-[0-9a-f]+|/[A-Za-z0-9/._-]+)$"))]
    pub amd64: Option<String>,
    /// For arm64, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(ami-[0-9a-f]+|/[A-Za-z0-9/._-]+)$"))]
    pub arm64: Option<String>,
    /// The name of the root volume's device in it. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/dev/[a-z0-9]+$"))]
    pub root_device: Option<String>,
}

/// The system in an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum System {
    #[serde(rename = "debian-12")]
    Debian12,
    #[default]
    #[serde(rename = "debian-13")]
    Debian13,
    #[serde(rename = "ubuntu-24.04")]
    Ubuntu2404,
}

impl Image {
    /// What the inventory says for this architecture.
    pub fn said(&self, architecture: Architecture) -> Option<&str> {
        match architecture {
            Architecture::Amd64 => self.amd64.as_deref(),
            Architecture::Arm64 => self.arm64.as_deref(),
        }
    }

    /// What EC2 is asked for: an id, or a parameter of SSM, which EC2 resolves when it launches.
    pub fn id(&self, architecture: Architecture) -> String {
        let said = self.said(architecture).map(str::to_owned);
        let id = said.unwrap_or_else(|| self.system.newest(architecture));
        if id.starts_with('/') { format!("resolve:ssm:{id}") } else { id }
    }

    /// The root volume's device.
    pub fn device(&self) -> &str {
        let usual = match self.system {
            System::Debian12 | System::Debian13 => "/dev/xvda",
            System::Ubuntu2404 => "/dev/sda1",
        };
        self.root_device.as_deref().unwrap_or(usual)
    }
}

impl System {
    /// The parameters that Debian and Canonical publish in every region:
    /// <https://wiki.debian.org/Cloud/AmazonEC2Image> and
    /// <https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/>.
    fn newest(self, architecture: Architecture) -> String {
        let architecture = match architecture {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        };
        match self {
            System::Debian12 => format!("/aws/service/debian/release/12/latest/{architecture}"),
            System::Debian13 => format!("/aws/service/debian/release/13/latest/{architecture}"),
            System::Ubuntu2404 => {
                format!(
                    "/aws/service/canonical/ubuntu/server/24.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id"
                )
            }
        }
    }
}

impl Default for Instances {
    fn default() -> Instances {
        Instances {
            architectures: vec![Architecture::Amd64],
            families: Vec::new(),
            types: Vec::new(),
            generation: 5,
            vcpus: Range { min: 2, max: 32 },
            memory: Range { min: 4, max: 256 },
            burstable: false,
        }
    }
}

impl Default for Range {
    fn default() -> Range {
        Range { min: 1, max: u32::MAX }
    }
}
