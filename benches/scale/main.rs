//! How long hoist takes for many hosts on which nothing is left to do, and how much memory.
//!
//! One command, as root: `cargo bench --bench scale`, or with other numbers of hosts: `… -- 20 40`. Prints a
//! Markdown table. The hosts are one other process (see [`hosts`]) with a real shell for each, so that hoist's memory
//! and processor time are measured apart, while all of it shares this machine. `HOIST` names another binary to
//! measure.
//!
//! It works in a network and a mount namespace of its own, in which nothing can reach another machine and all files
//! are in memory: when it ends, however it ends, nothing is left.

mod hosts;
mod table;
mod world;

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use table::Figure;
use wait4::Wait4;
use world::work;

type Outcome<T> = Result<T, Box<dyn Error>>;

const COUNTS: [usize; 4] = [50, 100, 250, 500];
const ROUNDS: usize = 7;
/// How long the shells of a run may take to end, which the next one should not pay for.
const SETTLES: Duration = Duration::from_secs(3);
/// Seconds after which a run has failed.
const PATIENCE: &str = "300";
/// The same forty statements as in `benches/peers`.
const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/hoist");

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--hosts") {
        return run_hosts();
    }
    // `cargo test --all-targets` starts benchmarks, too, to see whether they start.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("to measure: cargo bench --bench scale");
        return Ok(());
    }
    let counts = arguments.iter().filter(|argument| *argument != "--bench").map(|number| number.parse());
    let counts: Vec<usize> =
        counts.collect::<Result<_, _>>().map_err(|_| "usage: cargo bench --bench scale [-- NUMBER...]")?;
    let counts = if counts.is_empty() { COUNTS.to_vec() } else { counts };
    let load = fs::read_to_string("/proc/loadavg")?;
    world::enter().map_err(|error| format!("cannot make namespaces ({error}): this needs root"))?;
    world::lay_out(counts.iter().copied().max().unwrap_or_default())?;
    let figures = measure_all(&counts)?;
    print!("{}", table::markdown(&figures, &load));
    Ok(())
}

/// The other process.
fn run_hosts() -> Outcome<()> {
    // Without the one that started us there is nothing to serve.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let user = world::user_key().public_key().clone();
    let serving = hosts::serve(work("hosts"), world::host_key(), user, || println!("listening"));
    Ok(tokio::runtime::Runtime::new()?.block_on(serving)?)
}

fn measure_all(counts: &[usize]) -> Outcome<Vec<Figure>> {
    let mut server = Command::new(env::current_exe()?);
    let mut server = server.arg("--hosts").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("it has no output")?).read_line(&mut line)?;
    let figures = measure(counts);
    // It ends when its standard input does.
    drop(server.stdin.take());
    server.wait()?;
    figures
}

/// The median of some runs that find nothing to do, with the largest memory of any. The numbers of hosts take turns, so that
/// whatever else the machine does from one minute to the next does not fall on one of them alone.
fn measure(counts: &[usize]) -> Outcome<Vec<Figure>> {
    for hosts in counts {
        eprintln!("{hosts} hosts: making the statements true");
        apply(*hosts, &world::inventory(*hosts)?)?;
    }
    let mut rounds: Vec<Vec<Figure>> = counts.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (hosts, rounds) in counts.iter().zip(&mut rounds) {
            std::thread::sleep(SETTLES);
            let round = apply(*hosts, &world::inventory(*hosts)?)?;
            eprintln!("{hosts} hosts: {:.2} s, {} MB", round.elapsed.as_secs_f64(), round.memory >> 20);
            let log = fs::read_to_string(work("log"))?;
            if !log.contains("Nothing to change") {
                return Err(format!("there was something to do:\n{log}").into());
            }
            rounds.push(round);
        }
    }
    Ok(rounds.into_iter().map(Figure::median).collect())
}

/// One run.
fn apply(hosts: usize, inventory: &Path) -> Outcome<Figure> {
    let hoist = env::var("HOIST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hoist").into());
    let log = fs::File::create(work("log"))?;
    let (begun, busy) = (Instant::now(), table::busy()?);
    let mut run = Command::new("timeout")
        .args([PATIENCE, &hoist, "apply", "--only", "peers", "--roles", ROLES, "-i"])
        .arg(inventory)
        .env("XDG_STATE_HOME", work("state"))
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let ended = run.wait4()?;
    let (elapsed, busy) = (begun.elapsed(), table::busy()?.saturating_sub(busy));
    if !ended.status.success() {
        return Err(
            format!("hoist ended with {}:\n{}", ended.status, fs::read_to_string(work("log"))?).into()
        );
    }
    let used = ended.rusage;
    Ok(Figure { hosts, elapsed, busy, processor: used.utime + used.stime, memory: used.maxrss })
}
