//! The clock of a node that is a virtual machine: ahead, behind, or right.

use std::{
    io::{BufRead, BufReader, Write},
    net::Ipv4Addr,
    process::{Command, Stdio},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    access::ssh_command, config::Config, disk, down, error::LabError, network::Namespace, record, setup,
    switch::Wiring, up,
};

/// A time on the command line by which a clock is off: `30s`, `10m` or `2h`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift(pub i64);

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [('s', 1), ('m', 60), ('h', 3600)]
            .iter()
            .find_map(|(unit, seconds)| {
                i64::from(text.strip_suffix(*unit)?.parse::<u32>().ok()?).checked_mul(*seconds)
            })
            .filter(|seconds| (1..=366 * 24 * 3600).contains(seconds))
            .map(Self)
            .ok_or_else(|| "expected 1s to a year of seconds, minutes or hours, such as 10m".to_owned())
    }
}

/// Sets the clock of a node `ahead` seconds ahead of this machine's; behind it if negative. Until the node boots anew.
///
/// # Errors
/// [`LabError::UnknownNodes`]; [`LabError::SharedClock`] for a container; [`LabError::NoNode`] and [`LabError::CutOff`]
/// where nobody answers; what the node says.
pub fn clock(config: &Config, node: &str, ahead: i64) -> Result<(), LabError> {
    down::require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    let address = target(config, node)?;
    let ssh = ssh_command(&config.cache, "root", address, &[SCRIPT.into()]);
    Namespace::of(config).run(|| set(ssh, ahead))?
}

/// Tells the node the time as soon as it listens: it may take seconds to log in.
fn set(mut ssh: Command, ahead: i64) -> Result<(), LabError> {
    let failed = || LabError::io("run", "ssh");
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed())?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { return Ok(()) };
    let mut lines = BufReader::new(output).lines();
    if lines.next().is_some() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wanted = i128::from(ahead) * 1_000_000 + now.as_micros().cast_signed();
        // Who listens no more says why by how it ends.
        let _ = writeln!(input, "{wanted}");
    }
    drop(input);
    lines.for_each(drop);
    let ended = child.wait().map_err(failed())?;
    if ended.success() {
        return Ok(());
    }
    let cause = format!("it ended with {ended}");
    Err(LabError::Command { command: "date --set, on the node".to_owned(), cause })
}

/// Where the node is whose clock can be set: it is a virtual machine, it runs, and it is not cut off.
fn target(config: &Config, node: &str) -> Result<Ipv4Addr, LabError> {
    down::require(config, &[node.to_owned()])?;
    if !disk::is_virtual(&config.disk(node)) {
        return Err(LabError::SharedClock { node: node.to_owned() });
    }
    let alive: Vec<_> = record::all(config).into_iter().filter(record::Record::alive).collect();
    let Some(record) = alive.iter().find(|record| record.name == node) else {
        let running = alive.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(LabError::NoNode { node: node.to_owned(), lab: config.name.clone(), running });
    };
    match up::delay(&Wiring::of(config), node) {
        Some(_) => Ok(record.address),
        None => Err(LabError::CutOff { node: node.to_owned() }),
    }
}

/// Reads what the time is to be, in microseconds, and moves the clock by the difference: a program takes its time to start, and
/// then sets an absolute time too late. The shell is the node's bash, which knows the time by itself.
const SCRIPT: &str = r#"echo ready && read -r wanted || exit
off=$((wanted - ${EPOCHREALTIME/[.,]/})) sign=+
[ "$off" -ge 0 ] || off=${off#-} sign=-
printf -v off '%s%d.%06d' $sign $((off / 1000000)) $((off % 1000000))
date --set "$off seconds""#;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::lab::{Cache, process};

    #[test]
    fn shifts() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("2h", 7200)] {
            assert_eq!(text.parse(), Ok(Shift(seconds)));
        }
        for text in ["", "10", "m", "0s", "-1m", "1.5h", "10M", "9000h"] {
            assert!(text.parse::<Shift>().unwrap_err().contains("such as 10m"), "{text}");
        }
    }

    #[test]
    fn a_container_has_no_clock() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        fs::create_dir_all(config.disk("w1").join("etc/lab")).unwrap();
        assert!(matches!(target(&config, "w1"), Err(LabError::SharedClock { .. })));
        assert!(matches!(target(&config, "w2"), Err(LabError::UnknownNodes { .. })));
        fs::write(config.disk("w1").join("etc/lab/virtual"), "").unwrap();
        assert!(matches!(target(&config, "w1"), Err(LabError::NoNode { .. })), "it is off");
    }

    #[test]
    fn the_clock_is_moved_by_what_it_is_off() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        for (ahead, sign) in [(600, '+'), (-7200, '-')] {
            let script = SCRIPT.replace("date --set", &format!("echo >{}", told.display()));
            set(process::command("bash", &["-c", &script]), ahead).unwrap();
            let said = fs::read_to_string(&told).unwrap();
            let moved: f64 = said.trim().strip_suffix(" seconds").unwrap().parse().unwrap();
            assert!(said.starts_with(sign) && (moved - ahead as f64).abs() < 1.0, "{said}");
        }
        let deaf = "exec 0<&-; echo ready; sleep 0.2; exit 3";
        let error = set(process::command("bash", &["-c", deaf]), 0).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
