//! Starts nodes, and waits until they answer.

use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use super::{
    cache::create_folder,
    checks,
    config::Config,
    disk, down,
    error::LabError,
    links::Link,
    network::Namespace,
    node::{NodeSpec, check_nodes},
    process, qemu,
    record::{self, Record},
    setup,
    switch::{self, Wiring},
    virtual_root, volume,
};
use crate::report::steps::{Progress, step};

const SSH_PORT: u16 = 22;
/// Between two looks at a node that does not answer yet.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a node may take to take a connection.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

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
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;

    let alive: Vec<_> = record::all(config).into_iter().filter(Record::alive).collect();
    let mut missing = Vec::new();
    let mut running = Vec::new();
    for node in nodes {
        match alive.iter().find(|record| record.name == node.name) {
            Some(record) if record.address == node.address => running.push(record),
            Some(record) => {
                return Err(LabError::Moved { node: node.name.clone(), address: record.address });
            }
            None => missing.push(node),
        }
    }

    check_addresses(config, nodes)?;
    check_virtual(config, nodes)?;
    let is_slow = missing.iter().any(|node| will_be_virtual(config, &node.name));
    if is_slow {
        virtual_root::require(&config.cache)?;
    }
    let namespace = Namespace::of(config);
    let made_now = namespace.ensure()?;
    if !made_now {
        for node in &missing {
            if namespace.run(|| answers(ssh(node.address), PATIENCE))? {
                return Err(LabError::AddressInUse { node: node.name.clone(), address: node.address });
            }
        }
    }
    if !missing.is_empty() {
        let title = if new == 0 { "look after disks" } else { "make disks" };
        step(
            progress,
            &format!("{title}: {}", names(&missing)),
            Duration::from_secs(2 * new.max(1)),
            |_| make_disks(config, &missing),
        )?;
    }
    // All that there are: their sites count when links are cut.
    down::nodes(config).iter().try_for_each(|node| volume::attach(config, node))?;
    for node in nodes {
        disk::set_site(&config.disk(&node.name), node.site.as_deref())?;
    }
    // Before they boot: a node that is added to a site that is cut off never sees the other side.
    switch::refresh(config)?;
    let wiring = Wiring::of(config);
    if !missing.is_empty() {
        let expected = Duration::from_secs(if is_slow { 60 } else { 7 });
        step(progress, &format!("boot: {}", names(&missing)), expected, |progress| {
            boot(config, &namespace, &missing, &wiring, progress)
        })?;
    }
    // Those that ran already answer at once, or are on their way through a reboot.
    let since = Instant::now();
    for record in running {
        let deadline = since + boot_limit(config, &record.name);
        let ended = || (!record.alive()).then(|| "its supervisor has ended".to_owned());
        let Some(delay) = delay(&wiring, &record.name) else { continue };
        if let Some(cause) = namespace.run(|| wait(ssh(record.address), delay, deadline, ended))? {
            return Err(no_boot(config, &record.name, cause));
        }
    }
    Ok(missing.iter().map(|node| node.name.clone()).collect())
}

/// That no node takes the address of another that is only switched off, or cut off.
fn check_addresses(config: &Config, nodes: &[NodeSpec]) -> Result<(), LabError> {
    let others = down::nodes(config).into_iter().filter(|name| nodes.iter().all(|node| node.name != *name));
    for other in others {
        let address = disk::address(&config.disk(&other));
        if let Some(node) = nodes.iter().find(|node| Some(node.address) == address) {
            let problem = format!("{} is the address of node `{other}`", node.address);
            return Err(LabError::BadNode { node: node.name.clone(), problem });
        }
    }
    Ok(())
}

/// That those which shall be virtual machines are asked for, and not made as something else already.
fn check_virtual(config: &Config, nodes: &[NodeSpec]) -> Result<(), LabError> {
    for name in &config.virtual_machines {
        let problem = if nodes.iter().all(|node| node.name != *name) {
            "`--virtual` names it, but it is not among the nodes that are asked for"
        } else if config.disk(name).exists() && !disk::is_virtual(&config.disk(name)) {
            "it is there already, and is not a virtual machine; `hoist lab down` with its name removes it"
        } else {
            continue;
        };
        return Err(LabError::BadNode { node: name.clone(), problem: problem.to_owned() });
    }
    Ok(())
}

fn will_be_virtual(config: &Config, name: &str) -> bool {
    config.virtual_machines.contains(name) || disk::is_virtual(&config.disk(name))
}

fn boot_limit(config: &Config, name: &str) -> Duration {
    config.boot_limit * if disk::is_virtual(&config.disk(name)) { qemu::SLOWNESS } else { 1 }
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
    wiring: &Wiring,
    progress: &mut dyn Progress,
) -> Result<(), LabError> {
    let since = Instant::now();
    let mut supervisors = Vec::new();
    for node in nodes {
        supervisors.push((*node, start(config, node)?));
    }
    for (node, mut supervisor) in supervisors {
        let deadline = since + boot_limit(config, &node.name);
        let ended = || match supervisor.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("its supervisor ended with {status}")),
            Err(error) => Some(error.to_string()),
        };
        let delay = delay(wiring, &node.name);
        let cause = match delay {
            Some(delay) => namespace.run(|| wait(ssh(node.address), delay, deadline, ended))?,
            None => None,
        };
        // Nodes outlive this command; while it lives, it collects the supervisor when that ends.
        thread::spawn(move || supervisor.wait());
        if let Some(cause) = cause {
            return Err(no_boot(config, &node.name, cause));
        }
        progress.line(&match delay {
            Some(_) => format!("{} answers after {:.1} s", node.name, since.elapsed().as_secs_f64()),
            None => format!("{} is started; its link to this machine is cut", node.name),
        });
    }
    Ok(())
}

/// How long a frame is on its way between this machine and a node; nothing when none arrives.
pub(crate) fn delay(wiring: &Wiring, node: &str) -> Option<Duration> {
    match wiring.node(node).to_gateway() {
        Link::Whole => Some(Duration::ZERO),
        Link::Slow(quality) => Some(Duration::from_millis(quality.delay_ms.into())),
        Link::Cut => None,
    }
}

fn no_boot(config: &Config, node: &str, cause: String) -> LabError {
    let console = config.console(node);
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap_or_default();
    let cause = few_watchers(&limit).map(|hint| format!("{cause}{hint}")).unwrap_or(cause);
    LabError::NoBoot { node: node.to_owned(), cause, tail: process::tail(&console), console }
}

/// The nodes of all labs share what the kernel lets root have of inotify(7). Beyond it systemd ends without a word, and
/// kubelets do; a running node has about a dozen instances.
fn few_watchers(limit: &str) -> Option<String> {
    let limit: u32 = limit.trim().parse().ok().filter(|limit| *limit < 512)?;
    Some(format!(
        "; with many nodes on this machine it may be that root can have only {limit} inotify instances, a dozen a node: \
         `sysctl fs.inotify.max_user_instances=1024`"
    ))
}

fn start(config: &Config, node: &NodeSpec) -> Result<Child, LabError> {
    process::start_hoist(config, &["supervise", &node.to_string()], &config.console(&node.name))
}

/// Why the node does not answer; nothing when it does. From inside the lab's network; `ended` tells why nobody can
/// answer any more.
fn wait(
    server: SocketAddr,
    delay: Duration,
    deadline: Instant,
    mut ended: impl FnMut() -> Option<String>,
) -> Option<String> {
    loop {
        // The last try is a short one: an answer that comes after the time is up counts for nothing.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        if answers(server, PATIENCE.min(left) + 2 * delay) {
            return None;
        }
        if let Some(cause) = ended() {
            return Some(cause);
        }
        if Instant::now() > deadline {
            return Some("it does not answer SSH in time".to_owned());
        }
        thread::sleep(PAUSE);
    }
}

/// Where a node's SSH server is.
pub(crate) fn ssh(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, SSH_PORT))
}

/// Whether an SSH server answers: it takes a connection within `patience`, and it greets. From inside the lab's network.
pub(crate) fn answers(server: SocketAddr, patience: Duration) -> bool {
    let greeting = || -> std::io::Result<Vec<u8>> {
        let stream = TcpStream::connect_timeout(&server, patience)?;
        stream.set_read_timeout(Some(Duration::from_secs(2) + patience))?;
        let mut line = Vec::new();
        // RFC 4253: the identification is at most 255 bytes.
        BufReader::new(stream.take(255)).read_until(b'\n', &mut line)?;
        Ok(line)
    };
    greeting().is_ok_and(|line| line.starts_with(b"SSH-2.0-"))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, net::TcpListener};

    use super::*;
    use crate::lab::Cache;

    /// A server that greets once with `greeting`.
    fn server(greeting: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.accept().unwrap().0.write_all(greeting).unwrap());
        address
    }

    #[test]
    fn a_machine_with_few_watchers_is_told_so() {
        assert!(few_watchers("128\n").unwrap().contains("max_user_instances=1024"));
        assert_eq!((few_watchers("8192\n"), few_watchers("")), (None, None));
    }

    #[test]
    fn a_node_that_is_off_keeps_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        let network = config.disk("off").join("etc/lab/network");
        fs::create_dir_all(network.parent().unwrap()).unwrap();
        fs::write(network, "ADDRESS=10.77.0.5/24\n").unwrap();
        let check = |text: &str| check_addresses(&config, &[text.parse().unwrap()]);
        let error = check("a=10.77.0.5").unwrap_err().to_string();
        assert!(error.contains("the address of node `off`"), "{error}");
        check("a=10.77.0.6").unwrap();
        check("off=10.77.0.6").unwrap();
    }

    #[test]
    fn virtual_machines_are_among_the_nodes_and_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        let config = Config { virtual_machines: ["w1".to_owned()].into(), ..config };
        let check = |text: &str| check_virtual(&config, &[text.parse().unwrap()]).map_err(|e| e.to_string());
        assert!(check("w2=10.77.0.5").unwrap_err().contains("not among the nodes"));
        check("w1=10.77.0.5").unwrap();
        fs::create_dir_all(config.disk("w1")).unwrap();
        assert!(check("w1=10.77.0.5").unwrap_err().contains("is there already"));
        assert_eq!(boot_limit(&config, "w1"), config.boot_limit);
        fs::create_dir_all(config.disk("w1").join("etc/lab")).unwrap();
        fs::write(config.disk("w1").join("etc/lab/virtual"), "").unwrap();
        check("w1=10.77.0.5").unwrap();
        assert_eq!(boot_limit(&config, "w1"), config.boot_limit * 5);
    }

    #[test]
    fn only_an_ssh_server_answers() {
        assert!(answers(server(b"SSH-2.0-OpenSSH_10.0\r\n"), PATIENCE));
        assert!(!answers(server(b"HTTP/1.1 400 Bad Request\r\n"), PATIENCE));
        assert!(!answers(server(b""), PATIENCE));
    }

    #[test]
    fn waiting_ends_with_the_limit_or_with_the_node() {
        // Nobody listens on a port that was given back.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let cause = wait(nobody, Duration::ZERO, Instant::now(), || None);
        assert_eq!(cause.as_deref(), Some("it does not answer SSH in time"));
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(wait(nobody, Duration::ZERO, later, || Some("gone".to_owned())).as_deref(), Some("gone"));
        assert_eq!(wait(server(b"SSH-2.0-x\n"), Duration::ZERO, later, || Some("gone".to_owned())), None);
    }
}
