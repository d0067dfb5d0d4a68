//! `hoist init`: an inventory to start from.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdin},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{Failure, interview};
use crate::{
    exit::Exit,
    inventory::{self, NewHost, Start, usual_roles},
    report::tell_line,
};

/// Writes an inventory to start from, and never over a file that is there. No host is contacted. On a terminal it asks
/// for what no option says; `--yes` takes the defaults.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist init\n  \
    hoist init office.yaml --user admin --hosts cp1=192.168.18.201,w1=192.168.18.211,w2=192.168.18.212")]
pub struct Args {
    /// The file to write.
    #[arg(value_name = "FILE", default_value = "inventory.yaml")]
    file: PathBuf,
    /// The machines: the first becomes the control plane, the others workers; a single one is both
    /// [default: cp1=192.168.18.201,w1=192.168.18.211,w2=192.168.18.212]
    #[arg(long, value_name = "NAME=ADDRESS", value_delimiter = ',')]
    hosts: Option<Vec<Machine>>,
    /// The user to log in as [default: root]
    #[arg(long)]
    user: Option<String>,
    /// The Kubernetes version [default: the one that hoist is tested with]
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<String>,
    /// The cluster's name [default: that of the file]
    #[arg(long)]
    name: Option<String>,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

/// The machines of the file that is written where nobody says which there are.
const MACHINES: [(&str, Ipv4Addr); 3] = [
    ("cp1", Ipv4Addr::new(192, 168, 18, 201)),
    ("w1", Ipv4Addr::new(192, 168, 18, 211)),
    ("w2", Ipv4Addr::new(192, 168, 18, 212)),
];

/// A name and an address.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
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
    // Before anybody is asked for what cannot be written.
    if args.file.exists() {
        return Err(there_already(&args.file));
    }
    let somebody = stdin().is_terminal() && stderr().is_terminal();
    let start = match somebody && !args.yes {
        true => interview::hold(&mut stdin().lock(), &mut stderr(), &known(args)).map_err(Failure::os)?,
        false => known(args).or_usual(),
    };
    let text = inventory::start(&start)?;
    write(&args.file, &text)?;
    let file = args.file.display();
    tell_line(format_args!(
        "wrote {file}; edit it, then:\n  hoist check -i {file}\n  hoist trust -i {file}\n  hoist plan -i {file}"
    ));
    Ok(Exit::Ok)
}

fn known(args: &Args) -> interview::Known {
    let hosts = args.hosts.as_ref().map(|machines| {
        let machines: Vec<(&str, Ipv4Addr)> =
            machines.iter().map(|host| (host.name.as_str(), host.address)).collect();
        with_usual_roles(&machines)
    });
    interview::Known {
        name: args.name.clone(),
        usual_name: name_of(&args.file),
        kubernetes: args.kubernetes.clone(),
        user: args.user.clone(),
        hosts,
    }
}

fn with_usual_roles(machines: &[(&str, Ipv4Addr)]) -> Vec<NewHost> {
    let hosts = machines.iter().enumerate().map(|(index, (name, address))| NewHost {
        name: (*name).to_owned(),
        address: *address,
        roles: usual_roles(index, machines.len()),
    });
    hosts.collect()
}

impl interview::Known {
    /// What is not known is taken as it usually is.
    fn or_usual(self) -> Start {
        Start {
            name: self.name.unwrap_or(self.usual_name),
            kubernetes: self.kubernetes.unwrap_or_else(|| inventory::KUBERNETES.to_owned()),
            user: self.user.unwrap_or_else(|| interview::USER.to_owned()),
            hosts: self.hosts.unwrap_or_else(|| with_usual_roles(&MACHINES)),
        }
    }
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
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there_already(path),
        _ => {
            let report = miette::miette!(
                help = "name a file in a folder that is there and that you may write to",
                "failed to write {}: {error}",
                path.display()
            );
            Failure { report, exit: Exit::Os }
        }
    })
}

fn there_already(path: &Path) -> Failure {
    let report = miette::miette!(
        help = "name another file, or move that one away: nothing is ever written over it",
        "{} is there already",
        path.display()
    );
    Failure { report, exit: Exit::Usage }
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
