//! `hoist lab`: local nodes.

use std::{ffi::OsString, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    exit::Exit,
    lab::{self, Cache, Config, LabError, NodeSpec},
    report::steps,
};

/// Local nodes to try things on: real systemd and sshd, in a network of their own on this machine
#[derive(Debug, Args)]
#[command(after_help = "Example: hoist lab setup && hoist lab up && hoist lab ssh cp1")]
pub struct LabArgs {
    /// Which lab; labs of different names do not see each other
    #[arg(long, global = true, env = "HOIST_LAB", default_value = lab::DEFAULT_LAB)]
    lab: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install and build what the lab needs, once; says first what that is, and asks
    #[command(after_help = "Example: hoist lab setup --yes")]
    Setup {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Start the nodes that are not running, and wait until they answer SSH
    #[command(after_help = "Example: hoist lab up --node cp1=10.77.0.11 --node w1=10.77.0.12")]
    Up {
        /// A node to run; may be given more than once [default: cp1=10.77.0.11 w1=10.77.0.12 w2=10.77.0.13]
        #[arg(long = "node", value_name = "NAME=ADDRESS")]
        nodes: Vec<NodeSpec>,
        /// How long a node may take to answer
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        boot_limit: u64,
    },
    /// Show the nodes
    #[command(after_help = "Example: hoist lab status --output json")]
    Status {
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Log in to a node as root, or run a command there; the exit status is that of ssh
    #[command(after_help = "Example: hoist lab ssh cp1 -- systemctl status kubelet")]
    Ssh {
        node: String,
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Run a program of this machine inside the lab's network; the exit status is that of the program
    #[command(after_help = "Example: hoist lab exec -- curl http://10.77.0.12:30080/")]
    Exec {
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Stop the nodes, remove everything they used, and prove that nothing is left
    #[command(after_help = "Example: hoist lab down --keep-disks")]
    Down {
        /// Keep the nodes' disks: the next `hoist lab up` boots them with their data
        #[arg(long)]
        keep_disks: bool,
    },
    /// Watch over one node; started by `up`
    #[command(hide = true)]
    Supervise { node: NodeSpec },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Carries out `hoist lab`.
///
/// Must run before an asynchronous runtime is started: `ssh` and `exec` replace the process.
///
/// # Errors
/// [`LabError`], which knows its exit code.
pub fn run(arguments: LabArgs) -> Result<Exit, LabError> {
    let config = Config::new(Cache::locate()?, &arguments.lab)?;
    match arguments.verb {
        Verb::Setup { yes } => {
            lab::setup(&config.cache, yes, &mut *steps::on_stderr())?;
            eprintln!("the lab is set up; start it with `hoist lab up`");
        }
        Verb::Up { nodes, boot_limit } => {
            let nodes = if nodes.is_empty() { NodeSpec::three() } else { nodes };
            let config = Config { boot_limit: Duration::from_secs(boot_limit), ..config };
            let started = lab::up(&config, &nodes, &mut *steps::on_stderr())?;
            if started.is_empty() {
                eprintln!("all {} nodes are running already", nodes.len());
            }
        }
        Verb::Status { output } => print_status(&lab::status(&config)?, output),
        Verb::Ssh { node, command } => return Err(lab::ssh(&config, &node, &command)),
        Verb::Exec { command } => {
            if let Some((program, arguments)) = command.split_first() {
                return Err(lab::exec(&config, program, arguments));
            }
        }
        Verb::Down { keep_disks } => lab::down(&config, keep_disks, &mut *steps::on_stderr())?,
        Verb::Supervise { node } => lab::supervise(&config, &node)?,
    }
    Ok(Exit::Ok)
}

fn print_status(nodes: &[lab::NodeStatus], output: Output) {
    match output {
        Output::Json => println!("{}", serde_json::json!(nodes)),
        Output::Text if nodes.is_empty() => eprintln!("no nodes; start some with `hoist lab up`"),
        Output::Text => print!("{}", lab::table(nodes)),
    }
}
