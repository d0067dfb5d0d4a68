//! `hoist kubeconfig`: credentials for kubectl.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::{
    Failure,
    shared::{InventoryArg, connect, print},
};
use crate::{
    cluster::{
        self,
        kubeconfig::{self, Whose},
        limited::{self, Person},
    },
    exit::Exit,
    inventory::Role,
    kube,
};

/// Prints a kubeconfig with two contexts: the administrator's, and a limited one that sees everything but Secrets and may
/// restart and scale applications. The limited certificate is made anew each time, by a control plane that lives.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist kubeconfig -i inventory/lab.yaml --file lab.kubeconfig\n  \
    hoist kubeconfig -i inventory/lab.yaml --context limited --user ada --file ada.kubeconfig")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Write it here, readable by you alone, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only this context, such as the limited one for somebody else.
    #[arg(long, value_enum)]
    context: Option<Context>,
    /// Who the limited context is for, as audit logs name them.
    #[arg(long, value_name = "NAME", default_value = "operator", value_parser = user)]
    user: String,
    /// Days that the limited certificate lives; it cannot be revoked before. A year by default, and always with Kubernetes
    /// 1.20.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Context {
    Admin,
    Limited,
}

/// A name that means nothing to Kubernetes: those with a colon are its own.
fn user(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fine) {
        return Err("a name has up to 64 letters, digits, and any of - _ . @".to_string());
    }
    Ok(text.to_string())
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let text = text(args).await?;
    match &args.file {
        Some(path) => kubeconfig::write(path, &text)?,
        None => _ = print(text.expose_secret().as_bytes())?,
    }
    Ok(Exit::Ok)
}

async fn text(args: &Args) -> Result<SecretString, Failure> {
    let inventory = args.inventory.load()?;
    let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
    let session = connect(&inventory, control_planes).await?;
    let (host, admin) = cluster::speaker(&inventory, &session).await?;
    let (address, port) = inventory.outer_endpoint(host.name()).unwrap_or_default();
    let (cluster, server) = (&inventory.cluster.name, format!("https://{address}:{port}"));
    let own = || kubeconfig::rename(&admin, cluster, &server, Whose::Admin);
    if args.context == Some(Context::Admin) {
        return Ok(own()?);
    }
    let api = kube::connect(host.clone(), admin.expose_secret()).await?;
    let person = Person { name: args.user.clone(), days: args.days };
    let limited = limited::issue(&*host, &api, &inventory.cluster.kubernetes, &person).await?;
    let limited = kubeconfig::rename(&limited, cluster, &server, Whose::Limited(&args.user))?;
    Ok(match args.context {
        Some(Context::Limited) => limited,
        _ => kubeconfig::join(&own()?, &limited)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_what_kubernetes_calls_its_own() {
        for name in ["ada", "ada.lovelace@example.com", "a_b-1"] {
            assert_eq!(user(name).as_deref(), Ok(name));
        }
        for name in ["", "system:admin", "a b", "a/b", "'", &"a".repeat(65)] {
            assert!(user(name).is_err(), "{name}");
        }
    }
}
