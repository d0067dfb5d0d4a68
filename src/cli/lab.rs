//! `hoist lab`: local nodes.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{Failure, shared::print};
use crate::{
    exit::Exit,
    inventory,
    lab::{self, Cache, Config, Delay, Loss, NodeSpec, Nodes, Quality, Rate, Shift, Size},
    report::{steps, tell_line},
};

/// Local nodes to try things on: real systemd and sshd, in a network of their own on this machine
#[derive(Debug, Args)]
#[command(after_help = "Example: hoist lab setup && hoist lab up && hoist lab ssh cp1")]
pub struct LabArgs {
    /// Which lab; labs of different names do not see each other [default: hoist-lab]
    #[arg(long, global = true, env = "HOIST_LAB")]
    lab: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install and build what the lab needs, once; says first what that is, and asks
    #[command(after_help = "Example: hoist lab setup --yes")]
    Setup {
        /// Only what nodes need, without a Kubernetes: for inventories whose artifacts come by a lock
        #[arg(long)]
        nodes_only: bool,
        /// Also what nodes need that are virtual machines (`hoist lab up --virtual`)
        #[arg(long = "virtual")]
        virtual_machines: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Start the nodes that are not running, and wait until they answer SSH; nodes that are not named stay as they are
    #[command(after_help = "Example: hoist lab up --nodes 5\n         \
                            hoist lab up --nodes cp1=10.77.0.11@north,w1=10.77.0.21@south\n         \
                            hoist lab up -i inventory/lab.yaml\n         \
                            hoist lab up --nodes 2 --virtual w1")]
    Up {
        /// So many nodes, or these; may be given more than once [default: cp1=10.77.0.11,w1=10.77.0.12,w2=10.77.0.13]
        #[arg(long = "nodes", alias = "node", value_name = "N|NAME=ADDRESS[@SITE],…")]
        nodes: Vec<Nodes>,
        /// The hosts of this inventory, in the lab that its `ssh.network_namespace` names
        #[arg(short = 'i', long, value_name = "FILE", conflicts_with = "nodes")]
        inventory: Option<PathBuf>,
        /// Give new nodes a disk of their own of this size, which can be full; else they share that of this machine
        #[arg(long, value_name = "SIZE", value_parser = lab::disk_size)]
        disk: Option<Size>,
        /// Make these of the new nodes virtual machines: a kernel and a clock of their own. They boot in minutes
        #[arg(long = "virtual", value_name = "NODE,…", value_delimiter = ',')]
        virtual_machines: Vec<String>,
        /// How long a node may take to answer; a virtual machine may take five times as long
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
    /// Cut the power of nodes: everything in them ends at once. Their disks stay
    #[command(
        after_help = "Example: hoist lab stop cp1 w1\n         hoist lab stop north   a site: all nodes that stand there"
    )]
    Stop {
        #[arg(required = true, value_name = "NODE|SITE")]
        nodes: Vec<String>,
        /// Shut them down in order
        #[arg(long)]
        gently: bool,
    },
    /// Boot nodes that were stopped, and wait until they answer SSH
    #[command(after_help = "Example: hoist lab start cp1 w1")]
    Start {
        #[arg(required = true, value_name = "NODE|SITE")]
        nodes: Vec<String>,
    },
    /// Cut links: what is sent on them is lost, in both directions
    #[command(
        after_help = "Example: hoist lab cut w1            w1 is cut off from everything, this machine included\n         \
                            hoist lab cut w1 w2\n         \
                            hoist lab cut north south   two sites; each goes on inside, and this machine reaches both"
    )]
    Cut {
        #[command(flatten)]
        ends: Ends,
    },
    /// Make links slow, in both directions
    #[command(after_help = "Example: hoist lab slow w1 --delay 100ms --loss 1%\n         \
                            hoist lab slow north south --delay 5ms --rate 100mbit")]
    #[command(group = ArgGroup::new("quality").required(true).multiple(true))]
    Slow {
        #[command(flatten)]
        ends: Ends,
        /// Hold each frame so long; a round trip takes twice as much
        #[arg(long, value_name = "TIME", group = "quality")]
        delay: Option<Delay>,
        /// Lose so many frames
        #[arg(long, value_name = "PERCENT", group = "quality")]
        loss: Option<Loss>,
        /// Let so many bits a second pass; what waits for more than a second is lost
        #[arg(long, value_name = "RATE", group = "quality")]
        rate: Option<Rate>,
    },
    /// Make links whole again: the link between two ends, all links of one, or all of the lab
    #[command(after_help = "Example: hoist lab heal\n         \
                            hoist lab heal w1\n         \
                            hoist lab heal w1 gateway")]
    Heal {
        /// A node, a site, or `gateway`: this machine
        #[arg(value_name = "NODE|SITE")]
        a: Option<String>,
        /// The other end
        #[arg(value_name = "NODE|SITE")]
        b: Option<String>,
    },
    /// Fill the disk of a node that has one of its own (`hoist lab up --disk`)
    #[command(after_help = "Example: hoist lab fill w1 --leave 50M\n         hoist lab fill w1 --undo")]
    Fill {
        /// A node with a disk of its own
        node: String,
        /// So much stays free
        #[arg(long, value_name = "SIZE", default_value = "0K")]
        leave: Size,
        /// Free what was filled
        #[arg(long, conflicts_with = "leave")]
        undo: bool,
    },
    /// Set the clock of a node that is a virtual machine (`hoist lab up --virtual`); it is right again when the node reboots
    #[command(after_help = "Example: hoist lab clock w1 --ahead 10m\n         hoist lab clock w1 --right")]
    #[command(group = ArgGroup::new("shift").required(true))]
    Clock {
        /// A virtual machine
        node: String,
        /// So far ahead of this machine's
        #[arg(long, value_name = "TIME", group = "shift")]
        ahead: Option<Shift>,
        /// So far behind it
        #[arg(long, value_name = "TIME", group = "shift")]
        behind: Option<Shift>,
        /// As this machine's
        #[arg(long, group = "shift")]
        right: bool,
    },
    /// Stop the nodes, remove everything they used, and prove that nothing is left; or remove single nodes
    #[command(after_help = "Example: hoist lab down --keep-disks\n         hoist lab down w2")]
    Down {
        /// Remove these nodes and their disks; the others stay
        nodes: Vec<String>,
        /// Keep the nodes' disks: the next `hoist lab up` boots them with their data
        #[arg(long, conflicts_with = "nodes")]
        keep_disks: bool,
    },
    /// Watch over one node; started by `up`
    #[command(hide = true)]
    Supervise { node: NodeSpec },
    /// Be the slow links; started by `slow`
    #[command(hide = true)]
    Relay,
}

/// Between what the links are.
#[derive(Debug, Args)]
struct Ends {
    /// A node, a site, or `gateway`: this machine
    #[arg(value_name = "NODE|SITE")]
    a: String,
    /// The other end [default: everything else; inside a site, nothing changes]
    #[arg(value_name = "NODE|SITE")]
    b: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Carries out `hoist lab`.
///
/// Must run before an asynchronous runtime is started: `ssh` and `exec` replace the process.
pub fn run(arguments: LabArgs) -> Result<Exit, Failure> {
    let inventory = match &arguments.verb {
        Verb::Up { inventory: Some(file), .. } => Some(inventory::load(file)?.inventory),
        _ => None,
    };
    let named = inventory.as_ref().and_then(|inventory| inventory.ssh.network_namespace.clone());
    let name = arguments.lab.or(named).unwrap_or_else(|| lab::DEFAULT_LAB.to_owned());
    let config = Config::new(Cache::locate()?, &name)?;
    match arguments.verb {
        Verb::Setup { nodes_only, virtual_machines, yes } => {
            let extent = if nodes_only { lab::Extent::Nodes } else { lab::Extent::Whole };
            lab::setup(&config.cache, &extent, yes, &mut *steps::on_stderr())?;
            if virtual_machines {
                lab::setup_virtual(&config.cache, yes, &mut *steps::on_stderr())?;
            }
            tell_line("the lab is set up; start it with `hoist lab up`");
        }
        Verb::Up { nodes, boot_limit, disk, virtual_machines, .. } => {
            let nodes: Vec<NodeSpec> = match &inventory {
                Some(inventory) => NodeSpec::of(inventory),
                None if nodes.is_empty() => NodeSpec::three(),
                None => nodes.into_iter().flat_map(|Nodes(nodes)| nodes).collect(),
            };
            let boot_limit = Duration::from_secs(boot_limit);
            let virtual_machines = virtual_machines.into_iter().collect();
            let disk_size = disk.map(|Size(bytes)| bytes);
            let config = Config { boot_limit, disk_size, virtual_machines, ..config };
            let started = lab::up(&config, &nodes, &mut *steps::on_stderr())?;
            if started.is_empty() {
                tell_line(format_args!("all {} nodes are running already", nodes.len()));
            }
        }
        Verb::Status { output } => print_status(&lab::status(&config)?, output)?,
        Verb::Ssh { node, command } => return Err(lab::ssh(&config, &node, &command).into()),
        Verb::Exec { command } => {
            if let Some((program, arguments)) = command.split_first() {
                return Err(lab::exec(&config, program, arguments).into());
            }
        }
        Verb::Stop { nodes, gently } => {
            let nodes = lab::meant(&config, &nodes)?;
            let stopped = lab::stop(&config, &nodes, gently, &mut *steps::on_stderr())?;
            say_unchanged(&nodes, &stopped, "was stopped already");
        }
        Verb::Start { nodes } => {
            let nodes = lab::meant(&config, &nodes)?;
            let started = lab::start(&config, &nodes, &mut *steps::on_stderr())?;
            say_unchanged(&nodes, &started, "is running already");
        }
        Verb::Cut { ends } => lab::cut(&config, &ends.a, ends.b.as_deref())?,
        Verb::Slow { ends, delay, loss, rate } => {
            let quality = Quality {
                delay_ms: delay.map_or(0, |Delay(milliseconds)| milliseconds),
                loss_ppm: loss.map_or(0, |Loss(millionths)| millionths),
                rate: rate.map(|Rate(bits)| bits),
            };
            lab::slow(&config, &ends.a, ends.b.as_deref(), quality)?;
        }
        Verb::Heal { a, b } => lab::heal(&config, a.as_deref(), b.as_deref())?,
        Verb::Fill { node, leave: Size(bytes), undo } => lab::fill(&config, &node, (!undo).then_some(bytes))?,
        Verb::Clock { node, ahead, behind, right: _ } => {
            let ahead = ahead.map(|Shift(seconds)| seconds).or(behind.map(|Shift(seconds)| -seconds));
            lab::clock(&config, &node, ahead.unwrap_or_default())?;
        }
        Verb::Down { nodes, .. } if !nodes.is_empty() => {
            lab::discard(&config, &nodes, &mut *steps::on_stderr())?;
        }
        Verb::Down { keep_disks, .. } => lab::down(&config, keep_disks, &mut *steps::on_stderr())?,
        Verb::Supervise { node } => lab::supervise(&config, &node)?,
        Verb::Relay => lab::relay(&config)?,
    }
    Ok(Exit::Ok)
}

fn say_unchanged(nodes: &[String], changed: &[String], already: &str) {
    for node in nodes.iter().filter(|node| !changed.contains(node)) {
        tell_line(format_args!("{node} {already}"));
    }
}

fn print_status(status: &lab::LabStatus, output: Output) -> Result<(), Failure> {
    let nodes = &status.nodes;
    match output {
        Output::Json => _ = print(format!("{}\n", serde_json::json!(nodes)).as_bytes())?,
        Output::Text if nodes.is_empty() => tell_line("no nodes; start some with `hoist lab up`"),
        Output::Text => _ = print(lab::table(nodes).as_bytes())?,
    }
    if !status.in_force {
        tell_line(format_args!("warning: {}", lab::WARNING));
    }
    Ok(())
}
