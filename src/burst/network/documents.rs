//! The network as other tools write it, for companies that review and make their networks with those.

use super::{Network, WIREGUARD};
use crate::burst::cloud::hex;
use crate::engine::{self, Context, Library, Templates};

/// A language for networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// HCL for Terraform or OpenTofu.
    Terraform,
    /// A template for AWS CloudFormation.
    Cloudformation,
}

/// What CloudFormation keeps of a document: its digest. So it is known what a stack was made from, by whomever, without
/// a tag or a parameter of hoist's own; and when CloudFormation goes back after a failure, so does this.
pub const DIGEST: &str = "Digest";

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
    let mut text = Templates::new(library.clone()).file(path, &context)?;
    if format == Format::Cloudformation {
        // The outputs are its last part.
        let digest = digest(&text);
        text += &format!("  {DIGEST}: {{Description: of all above, Value: {digest}}}\n");
    }
    Ok(text)
}

/// Of a document of CloudFormation's; that line itself does not count.
pub(super) fn digest(document: &str) -> String {
    let end = document.find(&format!("\n  {DIGEST}: ")).map_or(document.len(), |at| at + 1);
    hex(&document.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::inventory::{self, Connection};

    fn sample(format: Format) -> String {
        sample_with(Connection::Gateway, format)
    }

    fn sample_with(connection: Connection, format: Format) -> String {
        let text = include_str!("../../../inventory/burst.yaml");
        let mut inventory = inventory::parse("burst.yaml", text).unwrap().inventory;
        inventory.burst.connection = connection;
        inventory.burst.vpn_device = (connection == Connection::Vpn).then(|| "203.0.113.9".parse().unwrap());
        document(&Library::default(), &Network::of(&inventory).unwrap(), format).unwrap()
    }

    /// Every `Ref`, `Fn::GetAtt` and `DependsOn`, wherever it stands.
    fn references(value: &Value, found: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            value.as_array().into_iter().flatten().for_each(|inner| references(inner, found));
            return;
        };
        for (key, inner) in object {
            match (key.as_str(), inner) {
                ("Ref" | "DependsOn", Value::String(name)) => found.push(name.clone()),
                ("Fn::GetAtt", Value::Array(path)) => found.push(path[0].as_str().unwrap().to_owned()),
                _ => references(inner, found),
            }
        }
    }

    #[test]
    fn terraform_is_the_golden_one() {
        insta::assert_snapshot!(sample(Format::Terraform));
    }

    #[test]
    fn cloudformation_is_the_golden_one() {
        let text = sample(Format::Cloudformation);
        let template: Value = serde_yaml::from_str(&text).unwrap();
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

    #[test]
    fn a_vpn_is_the_golden_one_in_both_languages() {
        insta::assert_snapshot!(sample_with(Connection::Vpn, Format::Terraform));
        insta::assert_snapshot!(sample_with(Connection::Vpn, Format::Cloudformation));
    }

    #[test]
    fn every_connection_gives_a_whole_document_and_a_digest_of_its_own() {
        let mut digests = Vec::new();
        for connection in [Connection::Gateway, Connection::Vpn, Connection::Routed] {
            let text = sample_with(connection, Format::Cloudformation);
            // What CloudFormation takes in a request.
            assert!(text.len() < 51_200, "{} bytes", text.len());
            let template: Value = serde_yaml::from_str(&text).unwrap();
            let mut found = Vec::new();
            references(&template, &mut found);
            let resources = template["Resources"].as_object().unwrap();
            for name in found {
                assert!(resources.contains_key(&name), "{connection:?}: there is no {name}");
            }
            let gateway = connection == Connection::Gateway;
            for (name, wanted) in [
                ("GatewayInterface", gateway),
                ("NatGateway", !gateway),
                ("VpnConnection", connection == Connection::Vpn),
            ] {
                assert_eq!(resources.contains_key(name), wanted, "{connection:?}: {name}");
            }
            assert_eq!(template["Outputs"][DIGEST]["Value"], digest(&text));
            digests.push(digest(&text));
        }
        digests.dedup();
        assert_eq!(digests.len(), 3);
    }
}
