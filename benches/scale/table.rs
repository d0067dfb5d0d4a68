//! The figures, and the table made of them.

use std::{fs, io, process::Command, time::Duration};

/// What the largest number of hosts may take.
const MOST_TIME: Duration = Duration::from_secs(15);
const MOST_MEMORY: u64 = 300 << 20;

/// What one run took.
pub struct Figure {
    pub hosts: usize,
    pub elapsed: Duration,
    /// The processor time of everything on this machine: hoist, the hosts' shells, and the SSH server.
    pub busy: Duration,
    /// hoist's own processor time.
    pub processor: Duration,
    /// The most bytes that it had in memory.
    pub memory: u64,
}

impl Figure {
    /// The middle of some runs in each respect by itself, and the most memory of any.
    pub fn median(rounds: Vec<Figure>) -> Figure {
        let middle = |of: fn(&Figure) -> Duration| {
            let mut all: Vec<Duration> = rounds.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Figure {
            hosts: rounds.first().map_or(0, |round| round.hosts),
            elapsed: middle(|round| round.elapsed),
            busy: middle(|round| round.busy),
            processor: middle(|round| round.processor),
            memory: rounds.iter().map(|round| round.memory).max().unwrap_or_default(),
        }
    }
}

/// How long all processors together have worked since the machine was started (proc_stat(5): user, nice, system, not idle and
/// waiting, irq, softirq; in ticks, of which Linux tells programs that a second has a hundred).
pub fn busy() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        text.split_whitespace().skip(1).take(7).filter_map(|word| word.parse().ok()).collect();
    match ticks[..] {
        [user, nice, system, _, _, irq, softirq] => {
            Ok(Duration::from_millis(10 * (user + nice + system + irq + softirq)))
        }
        _ => Err(io::Error::other("/proc/stat is not as expected")),
    }
}

/// The first row is the measure of growth, the last is what the targets are for.
pub fn markdown(figures: &[Figure], load: &str) -> String {
    let mut text = format!("{}\n\n", machine(load));
    text += "| hosts | nothing to do | a host | all processor time | hoist's of that | hoist's memory |\n\
             |---:|---:|---:|---:|---:|---:|\n";
    for Figure { hosts, elapsed, busy, processor, memory } in figures {
        let (seconds, each) = (elapsed.as_secs_f64(), elapsed.as_secs_f64() * 1e3 / *hosts as f64);
        let (busy, processor, memory) = (busy.as_secs_f64(), processor.as_secs_f64(), memory >> 20);
        text += &format!(
            "| {hosts} | {seconds:.2} s | {each:.1} ms | {busy:.2} s | {processor:.2} s | {memory} MB |\n"
        );
    }
    let (Some(first), Some(last)) = (figures.first(), figures.last()) else { return text };
    let growth = last.hosts as f64 / first.hosts as f64;
    let linear = |of: fn(&Figure) -> Duration| (of(first).mul_f64(growth), of(last));
    text += "\n| target | limit | measured | met |\n|---|---:|---:|---|\n";
    let mut target = |title: &str, limit: String, measured: String, met: bool| {
        let met = if met { "yes" } else { "**no**" };
        text += &format!("| {title} | {limit} | {measured} | {met} |\n");
    };
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let megabytes = |bytes: u64| format!("{} MB", bytes >> 20);
    let (time, memory) = (last.elapsed, last.memory);
    target("time", seconds(MOST_TIME), seconds(time), time <= MOST_TIME);
    target("memory", megabytes(MOST_MEMORY), megabytes(memory), memory <= MOST_MEMORY);
    for (title, (limit, measured)) in [
        ("time, linear from the first row", linear(|figure| figure.elapsed)),
        ("all processor time, linear from the first row", linear(|figure| figure.busy)),
        ("hoist's processor time, linear from the first row", linear(|figure| figure.processor)),
    ] {
        target(title, seconds(limit), seconds(measured), measured <= limit);
    }
    text
}

fn machine(load: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, release) = (read("/proc/cpuinfo"), read("/proc/sys/kernel/osrelease"));
    let model =
        cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let date =
        Command::new("date").args(["-u", "+%F"]).output().map(|output| output.stdout).unwrap_or_default();
    format!(
        "{}, {}, {cores} cores, Linux {}, hoist {}; load before: {load}",
        String::from_utf8_lossy(&date).trim(),
        model.unwrap_or("unknown processor"),
        release.trim(),
        env!("CARGO_PKG_VERSION")
    )
}
