//! Commands that must not run on several hosts at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// The turns of a run, by the names that roles give them in `one_at_a_time`.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Place>>);

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
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// The next turn of this name, in the order of those who ask. If it is not at once, `waits` is told whose it is.
    ///
    /// # Errors
    /// The host where a command of this name has failed: what broke one must not break the next.
    pub async fn take(&self, name: &str, host: &str, waits: impl FnOnce(String)) -> Result<Turn, String> {
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
                Ok(Turn { name: name.to_string(), _guard: guard })
            }
        })
    }

    /// Nobody gets a turn of this name any more in this run.
    pub fn spoil(&self, turn: &Turn, host: &str) {
        self.at(&turn.name, |place| place.failed = Some(host.to_string()));
    }

    fn at<T>(&self, name: &str, what: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what(places.entry(name.to_string()).or_default())
    }
}
