//! How fast pods are packed onto nodes that are to be rented, and how well.
//!
//! `cargo bench --bench packing`, or with other numbers of pods: `… -- 100 1000`. Prints a Markdown table. Each row is a
//! process of its own, so that its peak of memory is its own; the time is the fastest of three, on one core.

mod workload;

use std::{env, error::Error, fs, process::Command, time::Instant};

use hoist::burst::pack::{Limits, Problem, pack};

type Outcome<T> = Result<T, Box<dyn Error>>;

const COUNTS: [usize; 9] = [1, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000];
const SEED: u64 = 1;
const ROUNDS: usize = 3;
/// Dollars for a processor and two GiB.
const UNIT: f64 = 0.3;

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--row") {
        let count = arguments.get(place + 1).ok_or("--row needs a number")?.parse()?;
        println!("{}", row(count)?);
        return Ok(());
    }
    // `cargo test --all-targets` starts benchmarks, too, to see whether they start.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("to measure: cargo bench --bench packing");
        return Ok(());
    }
    arguments.retain(|argument| argument != "--bench");
    let counts: Vec<usize> = arguments
        .iter()
        .map(|number| number.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "usage: cargo bench --bench packing [-- NUMBER...]")?;
    println!(
        "| pods | time | pods/s | nodes | cpu packed | memory packed | over the lower bound | peak memory |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for count in if counts.is_empty() { COUNTS.to_vec() } else { counts } {
        let output = Command::new(env::current_exe()?).args(["--row", &count.to_string()]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        print!("{}", String::from_utf8(output.stdout)?);
    }
    Ok(())
}

fn row(count: usize) -> Outcome<String> {
    let market = workload::market();
    let pods = workload::pods(count, SEED);
    let problem = Problem { pods: &pods, nodes: &[], market: &market, limits: Limits::default() };
    let mut seconds = f64::MAX;
    let mut plan = pack(problem);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        plan = pack(problem);
        seconds = seconds.min(begin.elapsed().as_secs_f64());
    }
    if let Some(unplaced) = plan.unplaced.first() {
        return Err(format!("no place for {}: {}", pods[unplaced.pod].name, unplaced.because).into());
    }
    let processors = pods.iter().map(|pod| pod.requests.milli_cpu).sum::<u64>() as f64 / 1e3;
    let pairs_of_gib = pods.iter().map(|pod| pod.requests.memory).sum::<u64>() as f64 / (2u64 << 30) as f64;
    // Every type has as many processors as pairs of GiB and tens of pods, all for the same price; and pods that do not
    // want each other need a node each, of one unit at least. No plan can be cheaper than the most of these.
    let singles = pods.iter().filter(|pod| !pod.apart.is_empty()).count() as f64;
    let bound =
        [processors, pairs_of_gib, count as f64 / 10.0, singles].into_iter().fold(0.0, f64::max).ceil();
    let units = plan.price(&market).0 as f64 / 1e6 / UNIT;
    Ok(format!(
        "| {count} | {:.3} s | {:.0} | {} | {:.1} % | {:.1} % | {:.1} % | {} MB |",
        seconds,
        count as f64 / seconds,
        plan.new.len(),
        100.0 * processors / units,
        100.0 * pairs_of_gib / units,
        100.0 * (units / bound - 1.0),
        peak_megabytes()?,
    ))
}

fn peak_megabytes() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}
