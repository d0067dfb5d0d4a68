//! The way to a host's SSH server: TCP, through other hosts, or by a command.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex as StdMutex, PoisonError, Weak},
    time::Instant,
};

use futures::future::{BoxFuture, FutureExt};
use tokio::{process::Command, sync::Mutex};

use super::{Error, Route, Stream, Target, dial::dial_target, link::Link, tunnel::Tunnel};

/// Opens the byte stream to a target's SSH server.
pub(super) fn open(target: &Target) -> BoxFuture<'_, Result<Box<dyn Stream>, Error>> {
    async move {
        let stream: Box<dyn Stream> = match &target.route {
            Route::Direct => Box::new(dial_target(target).await?),
            Route::Jump(hop) => Box::new(through(hop, target).await?),
            Route::Command(command) => Box::new(start(target, command)?),
        };
        Ok(stream)
    }
    // The way to a jump host is opened in the same manner.
    .boxed()
}

/// A channel of the jump host's connection.
async fn through(hop: &Arc<Target>, target: &Target) -> Result<Tunnel, Error> {
    tunnel(hop, &target.address, target.port, target.endpoint()).await.map_err(|cause| Error::Jump {
        host: target.name.clone(),
        hop: hop.name.clone(),
        cause,
    })
}

/// Opens a TCP connection from a jump host to what it can reach, over the connection to it that its targets share.
///
/// # Errors
/// When the jump host cannot be reached, or does not reach that.
pub async fn dial_from(hop: &Arc<Target>, to: SocketAddr) -> Result<Box<dyn Stream>, Arc<Error>> {
    Ok(Box::new(tunnel(hop, &to.ip().to_string(), to.port(), to.to_string()).await?))
}

async fn tunnel(hop: &Arc<Target>, address: &str, port: u16, to: String) -> Result<Tunnel, Arc<Error>> {
    let link = shared(hop).await?;
    match link.tcp(address, port).await {
        Ok(channel) => Ok(Tunnel::new(channel, link)),
        Err(reason) => {
            let host = hop.name.clone();
            Err(Arc::new(link.gone().unwrap_or(Error::Forward { host, to, reason })))
        }
    }
}

/// The connections to jump hosts, by everything that is said of them: those that differ in a key, a user or the way
/// are not shared. They end with the last tunnel through them.
static LINKS: StdMutex<BTreeMap<String, Arc<Mutex<Slot>>>> = StdMutex::new(BTreeMap::new());

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Open(Weak<Link>),
    Failed {
        at: Instant,
        cause: Arc<Error>,
    },
}

/// The one connection of this process to a jump host. All that wait for it share it, and also its failure.
async fn shared(hop: &Arc<Target>) -> Result<Arc<Link>, Arc<Error>> {
    let asked = Instant::now();
    let slot = {
        let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
        links.entry(format!("{hop:?}")).or_default().clone()
    };
    let mut slot = slot.lock().await;
    match &*slot {
        Slot::Open(link) => {
            if let Some(link) = link.upgrade().filter(|link| link.lost().is_none()) {
                return Ok(link);
            }
        }
        Slot::Failed { at, cause } if *at >= asked => return Err(cause.clone()),
        Slot::Failed { .. } | Slot::Empty => {}
    }
    match Link::open(hop).await {
        Ok(link) => {
            let link = Arc::new(link);
            *slot = Slot::Open(Arc::downgrade(&link));
            Ok(link)
        }
        Err(error) => {
            let cause = Arc::new(error);
            *slot = Slot::Failed { at: Instant::now(), cause: cause.clone() };
            Err(cause)
        }
    }
}

/// Starts a command whose standard input and output lead to the server, as ssh's ProxyCommand does. What it has to
/// say it says on our standard error.
fn start(target: &Target, command: &str) -> Result<Tunnel, Error> {
    let failed =
        |reason: String| Error::Route { host: target.name.clone(), reason: format!("`{command}`: {reason}") };
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    match (child.stdout.take(), child.stdin.take()) {
        (Some(output), Some(input)) => Ok(Tunnel::over(output, input, child)),
        _ => Err(failed("it has no streams".into())),
    }
}
