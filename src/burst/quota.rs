//! AWS' quotas of vCPUs. Each is of an account, a region, a way of paying, and a bucket of families:
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html>.

use serde::{Deserialize, Serialize};

use super::offer::Capacity;

/// Families of instance types that share a quota, by the letters that their names begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bucket {
    /// A, C, D, H, I, M, R, T, Z: the only one of which a new account may have any.
    Standard,
    Dl,
    F,
    GAndVt,
    Hpc,
    HighMemory,
    Inf,
    P,
    Trn,
    X,
    /// What AWS has made since.
    Other,
}

impl Bucket {
    /// That of a family or a type, such as `m7i` or `m7i.large`.
    pub fn of(name: &str) -> Bucket {
        let end = name.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(name.len());
        let letters = &name[..end];
        match letters {
            "dl" => Bucket::Dl,
            "hpc" => Bucket::Hpc,
            "inf" => Bucket::Inf,
            "mac" => Bucket::Other,
            "trn" => Bucket::Trn,
            "u" => Bucket::HighMemory,
            "vt" => Bucket::GAndVt,
            _ => match letters.chars().next() {
                Some('a' | 'c' | 'd' | 'h' | 'i' | 'm' | 'r' | 't' | 'z') => Bucket::Standard,
                Some('f') => Bucket::F,
                Some('g') => Bucket::GAndVt,
                Some('p') => Bucket::P,
                Some('x') => Bucket::X,
                _ => Bucket::Other,
            },
        }
    }

    /// The name and the code of its quota, as Service Quotas has them. There is none for what is not sold in that way.
    pub fn quota(self, capacity: Capacity) -> Option<(&'static str, &'static str)> {
        let (on_demand, spot) = match self {
            Bucket::Standard => (
                ("Running On-Demand Standard instances", "L-1216C47A"),
                Some(("All Standard Spot Instance Requests", "L-34B43A08")),
            ),
            Bucket::Dl => (
                ("Running On-Demand DL instances", "L-6E869C2A"),
                Some(("All DL Spot Instance Requests", "L-85EED4F7")),
            ),
            Bucket::F => (
                ("Running On-Demand F instances", "L-74FC7D96"),
                Some(("All F Spot Instance Requests", "L-88CF9481")),
            ),
            Bucket::GAndVt => (
                ("Running On-Demand G and VT instances", "L-DB2E81BA"),
                Some(("All G and VT Spot Instance Requests", "L-3819A6DF")),
            ),
            Bucket::Hpc => (("Running On-Demand HPC instances", "L-F7808C92"), None),
            Bucket::HighMemory => (("Running On-Demand High Memory instances", "L-43DA4232"), None),
            Bucket::Inf => (
                ("Running On-Demand Inf instances", "L-1945791B"),
                Some(("All Inf Spot Instance Requests", "L-B5D1601B")),
            ),
            Bucket::P => (
                ("Running On-Demand P instances", "L-417A185B"),
                Some(("All P Spot Instance Requests", "L-7212CCBC")),
            ),
            Bucket::Trn => (
                ("Running On-Demand Trn instances", "L-2C3B7624"),
                Some(("All Trn Spot Instance Requests", "L-6B0D517C")),
            ),
            Bucket::X => (
                ("Running On-Demand X instances", "L-7295265B"),
                Some(("All X Spot Instance Requests", "L-E3A00192")),
            ),
            Bucket::Other => return None,
        };
        match capacity {
            Capacity::OnDemand => Some(on_demand),
            Capacity::Spot => spot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_of_a_name_say_which_quota_counts_it() {
        for (names, bucket) in [
            ("a1 c7gn d3en h1 i4i im4gn is4gen m7i-flex.large r8g t4g.nano z1d", Bucket::Standard),
            ("dl1 dl2q.24xlarge", Bucket::Dl),
            ("f1 f2.6xlarge", Bucket::F),
            ("g4dn.xlarge g5g gr6 vt1", Bucket::GAndVt),
            ("hpc7g", Bucket::Hpc),
            ("u-6tb1 u7i-12tb", Bucket::HighMemory),
            ("inf2.xlarge", Bucket::Inf),
            ("p4d p5", Bucket::P),
            ("trn1", Bucket::Trn),
            ("x1e x2gd x8g.large", Bucket::X),
            ("mac2 y1 7", Bucket::Other),
        ] {
            for name in names.split(' ') {
                assert_eq!(Bucket::of(name), bucket, "{name}");
            }
        }
    }
}
