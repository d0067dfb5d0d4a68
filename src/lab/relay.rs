//! The process that is the slow links: it takes frames that the bridge may not pass from one port to another, holds
//! them, loses some, and sends the rest out.
//!
//! The kernel could do this itself (`sch_netem`), but many kernels are built without it. This works on all, and one
//! mechanism is enough. Nothing but frames of slow links goes this way; when the process ends, slow links are cut.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::{signal::Signal, socket::LinkAddr},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{
    cache::{read_json, remove, write_atomically, write_json},
    cgroup::Cgroups,
    config::Config,
    error::LabError,
    identity::Identity,
    network::{self, Namespace},
    packet::{Frame, Mac, PacketSocket},
    process,
    quality::{Pace, Quality},
    setup,
};
use crate::report::tell_line;

/// Its control group among those of the nodes. No node has such a name.
const GROUP: &str = "_relay";
/// Between two looks at what is to be done.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take until it does what it was told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many frames a link holds in each direction.
const HELD: usize = 4096;

/// A slow link between two ports of the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlowLink {
    /// Interfaces of the lab's network. One that is not there yet is waited for.
    pub(crate) ports: [String; 2],
    pub(crate) quality: Quality,
}

/// What tells the process what to do, and what it tells.
struct Files {
    lock: PathBuf,
    process: PathBuf,
    orders: PathBuf,
    served: PathBuf,
    log: PathBuf,
}

impl Files {
    fn of(config: &Config) -> Self {
        let file = |name: &str| config.run().join(name);
        Self {
            lock: file("relay.lock"),
            process: file("relay.json"),
            orders: file("relay.orders"),
            served: file("relay.served"),
            log: file("relay.log"),
        }
    }
}

/// Whether it runs.
pub(crate) fn alive(config: &Config) -> bool {
    read_json::<Identity>(&Files::of(config).process).is_some_and(|process| process.alive())
}

/// Makes the slow links these and no others, and waits until they are.
pub(crate) fn serve(config: &Config, links: &[SlowLink]) -> Result<(), LabError> {
    let files = Files::of(config);
    if links.is_empty() {
        if let Some(process) = read_json::<Identity>(&files.process) {
            process.send(Signal::SIGKILL);
        }
        return [&files.process, &files.orders, &files.served].into_iter().try_for_each(|file| remove(file));
    }
    write_json(&files.orders, &links)?;
    if !alive(config) {
        remove(&files.served)?;
        process::start_hoist(config, &["relay"], &files.log)?;
    }
    let orders = fs::read(&files.orders).map_err(LabError::io("read", &files.orders))?;
    let deadline = Instant::now() + PATIENCE;
    while fs::read(&files.served).ok().as_deref() != Some(&orders) || !alive(config) {
        if Instant::now() > deadline {
            return Err(LabError::NoRelay { tail: process::tail(&files.log), log: files.log });
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Relays until it is killed.
///
/// # Errors
/// When the control group or the network cannot be entered; they go to its log, where [`serve`] reads them.
pub fn relay(config: &Config) -> Result<(), LabError> {
    process::detach()?;
    Cgroups::of_this_machine()?.enter(&config.name, GROUP)?;
    let files = Files::of(config);
    // Two would send each frame twice. The first may be that of a command that was killed before it was recorded.
    let _only = setup::lock(&files.lock, "the relay")?;
    write_json(&files.process, &Identity::own()?)?;
    Namespace::of(config).block_on(|| work(&files))?
}

async fn work(files: &Files) -> Result<(), LabError> {
    let mut current = None;
    let mut tasks = JoinSet::new();
    loop {
        let orders = fs::read(&files.orders).unwrap_or_default();
        let interfaces = interfaces();
        let wanted = (orders, interfaces.values().map(LinkAddr::ifindex).collect::<Vec<_>>());
        if current.as_ref() != Some(&wanted) {
            let links: Vec<SlowLink> = serde_json::from_slice(&wanted.0).unwrap_or_default();
            match plug(&links, &interfaces) {
                Ok(plugged) => {
                    // What the old tasks held is lost with them.
                    tasks = plugged;
                    write_atomically(&files.served, &wanted.0)?;
                    current = Some(wanted);
                }
                // A node that reboots takes its port away under our hands: then the next look is another.
                Err(error) => tell_line(format_args!("a port cannot be opened: {error}")),
            }
        }
        sleep(LOOK).await;
        // A task ends only when its port has gone, or was switched off for a while.
        if tasks.try_join_next().is_some() {
            current = None;
        }
    }
}

/// Interfaces of this network by name.
fn interfaces() -> BTreeMap<String, LinkAddr> {
    let all = getifaddrs().into_iter().flatten();
    all.filter_map(|interface| Some((interface.interface_name, *interface.address?.as_link_addr()?)))
        .collect()
}

/// At which interface, by index, a hardware address was seen last.
type Seen = Arc<Mutex<HashMap<Mac, usize>>>;

/// One direction of a slow link.
struct Lane {
    /// Index of the interface at its end.
    to: usize,
    pace: Pace,
    queue: mpsc::Sender<(Instant, Frame)>,
}

/// Starts what relays the links whose ports are both there.
fn plug(links: &[SlowLink], interfaces: &BTreeMap<String, LinkAddr>) -> io::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let mut ports: BTreeMap<usize, (Arc<PacketSocket>, Vec<Lane>)> = BTreeMap::new();
    for link in links {
        let [Some(a), Some(b)] = link.ports.each_ref().map(|port| interfaces.get(port)) else { continue };
        for (from, to) in [(a, b), (b, a)] {
            for port in [from, to] {
                if let Entry::Vacant(vacant) = ports.entry(port.ifindex()) {
                    vacant.insert((Arc::new(PacketSocket::open(port)?), Vec::new()));
                }
            }
            let (queue, held) = mpsc::channel(HELD);
            let lane = Lane { to: to.ifindex(), pace: Pace::of(link.quality), queue };
            tasks.spawn(deliver(held, Arc::clone(&ports[&to.ifindex()].0)));
            ports.entry(from.ifindex()).and_modify(|(_, lanes)| lanes.push(lane));
        }
    }
    let seen = Arc::new(Mutex::new(seen_by_the_bridge(interfaces)));
    for (index, (socket, lanes)) in ports {
        tasks.spawn(listen(index, socket, lanes, Arc::clone(&seen)));
    }
    Ok(tasks)
}

/// Takes in what comes from one port, and puts it on the lanes that lead to where it wants to go.
async fn listen(index: usize, socket: Arc<PacketSocket>, mut lanes: Vec<Lane>, seen: Seen) {
    let mut buffer = Vec::new();
    while let Ok(frame) = socket.receive(&mut buffer).await {
        let home = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(frame.source(), index);
            // Those for everybody, and those for nobody known, go everywhere, as on any switch.
            seen.get(&frame.destination()).copied()
        };
        for lane in lanes.iter_mut().filter(|lane| home.is_none_or(|home| home == lane.to)) {
            let dice = getrandom::u32().unwrap_or(u32::MAX);
            if let Some(due) = lane.pace.due(Instant::now(), frame.len(), dice) {
                // A full queue loses the frame.
                let _ = lane.queue.try_send((due, frame.clone()));
            }
        }
    }
}

/// Sends frames out when they are due; all of a lane are held equally long, so the first is due first.
async fn deliver(mut held: mpsc::Receiver<(Instant, Frame)>, to: Arc<PacketSocket>) {
    while let Some((due, frame)) = held.recv().await {
        // The timer is exact to a millisecond, upwards: too much for what is due already.
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        let _ = to.send(&frame).await;
    }
}

/// Where the bridge has seen whom, so that what goes to a node that is silent now does not go everywhere.
fn seen_by_the_bridge(interfaces: &BTreeMap<String, LinkAddr>) -> HashMap<Mac, usize> {
    let entries = network::seen().into_iter();
    entries.filter_map(|(mac, port)| Some((mac, interfaces.get(&port)?.ifindex()))).collect()
}
