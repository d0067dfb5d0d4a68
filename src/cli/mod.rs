//! The command line: one file a verb; parses, calls, prints; no logic.

mod addon;
mod addons;
mod apply;
mod bundle;
mod burst;
mod certificates;
pub mod check;
mod completions;
mod demo;
mod exec;
mod facts;
mod failure;
mod group;
mod init;
mod interview;
mod inventory;
mod kubeconfig;
pub mod lab;
mod live;
mod lock;
mod man;
mod official;
mod plan;
mod preflight;
mod request;
mod role;
mod sample;
pub mod schema;
mod shared;
mod ssh;
mod status;
pub mod trust;

use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use failure::Failure;

use crate::{exit::Exit, report::tell_line};

/// Makes a production Kubernetes cluster out of machines that you already own, over SSH, from one inventory file.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes:\n  \
    0   done, or nothing to do\n  \
    1   something failed on a host or in the cluster\n  \
    2   `plan`: something would change\n  \
    3   `apply PLAN`: the plan does not fit any more\n  \
    64  the command line is wrong\n  \
    65  the inventory or a role is wrong\n  \
    69  a host or the API server does not answer\n  \
    71  a local file, process or device failed\n  \
    75  another run holds the lock\n  \
    77  a key or login was refused, or root is needed")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Lab(lab::LabArgs),
    Init(init::Args),
    Inventory(inventory::Args),
    Check(check::Args),
    Lock(lock::Args),
    Bundle(bundle::Args),
    Burst(burst::Args),
    Preflight(preflight::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
    Kubeconfig(kubeconfig::Args),
    Certificates(certificates::Args),
    Addon(addon::Args),
    Sample(sample::Args),
    Facts(facts::Args),
    Exec(exec::Args),
    Ssh(ssh::Args),
    Trust(trust::Args),
    Schema(schema::Args),
    Role(role::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    failure::keep_words_whole();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit;
        }
    };
    // One crypto provider for the whole process; it can only be set once, and this is the only place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(cli.verb) {
        Ok(exit) => exit,
        Err(failure) => {
            tell_line(format_args!("{:?}", failure.report));
            failure.exit
        }
    }
}

fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        // These do not talk to hosts. The lab and ssh enter namespaces and replace the process: it must have no threads.
        Verb::Lab(args) => lab::run(args),
        Verb::Ssh(args) => ssh::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Inventory(args) => inventory::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Role(args) => role::run(&args),
        Verb::Completions(args) => completions::run(&args, Cli::command()),
        Verb::Man(args) => man::run(&args, Cli::command()),
        Verb::Demo(args) => {
            let clock = demo::prepare(&args)?;
            block_on(demo::run(clock))
        }
        Verb::Burst(args) => block_on(burst::run(&args)),
        Verb::Lock(args) => block_on(lock::run(&args)),
        Verb::Bundle(args) => block_on(bundle::run(&args)),
        Verb::Preflight(args) => block_on(preflight::run(&args)),
        Verb::Plan(args) => block_on(plan::run(&args)),
        Verb::Apply(args) => block_on(apply::run(&args)),
        Verb::Status(args) => block_on(status::run(&args)),
        Verb::Kubeconfig(args) => block_on(kubeconfig::run(&args)),
        Verb::Certificates(args) => block_on(certificates::run(&args)),
        Verb::Addon(args) => block_on(addon::run(&args)),
        Verb::Sample(args) => block_on(sample::run(&args)),
        Verb::Facts(args) => block_on(facts::run(&args)),
        Verb::Exec(args) => block_on(exec::run(&args)),
        Verb::Trust(args) => block_on(trust::run(&args)),
    }
}

/// How long what still runs on a thread of its own may take when all is said and done. A name that no server answers for
/// would be looked for until long after.
const REMAINS: Duration = Duration::from_secs(1);

fn block_on(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::os)?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(REMAINS);
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn whoever_is_done_does_not_wait_for_a_name_server() {
        let begun = Instant::now();
        let exit = block_on(async {
            let _lookup = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20)));
            // It cannot be taken back any more.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Exit::Ok)
        });
        assert!(matches!(exit, Ok(Exit::Ok)));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn examples(command: &clap::Command, all: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().map(str::trim).filter(|line| line.starts_with("hoist "));
        all.extend(lines.map(str::to_owned));
        command.get_subcommands().for_each(|inner| examples(inner, all));
    }

    #[test]
    fn every_example_of_the_help_can_be_typed() {
        let mut all = Vec::new();
        examples(&Cli::command(), &mut all);
        assert!(all.len() > 30, "{all:?}");
        for line in all {
            // What a shell would do with the rest is its own affair; what stands far behind is a remark.
            let typed = line.split(['>', '|', '&']).next().and_then(|typed| typed.split("   ").next());
            let typed = typed.unwrap_or_default();
            let words = typed.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
            match Cli::try_parse_from(words) {
                // The inventory may come from the environment.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                    assert!(error.to_string().contains("--inventory"), "{line}: {error}");
                }
                Err(error) => panic!("{line}: {error}"),
            }
        }
    }
}
