//! The network as other tools write it, for companies that review and make their networks with those.

use super::{Network, WIREGUARD};
use crate::engine::{self, Context, Library, Templates};

/// A language for networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// HCL for Terraform or OpenTofu.
    Terraform,
    /// A template for AWS CloudFormation.
    Cloudformation,
}

/// The network in this language. Everything in it but the gateway's instance, which hoist itself starts and replaces.
///
/// # Errors
/// When the template is not as hoist wrote it.
pub fn document(library: &Library, network: &Network, format: Format) -> Result<String, engine::Error> {
    let path = match format {
        Format::Terraform => "burst/network.tf",
        Format::Cloudformation => "burst/network.cfn.yaml",
    };
    let mut context = Context::default();
    context.set("network", network);
    context.set("wireguard", WIREGUARD);
    Templates::new(library.clone()).file(path, &context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn sample(format: Format) -> String {
        let inventory =
            inventory::parse("burst.yaml", include_str!("../../../inventory/burst.yaml")).unwrap();
        document(&Library::default(), &Network::of(&inventory.inventory).unwrap(), format).unwrap()
    }

    #[test]
    fn terraform_is_the_golden_one() {
        insta::assert_snapshot!(sample(Format::Terraform));
    }

    #[test]
    fn cloudformation_is_the_golden_one() {
        let text = sample(Format::Cloudformation);
        let template: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        // Whoever can reach the gateway from anywhere finds WireGuard, and nothing else.
        let rules = &template["Resources"]["GatewayGroup"]["Properties"]["SecurityGroupIngress"];
        for rule in rules.as_array().unwrap() {
            let from_anywhere = rule["CidrIp"] == "0.0.0.0/0";
            assert!(
                !from_anywhere || (rule["IpProtocol"] == "udp" && rule["FromPort"] == WIREGUARD),
                "{rule}"
            );
        }
        insta::assert_snapshot!(text);
    }
}
