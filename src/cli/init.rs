//! `hoist init`: an inventory to start from.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::Failure;
use crate::{
    exit::Exit,
    inventory::{self, Start},
};

/// Writes an inventory to start from, and never over a file that is there. No host is contacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist init\n  \
    hoist init office.yaml --user admin --hosts cp1=192.168.18.201,w1=192.168.18.211,w2=192.168.18.212")]
pub struct Args {
    /// The file to write.
    #[arg(value_name = "FILE", default_value = "inventory.yaml")]
    file: PathBuf,
    /// The machines: the first becomes the control plane, the others workers; a single one is both.
    #[arg(
        long,
        value_name = "NAME=ADDRESS",
        value_delimiter = ',',
        default_values = ["cp1=192.168.18.201", "w1=192.168.18.211", "w2=192.168.18.212"]
    )]
    hosts: Vec<Machine>,
    /// The user to log in as.
    #[arg(long, default_value = "root")]
    user: String,
    /// The Kubernetes version.
    #[arg(long, value_name = "VERSION", default_value = inventory::KUBERNETES)]
    kubernetes: String,
    /// The cluster's name [default: that of the file]
    #[arg(long)]
    name: Option<String>,
}

/// A name and an address.
#[derive(Debug, Clone)]
struct Machine {
    name: String,
    address: Ipv4Addr,
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Machine, String> {
        let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS, such as cp1=192.168.18.201")?;
        let address = address.parse().map_err(|_| format!("`{address}` is no IPv4 address"))?;
        Ok(Machine { name: name.to_owned(), address })
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let start = Start {
        name: args.name.clone().unwrap_or_else(|| name_of(&args.file)),
        kubernetes: args.kubernetes.clone(),
        user: args.user.clone(),
        hosts: args.hosts.iter().map(|host| (host.name.clone(), host.address)).collect(),
    };
    let text = inventory::start(&start)?;
    write(&args.file, &text)?;
    let file = args.file.display();
    eprintln!(
        "wrote {file}; edit it, then:\n  hoist check -i {file}\n  hoist trust -i {file}\n  hoist plan -i {file}"
    );
    Ok(Exit::Ok)
}

/// The file's name as a cluster's: `Office 2.yaml` as `office-2`.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name: String =
        stem.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    match name.trim_matches('-') {
        "" | "inventory" => "cluster".to_owned(),
        name => name.chars().take(63).collect(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let shown = path.display();
        let (report, exit) = match error.kind() {
            ErrorKind::AlreadyExists => (
                miette::miette!(
                    help = "name another file, or move that one away: nothing is ever written over it",
                    "{shown} is there already"
                ),
                Exit::Usage,
            ),
            _ => (miette::miette!("failed to write {shown}: {error}"), Exit::Os),
        };
        Failure { report, exit }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_called_like_its_file() {
        for (file, name) in [
            ("office.yaml", "office"),
            ("clusters/Office 2.yaml", "office-2"),
            ("inventory.yaml", "cluster"),
            ("--.yaml", "cluster"),
        ] {
            assert_eq!(name_of(Path::new(file)), name, "{file}");
        }
    }
}
