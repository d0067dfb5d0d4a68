//! `hoist exec`: one command on many hosts.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{
    Failure,
    group::{command_line, targets, tell},
    shared::{InventoryArg, Output, enough, print},
};
use crate::{
    exit::Exit,
    inventory::Selection,
    report::tell_line,
    transport::{self, Error, Script, Target, WITH_PROXIES, connect, in_order},
};

/// Runs a command as root on a group of hosts at the same time. Exits 0 when it did so everywhere.
///
/// Several words after `--` are the command and its arguments, and stay what they are here. A single one is a line
/// of shell, as with ssh, for pipes and variables of the host. Its standard input is empty. What it prints begins
/// with the host's name, line by line; of a single host it comes unchanged. A host that cannot be reached is named
/// and holds up no other; then the exit code is 69 or 77, and 1 where only the command failed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hoist exec -i inventory/lab.yaml worker -- systemctl is-active kubelet\n  \
    hoist exec -i inventory/lab.yaml cp1,w1 -- 'df -h /var | tail -n 1'"
)]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Which hosts: `all`, or names of hosts, roles or sites, with commas between them.
    #[arg(value_name = "GROUP")]
    group: Selection,
    /// How many hosts run it at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    forks: u16,
    /// How long it may take on a host; then everything it started there is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// How to print the answers; `json` prints a list of {host, status, stdout, stderr}; a host where it could not be
    /// run, or not to its end, has an `error` instead.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The command.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

type Answer = Result<transport::Output, Error>;

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let targets = targets(&args.inventory.load()?, &args.group).await?;
    let script = Script::new(format!("{WITH_PROXIES}{}", command_line(&args.command)));
    let script = script.timeout(Duration::from_secs(args.timeout.into()));
    let labels = Labels::of(&targets);
    let work =
        targets.iter().map(|target| async { (target.name.as_str(), carry_out(target, &script).await) });
    let mut answers = in_order(work, args.forks.into());
    let (mut list, mut failed, mut unasked) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((host, answer)) = answers.next().await {
        match args.output {
            Output::Json => list.push(for_programs(host, &answer)),
            Output::Text => labels.show(host, &answer)?,
        }
        match answer {
            Ok(output) if output.status != 0 => failed.push(format!("{host} ({})", output.status)),
            Ok(_) => {}
            Err(error) => unasked.push(error),
        }
    }
    if args.output == Output::Json {
        print(format!("{:#}\n", json!(list)).as_bytes())?;
    }
    let reached = tell(unasked);
    if !failed.is_empty() {
        tell_line(format_args!(
            "the command failed on {} of {} hosts: {}",
            failed.len(),
            targets.len(),
            failed.join(", ")
        ));
    }
    Ok(match reached {
        Exit::Ok if !failed.is_empty() => Exit::Failed,
        other => other,
    })
}

async fn carry_out(target: &Target, script: &Script) -> Answer {
    connect(target).await?.run(script.clone()).await
}

fn for_programs(host: &str, answer: &Answer) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match answer {
        Ok(output) => json!({
            "host": host,
            "status": output.status,
            "stdout": text(&output.stdout),
            "stderr": text(&output.stderr),
        }),
        Err(error) => json!({"host": host, "error": error.to_string()}),
    }
}

/// What lines of a host begin with; nothing when there is one host.
struct Labels {
    width: Option<usize>,
}

impl Labels {
    fn of(targets: &[Target]) -> Labels {
        let width = targets.iter().map(|target| target.name.len()).max();
        Labels { width: width.filter(|_| targets.len() > 1) }
    }

    /// Prints what a host printed, each stream where it belongs. A reader that has had enough is no error.
    fn show(&self, host: &str, answer: &Answer) -> Result<(), Failure> {
        let Ok(output) = answer else { return Ok(()) };
        let written = print(&self.labelled(host, &output.stdout));
        enough(io::stderr().write_all(&self.labelled(host, &output.stderr)))?;
        written.map(drop)
    }

    fn labelled(&self, host: &str, text: &[u8]) -> Vec<u8> {
        let Some(width) = self.width else { return text.to_vec() };
        let mut labelled = Vec::with_capacity(text.len() + width + 4);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            labelled.extend_from_slice(format!("{host:width$} | ").as_bytes());
            labelled.extend_from_slice(line);
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            labelled.push(b'\n');
        }
        labelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_the_hosts_name_and_end_even_when_the_last_does_not() {
        let labels = Labels { width: Some(3) };
        assert_eq!(labels.labelled("w1", b"a\n\nb"), b"w1  | a\nw1  | \nw1  | b\n");
        assert_eq!(labels.labelled("cp1", b""), b"");
        assert_eq!(Labels { width: None }.labelled("w1", b"\xff\0b"), b"\xff\0b");
    }
}
