//! Hosts that pass files on: what [`Spread`] decides, done.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::spread::{Blame, Grant, Place, Source, Spread};
use crate::transport::{Dialogue, Error, Host, Peer};

/// What a host runs to pass files on.
const SERVE: &str = include_str!("serve.sh");

/// How long a host may take to make ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hosts listen only on ports that Kubernetes has open between nodes anyway: those of services of the type NodePort.
/// Below them are ports that the kernel gives to whoever connects, above them nothing is open.
const PORTS: std::ops::Range<u16> = 30000..32760;

/// The files of a run that hosts pass on to each other.
#[derive(Default)]
pub(super) struct Share {
    spread: Mutex<Spread>,
    /// Those who asked, by host and file.
    asked: Mutex<HashMap<(String, String), oneshot::Sender<Source>>>,
    porters: HashMap<String, Porter>,
}

/// A host that passes files on.
struct Porter {
    host: Arc<dyn Host>,
    address: Ipv4Addr,
    /// Where files are that it had before the run.
    had: Mutex<HashMap<String, String>>,
    dialogue: tokio::sync::Mutex<Line>,
}

/// The dialogue with a host that passes files on.
#[derive(Default)]
enum Line {
    #[default]
    NotYet,
    Open(Dialogue),
    /// What it held is gone. It is not tried again, for that takes time.
    Broken,
}

/// Why a file cannot be fetched from a neighbour.
pub(super) struct Refusal {
    pub reason: String,
    pub blame: Blame,
}

impl Share {
    /// For these hosts. Those without a place get everything from the installer.
    pub fn new(places: BTreeMap<String, Place>, hosts: &HashMap<String, Arc<dyn Host>>) -> Share {
        let porters = places.iter().filter_map(|(name, place)| {
            let (host, address) = (hosts.get(name)?.clone(), place.address);
            Some((
                name.clone(),
                Porter { host, address, had: Mutex::default(), dialogue: Default::default() },
            ))
        });
        Share { porters: porters.collect(), spread: Mutex::new(Spread::new(places)), ..Share::default() }
    }

    /// A host will ask for a file.
    pub fn needs(&self, host: &str, file: &str) {
        self.spread().needs(host, file);
    }

    /// A host has had a file since before the run, there.
    pub fn has(&self, host: &str, file: &str, path: &str) {
        if let Some(porter) = self.porters.get(host) {
            lock(&porter.had).insert(file.to_string(), path.to_string());
            self.spread().holds(host, file);
        }
    }

    /// Waits until a host may get a file, and says from whom. If that is not now, `waits` is told for whom it waits.
    /// [`Share::arrived`] or [`Share::failed`] must follow.
    pub async fn claim(&self, host: &str, file: &str, waits: impl FnOnce(Vec<String>)) -> Source {
        let (sender, mut receiver) = oneshot::channel();
        lock(&self.asked).insert((host.to_string(), file.to_string()), sender);
        let grants = self.spread().ask(host, file);
        self.tell(grants);
        if let Ok(source) = receiver.try_recv() {
            return source;
        }
        let hopes = self.spread().hopes(host, file);
        waits(hopes);
        // The sender is there until it is used.
        receiver.await.unwrap_or(Source::Installer)
    }

    /// Has `source` wait for `host` to fetch a file from it.
    pub async fn serve(&self, source: &str, host: &str, file: &str) -> Result<Peer, Refusal> {
        let (Some(porter), Some(receiver)) = (self.porters.get(source), self.porters.get(host)) else {
            return Err(Refusal { reason: "it is unknown".to_string(), blame: Blame::Source });
        };
        let had = lock(&porter.had).get(file).cloned();
        let answer = async {
            if let Some(path) = had {
                porter.hold(file, &path).await?;
            }
            let (own, peer) = (porter.address, receiver.address);
            porter.ask(&format!("serve {file} {own} {peer} {}", port(host, file))).await
        };
        let refusal = |reason| Refusal { reason, blame: Blame::Source };
        let answer = answer.await.map_err(|error| refusal(error.to_string()))?;
        let port = answer.strip_prefix("port ").and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| refusal(answer))?;
        let address = SocketAddrV4::new(porter.address, port);
        Ok(Peer { name: source.to_string(), address, own: receiver.address })
    }

    /// A host has got a file. It passes it on if it is told where it is until the host goes on.
    ///
    /// # Errors
    /// Why it cannot pass it on although others need it.
    pub async fn arrived(&self, host: &str, file: &str, path: Option<&str>) -> Result<(), String> {
        let wanted = self.spread().is_wanted_beside(host, file);
        let held = match (self.porters.get(host), path) {
            (Some(porter), Some(path)) if wanted => match porter.hold(file, path).await {
                Ok(answer) if answer == "held" => Ok(true),
                Ok(answer) => Err(answer),
                Err(error) => Err(error.to_string()),
            },
            _ => Ok(false),
        };
        let (grants, free) = self.spread().arrived(host, file, held == Ok(true));
        self.tell(grants);
        for holder in free {
            self.drop(&holder, file).await;
        }
        held.map(|_| ())
    }

    /// A host did not get a file. `blame` says what was wrong with the neighbour, if it came from one.
    pub fn failed(&self, host: &str, file: &str, blame: Option<Blame>) {
        let grants = self.spread().failed(host, file, blame);
        self.tell(grants);
    }

    /// It takes so long that others shall not wait for it.
    pub fn is_late(&self, host: &str, file: &str) {
        let grants = self.spread().is_late(host, file);
        self.tell(grants);
    }

    /// A host needs nothing any more.
    pub async fn leaves(&self, host: &str) {
        let (grants, free) = self.spread().leaves(host);
        self.tell(grants);
        for (holder, file) in free {
            self.drop(&holder, &file).await;
        }
    }

    /// Its room on the host is free again. A host that does not answer has let it go already.
    async fn drop(&self, holder: &str, file: &str) {
        if let Some(porter) = self.porters.get(holder)
            && let Line::Open(dialogue) = &mut *porter.dialogue.lock().await
        {
            let _ = dialogue.ask(&format!("drop {file}"), PATIENCE).await;
        }
    }

    fn tell(&self, grants: Vec<Grant>) {
        let mut asked = lock(&self.asked);
        for Grant { host, file, source } in grants {
            if let Some(sender) = asked.remove(&(host, file)) {
                // Who asked and does not listen any more leaves soon.
                let _ = sender.send(source);
            }
        }
    }

    fn spread(&self) -> MutexGuard<'_, Spread> {
        lock(&self.spread)
    }
}

impl Porter {
    async fn hold(&self, file: &str, path: &str) -> Result<String, Error> {
        if path.contains('\n') {
            return Ok("its path is no line".to_string());
        }
        self.ask(&format!("hold {file} {path}")).await
    }

    /// One question at a time.
    async fn ask(&self, question: &str) -> Result<String, Error> {
        let mut line = self.dialogue.lock().await;
        let answer = match &mut *line {
            Line::Open(dialogue) => dialogue.ask(question, PATIENCE).await,
            Line::NotYet => match self.host.dialogue(SERVE).await {
                Ok(mut dialogue) => {
                    let answer = dialogue.ask(question, PATIENCE).await;
                    *line = Line::Open(dialogue);
                    answer
                }
                Err(error) => Err(error),
            },
            Line::Broken => return Ok("it could not pass on another file before".to_string()),
        };
        if answer.is_err() {
            *line = Line::Broken;
        }
        answer
    }
}

/// Where to begin to look for a free port: hosts that fetch at the same time shall not meet.
fn port(host: &str, file: &str) -> u16 {
    let mixed = host
        .bytes()
        .chain(file.bytes())
        .fold(7u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let count = u32::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(mixed % count).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
