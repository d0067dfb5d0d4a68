//! Commands that must not run on several hosts at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OwnedMutexGuard;

use super::Lock;
use crate::transport::{Dialogue, Error, Host, quote};

/// What keeps a turn on a host.
const KEEP: &str = include_str!("turn.sh");

/// The answer to who has the turn now.
const TAKEN: &str = "taken";

/// How long a host may take to say whether a turn is free.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long others may have it: longer than all of their turns together.
const WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The turns of a run, by the names that roles give them in `one_at_a_time`.
#[derive(Default)]
pub struct Turns {
    places: Mutex<HashMap<String, Place>>,
    /// The hosts that keep turns for all runs, in an order that all runs have.
    keepers: Vec<Arc<dyn Host>>,
    /// What others are told of this run.
    holder: String,
}

#[derive(Default)]
struct Place {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Whose turn it is, or was last.
    holder: String,
    /// Where a command of this name failed.
    failed: Option<String>,
}

/// A host's turn; it ends when this goes.
pub(super) struct Turn {
    name: String,
    kept: Vec<Dialogue>,
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// Turns that runs share which ask one of the same hosts for them, by flock(2) on a file in /run there, and the
    /// run's connection. All must ask in the same order. A host that does not answer any more keeps nothing for anybody,
    /// and is passed over.
    ///
    /// Without this, they are those of one run alone.
    pub fn kept_by(keepers: Vec<Arc<dyn Host>>, lock: &Lock) -> Turns {
        Turns { keepers, holder: lock.holder().to_string(), ..Turns::default() }
    }

    /// The next turn of this name, in the order of those who ask; whoever has it in another run comes first. If it is
    /// not at once, `waits` is told whose it is.
    ///
    /// # Errors
    /// The host where a command of this name has failed: what broke one must not break the next.
    pub(super) async fn take(&self, name: &str, host: &str, waits: impl Fn(String)) -> Result<Turn, String> {
        let (lock, holder) = self.at(name, |place| (place.lock.clone(), place.holder.clone()));
        let guard = match lock.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => {
                waits(holder);
                lock.lock_owned().await
            }
        };
        self.at(name, |place| match &place.failed {
            Some(failed) => Err(failed.clone()),
            None => {
                place.holder = host.to_string();
                Ok(())
            }
        })?;
        let mut kept = Vec::new();
        for keeper in &self.keepers {
            if let Ok(dialogue) = self.keep(&**keeper, name, &waits).await {
                kept.push(dialogue);
            }
        }
        Ok(Turn { name: name.to_string(), kept, _guard: guard })
    }

    async fn keep(&self, keeper: &dyn Host, name: &str, waits: impl Fn(String)) -> Result<Dialogue, Error> {
        let (file, holder) = (quote(&file_name(name)), quote(&self.holder));
        let mut dialogue = keeper.dialogue(&format!("turn={file} holder={holder}\n{KEEP}")).await?;
        let answer = dialogue.ask("try", PATIENCE).await?;
        if answer != TAKEN {
            waits(answer);
            dialogue.ask("wait", WAIT).await?;
        }
        Ok(dialogue)
    }

    /// Nobody gets a turn of this name any more in this run.
    pub(super) fn spoil(&self, turn: &Turn, host: &str) {
        self.at(&turn.name, |place| place.failed = Some(host.to_string()));
    }

    fn at<T>(&self, name: &str, what: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        what(places.entry(name.to_string()).or_default())
    }
}

impl Turn {
    /// Lets others have it at once. Where it just goes, hosts take the run for cut off and wait a little.
    pub async fn leave(mut self) {
        for dialogue in &mut self.kept {
            // A host that does not answer keeps it for nobody.
            let _ = dialogue.ask("leave", PATIENCE).await;
        }
    }
}

/// Names of roles may have anything in them. Those that become the same only wait for each other.
fn file_name(turn: &str) -> String {
    turn.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}
