//! A root shell that is replaced when a script breaks it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Mutex, time::timeout};

use super::{
    Error, Output, Script,
    shell::{Failure, LIMIT, Session, Shell},
};

/// The most time that clearing up after a script may take.
const CLEAR_UP: Duration = Duration::from_secs(10);

/// The most time that taking a lock again may take: it may wait for what another run left there.
const RELOCK: Duration = Duration::from_secs(30);

/// Where root shells on one host come from.
#[async_trait]
pub(crate) trait Opener: Send + Sync {
    /// The name of the host.
    fn host(&self) -> &str;

    /// Starts a root shell there.
    async fn open(&self) -> Result<Shell, Error>;

    /// Why the way to the host is gone, when it is.
    fn lost(&self) -> Option<String>;
}

/// The one root shell of a host, used by one caller at a time.
pub(crate) struct RootShell<O> {
    opener: O,
    slot: Mutex<Slot>,
    /// How often it was used.
    turns: AtomicUsize,
}

#[derive(Default)]
pub(crate) struct Slot {
    shell: Option<Shell>,
    /// What every shell after the first one must run with success before it is used: a lock may end with a shell.
    relock: Option<String>,
    /// Sessions of shells that were given up in the middle of a script, which may still run.
    abandoned: Vec<Session>,
}

impl<O: Opener> RootShell<O> {
    /// Opens the first shell.
    pub(crate) async fn open(opener: O) -> Result<RootShell<O>, Error> {
        let shell = Some(opener.open().await?);
        Ok(RootShell {
            opener,
            slot: Mutex::new(Slot { shell, ..Slot::default() }),
            turns: AtomicUsize::new(0),
        })
    }

    pub(crate) fn opener(&self) -> &O {
        &self.opener
    }

    /// Runs a script. On time-out what it left running is killed and the next script gets a new shell.
    pub(crate) async fn run(&self, script: &Script) -> Result<Output, Error> {
        let mut slot = self.lock().await;
        match slot.ready(&self.opener).await?.run(script).await {
            Ok(output) => Ok(output),
            Err(failure) => Err(self.give_up(&mut slot, failure, script.timeout).await),
        }
    }

    /// See [`Host::relock`](super::Host::relock).
    pub(crate) async fn relock(&self, script: String) {
        self.slot.lock().await.relock = Some(script);
    }

    /// How many scripts it ran and files it took.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    /// Waits for the turn of this caller.
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, Slot> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.slot.lock().await
    }

    /// Makes an error of a failure; after a time-out, kills what is still running first.
    pub(crate) async fn give_up(&self, slot: &mut Slot, failure: Failure, allowed: Duration) -> Error {
        let host = self.opener.host().to_owned();
        match failure {
            Failure::Timeout { tail } => {
                // Whether it worked or not, what the caller has to know is that the script did not end.
                let _ = timeout(CLEAR_UP, slot.ready(&self.opener)).await;
                match self.opener.lost() {
                    Some(reason) => Error::Lost { host, reason },
                    None => Error::Timeout { host, seconds: allowed.as_secs(), output: tail },
                }
            }
            Failure::Ended { reason, tail } => match self.opener.lost() {
                Some(reason) => Error::Lost { host, reason },
                None => Error::ShellEnded { host, reason, output: tail },
            },
            Failure::TooMuch { stream, tail } => {
                Error::TooMuchOutput { host, stream, limit: LIMIT, output: tail }
            }
            Failure::Nul { what } => Error::Nul { host, what },
            Failure::Nonce(error) => Error::Socket { host, reason: error.to_string() },
        }
    }
}

impl Slot {
    /// A shell that can take a script: the present one, or a new one that first clears up after it.
    pub(crate) async fn ready<O: Opener>(&mut self, opener: &O) -> Result<&mut Shell, Error> {
        if let Some(reason) = opener.lost() {
            return Err(Error::Lost { host: opener.host().to_owned(), reason });
        }
        let shell = match self.shell.take_if(|shell| shell.usable()) {
            Some(shell) => shell,
            None => {
                self.abandoned.extend(self.shell.take().and_then(|shell| shell.session));
                let mut shell = opener.open().await?;
                while let Some(session) = self.abandoned.pop() {
                    let reaper = Script::new(reaper(&session)).timeout(CLEAR_UP);
                    // Best effort: a process that cannot be killed must not keep the host from being used.
                    let _ = shell.run(&reaper).await;
                }
                if let Some(script) = &self.relock {
                    relock(&mut shell, script)
                        .await
                        .map_err(|reason| Error::Unlocked { host: opener.host().to_owned(), reason })?;
                }
                shell
            }
        };
        Ok(self.shell.insert(shell))
    }
}

/// Runs the script that takes the lock again, or says why that cannot be had.
async fn relock(shell: &mut Shell, script: &str) -> Result<(), String> {
    let output = match shell.run(&Script::new(script).timeout(RELOCK)).await {
        Ok(output) if output.status == 0 => return Ok(()),
        Ok(output) => [output.stdout, output.stderr].concat(),
        Err(Failure::Ended { reason, .. }) => return Err(reason),
        Err(_) => return Err(format!("no answer within {} s", RELOCK.as_secs())),
    };
    Err(String::from_utf8_lossy(&output).trim().to_owned())
}

/// A script that ends all processes of a session: asks them for two seconds, then kills them.
///
/// A session outlives its leader, and its number is not given away while it lives. So when there is a leader, and
/// it was started at another time, this is another session and not ours to end.
///
/// grep looks first: shells read byte by byte, which takes seconds where there are thousands of processes.
fn reaper(session: &Session) -> String {
    let Session { id, started } = session;
    format!(
        r#"read -r own </proc/$$/stat; set -- ${{own##*) }}; [ "$4" != {id} ] || exit 0
if read -r leader </proc/{id}/stat; then set -- ${{leader##*) }}; [ "${{20}}" = "{started}" ] || exit 0; fi 2>/dev/null
members() {{
    pids=
    for stat in $(printf '%s\n' /proc/[0-9]*/stat | xargs grep -slF " {id} "); do
        {{ read -r line <"$stat"; }} 2>/dev/null || continue
        set -- ${{line##*) }}
        if [ "$4" = {id} ] && [ "$1" != Z ]; then pids="$pids ${{line%% *}}"; fi
    done
    [ -n "$pids" ]
}}
members || exit 0
kill -TERM $pids 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 2>/dev/null || sleep 1; members || exit 0; done
for i in 1 2 3; do kill -KILL $pids 2>/dev/null; sleep 0.2 2>/dev/null || sleep 1; members || exit 0; done
exit 1"#
    )
}
