//! `hoist burst manifest`: the controller as something to install.

use crate::{
    artifact::Index,
    burst::{
        deploy::{Form, Installation, document},
        service,
    },
    cli::{
        Failure,
        shared::{InventoryArg, home, print},
    },
    engine::Library,
    exit::Exit,
    inventory::{self, Inventory},
};

/// Prints the controller as objects for Kubernetes, or as a unit of systemd for a control plane. Asks nobody.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    hoist burst manifest -i inventory/burst.yaml --as deployment --image registry.example.com/hoist:1 | kubectl apply -f -\n  \
    hoist burst manifest -i inventory/burst.yaml --as systemd > hoist-burst.service")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// In which form.
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Form,
    /// An image with the program `hoist` in its path.
    #[arg(long, value_name = "IMAGE", required_if_eq("form", "deployment"))]
    image: Option<String>,
    /// A Secret of the namespace hoist-burst with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the role of
    /// the machines.
    #[arg(long, value_name = "SECRET")]
    credentials: Option<String>,
    /// The folder that `--roles` names elsewhere, by its path there: in the image, or on the control planes.
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    roles: Option<String>,
}

fn absolute(path: &str) -> Result<String, &'static str> {
    match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err("it is looked for where the controller runs: an absolute path, as it is there"),
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = inventory::load(&args.inventory.file)?;
    let rules = service::rules(&loaded.inventory.burst)?;
    let installation = Installation {
        image: args.image.clone(),
        inventory: loaded.source.text().to_owned(),
        index: match args.form {
            Form::Deployment => index(&loaded.inventory)?,
            Form::Systemd => String::new(),
        },
        version: loaded.inventory.cluster.kubernetes.to_string(),
        credentials: args.credentials.clone(),
        roles: args.roles.clone(),
        region: rules.burst.region.unwrap_or_default(),
    };
    print(document(&Library::default(), args.form, &installation)?.as_bytes())
}

/// What the artifacts are: an object brings it along, a unit names where it is.
fn index(inventory: &Inventory) -> Result<String, Failure> {
    let folder = inventory::expand_home(&inventory.artifacts.folder, &home());
    let path = Index::home(&folder, &inventory.cluster.kubernetes.to_string()).join("index.yaml");
    std::fs::read_to_string(&path).map_err(|cause| {
        let message = format!("failed to read the index of the artifacts, {}: {cause}", path.display());
        Failure::os(std::io::Error::new(cause.kind(), message))
    })
}
