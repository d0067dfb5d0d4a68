//! Starts nodes, and waits until they answer.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    cache::create_folder,
    checks,
    config::{Config, NodeSpec, check_nodes},
    disk,
    error::LabError,
    network::Namespace,
    process, record, setup,
};
use crate::report::steps::{Ended, Progress};

const SSH_PORT: u16 = 22;
/// Between two looks at a node that does not answer yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes sure that these nodes run and answer SSH; the names of those that were started now.
///
/// Nodes that run already are left alone; those that have a disk boot it again with its data.
///
/// # Errors
/// Failing checks; an incomplete cache; a name or address that cannot be; a namespace or an address that belongs to
/// somebody else; a node that does not answer in time, with the end of its console.
pub fn up(config: &Config, nodes: &[NodeSpec], progress: &mut dyn Progress) -> Result<Vec<String>, LabError> {
    check_nodes(nodes)?;
    let new = nodes.iter().filter(|node| !config.disk(&node.name).exists()).count() as u64;
    checks::before_nodes(config.cache.root(), new * disk::SIZE)?;
    setup::require(&config.cache)?;
    let _lock = setup::lock(&config.lock(), &config.name)?;

    let running = record::all(config);
    let mut missing = Vec::new();
    for node in nodes {
        match running.iter().find(|record| record.alive() && record.name == node.name) {
            Some(record) if record.address == node.address => {}
            Some(record) => {
                let problem = format!("it runs at {}; stop it before it moves", record.address);
                return Err(LabError::BadNode { node: node.name.clone(), problem });
            }
            None => missing.push(node),
        }
    }

    let namespace = Namespace::of(config);
    let made_now = namespace.ensure()?;
    if !made_now {
        for node in &missing {
            if namespace.run(|| banner(node.address))? {
                return Err(LabError::AddressInUse { node: node.name.clone(), address: node.address });
            }
        }
    }
    if !missing.is_empty() {
        step(progress, &format!("make disks: {}", names(&missing)), Duration::from_secs(5), |_| {
            make_disks(config, &missing)
        })?;
        step(progress, &format!("boot: {}", names(&missing)), Duration::from_secs(7), |progress| {
            boot(config, &namespace, &missing, progress)
        })?;
    }
    Ok(missing.iter().map(|node| node.name.clone()).collect())
}

fn step<T>(
    progress: &mut dyn Progress,
    title: &str,
    expected: Duration,
    work: impl FnOnce(&mut dyn Progress) -> Result<T, LabError>,
) -> Result<T, LabError> {
    progress.begin(title, expected);
    let done = work(progress);
    progress.end(if done.is_ok() { Ended::Done } else { Ended::Failed });
    done
}

fn names(nodes: &[&NodeSpec]) -> String {
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn make_disks(config: &Config, nodes: &[&NodeSpec]) -> Result<(), LabError> {
    create_folder(&config.disks())?;
    for node in nodes {
        disk::ensure_host_key(&config.cache, node.address)?;
    }
    thread::scope(|scope| {
        let makers: Vec<_> = nodes.iter().map(|node| scope.spawn(|| disk::prepare(config, node))).collect();
        makers
            .into_iter()
            .try_for_each(|maker| maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Starts the supervisors at once, and waits for one node after the other until the time is up for all.
fn boot(
    config: &Config,
    namespace: &Namespace,
    nodes: &[&NodeSpec],
    progress: &mut dyn Progress,
) -> Result<(), LabError> {
    let since = Instant::now();
    let mut supervisors = Vec::new();
    for node in nodes {
        supervisors.push((*node, start(config, node)?));
    }
    for (node, mut supervisor) in supervisors {
        let cause = namespace.run(|| wait(node.address, &mut supervisor, since + config.boot_limit))?;
        // Nodes outlive this command; while it lives, it collects the supervisor when that ends.
        thread::spawn(move || supervisor.wait());
        if let Some(cause) = cause {
            let console = config.console(&node.name);
            return Err(LabError::NoBoot {
                node: node.name.clone(),
                cause,
                tail: process::tail(&console),
                console,
            });
        }
        progress.line(&format!("{} answers after {:.1} s", node.name, since.elapsed().as_secs_f64()));
    }
    Ok(())
}

fn start(config: &Config, node: &NodeSpec) -> Result<Child, LabError> {
    let console = config.console(&node.name);
    create_folder(&config.run())?;
    let log = File::create(&console).map_err(LabError::io("create", &console))?;
    let errors = log.try_clone().map_err(LabError::io("open", &console))?;
    Command::new(&config.program)
        .env("HOIST_CACHE", config.cache.root())
        .args(["lab", "--lab", &config.name, "supervise", &format!("{}={}", node.name, node.address)])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(LabError::io("run", &config.program))
}

/// Why the node does not answer; nothing when it does. Called from inside the lab's network.
fn wait(address: Ipv4Addr, supervisor: &mut Child, deadline: Instant) -> Option<String> {
    loop {
        if banner(address) {
            return None;
        }
        match supervisor.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Some(format!("its supervisor ended with {status}")),
            Err(error) => return Some(error.to_string()),
        }
        if Instant::now() > deadline {
            return Some("it does not answer SSH in time".to_owned());
        }
        thread::sleep(PAUSE);
    }
}

/// Whether an SSH server answers at the address: it connects, and it greets. From inside the lab's network.
pub(crate) fn banner(address: Ipv4Addr) -> bool {
    let address = SocketAddr::from((address, SSH_PORT));
    let greeting = || -> std::io::Result<Vec<u8>> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut line = Vec::new();
        // RFC 4253: the identification is at most 255 bytes.
        BufReader::new(stream.take(255)).read_until(b'\n', &mut line)?;
        Ok(line)
    };
    greeting().is_ok_and(|line| line.starts_with(b"SSH-2.0-"))
}
