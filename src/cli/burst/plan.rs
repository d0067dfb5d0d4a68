//! `hoist burst plan`: what is needed in AWS?

use crate::{
    burst::{
        network::{self, Format, Network, document},
        permissions,
    },
    cli::{
        Failure,
        shared::{InventoryArg, print},
    },
    engine::Library,
    exit::Exit,
    report,
};

/// Shows the network that workers in EC2 need and what it costs, for people, as a document for the tools that your
/// company makes networks with, or the permissions that hoist needs there. Asks nobody and makes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist burst plan -i inventory/burst.yaml\n  \
    hoist burst plan -i inventory/burst.yaml --as terraform > burst.tf\n  \
    hoist burst plan -i inventory/burst.yaml --as policy > hoist-burst-policy.json")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// In which form.
    #[arg(long = "as", value_enum, default_value_t = Form::Text, value_name = "FORM")]
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// All of it, for programs.
    Json,
    /// HCL for Terraform or OpenTofu.
    Terraform,
    /// A template for AWS CloudFormation.
    Cloudformation,
    /// The permissions of whoever rents workers, as an IAM policy.
    Policy,
    /// The permissions that `up` and `destroy` need in addition, likewise.
    SetupPolicy,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let network = Network::of(&inventory)?;
    let text = match args.form {
        Form::Text => report::burst::network(&network, &inventory.burst),
        Form::Json => format!(
            "{:#}\n",
            serde_json::json!({
                "network": network,
                "policy": permissions::controller(&network, &inventory.burst.image),
                "setup_policy": permissions::setup(&network),
            })
        ),
        Form::Terraform | Form::Cloudformation if network.existing.is_some() => {
            return Err(network::Error::Existing.into());
        }
        Form::Terraform => document(&Library::default(), &network, Format::Terraform)?,
        Form::Cloudformation => document(&Library::default(), &network, Format::Cloudformation)?,
        Form::SetupPolicy => format!("{:#}\n", permissions::setup(&network)),
        Form::Policy => format!("{:#}\n", permissions::controller(&network, &inventory.burst.image)),
    };
    print(text.as_bytes())?;
    Ok(Exit::Ok)
}
