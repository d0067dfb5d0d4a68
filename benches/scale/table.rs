//! The figures, and the table made of them.

use std::{fs, process::Command, time::Duration};

/// What the largest number of hosts may take.
const MOST_TIME: Duration = Duration::from_secs(15);
const MOST_MEMORY: u64 = 300 << 20;

/// What one run took.
pub struct Figure {
    pub hosts: usize,
    pub elapsed: Duration,
    /// hoist's own processor time.
    pub processor: Duration,
    /// The most bytes that it had in memory.
    pub memory: u64,
}

/// The first row is the measure of growth, the last is what the targets are for.
pub fn markdown(figures: &[Figure], load: &str) -> String {
    let mut text = format!("{}\n\n", machine(load));
    text += "| hosts | nothing to do | a host | hoist's processor time | hoist's memory |\n|---:|---:|---:|---:|---:|\n";
    for Figure { hosts, elapsed, processor, memory } in figures {
        let (seconds, each) = (elapsed.as_secs_f64(), elapsed.as_secs_f64() * 1e3 / *hosts as f64);
        let (processor, memory) = (processor.as_secs_f64(), memory >> 20);
        text += &format!("| {hosts} | {seconds:.2} s | {each:.1} ms | {processor:.2} s | {memory} MB |\n");
    }
    let (Some(first), Some(last)) = (figures.first(), figures.last()) else { return text };
    let growth = last.hosts as f64 / first.hosts as f64;
    let (linear, linear_processor) = (first.elapsed.mul_f64(growth), first.processor.mul_f64(growth));
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
    target("time, linear from the first row", seconds(linear), seconds(time), time <= linear);
    // Without the hosts, whose shells and encryption share the processors with hoist.
    let title = "hoist's processor time, linear from the first row";
    target(title, seconds(linear_processor), seconds(last.processor), last.processor <= linear_processor);
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
