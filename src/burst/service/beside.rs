//! The gateway is kept beside the turns: EC2 may take half a minute for each answer, and neither the lease nor a node that
//! EC2 takes back can wait for that.
//!
//! A turn of one that leads asks for a look, and goes by the last one that has come to its end. A look that began before
//! this controller led is nothing to go by.

use std::{future::Future, sync::Arc};

use tokio::sync::{Notify, watch};

use crate::burst::gateway::{Keeper, Kept};

/// What the last look has come to.
#[derive(Debug, Clone)]
pub struct Told {
    /// Why workers would not find the machines.
    pub hindrance: Option<&'static str>,
    /// None: there shall be no gateway, or `trouble` says why nothing is known of it.
    pub kept: Option<Kept>,
    /// Why there was no look.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Heard {
    /// How often this controller has ceased to lead.
    term: u64,
    /// Whether it leads, as far as its turns have told.
    leads: bool,
    told: Option<Told>,
}

struct Shared {
    asked: Notify,
    heard: watch::Sender<Heard>,
}

/// A keeper, for turns that do not wait for it.
pub struct Beside {
    keeper: Option<Keeper>,
    shared: Arc<Shared>,
}

impl Beside {
    pub fn new(keeper: Keeper) -> Beside {
        let shared = Shared { asked: Notify::new(), heard: watch::Sender::new(Heard::default()) };
        Beside { keeper: Some(keeper), shared: Arc::new(shared) }
    }

    /// Looks whenever it is asked, and never ends; whoever drops it stops it where it is, which it survives as it survives a
    /// kill. The first caller has it.
    pub fn keep(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (keeper, shared) = (self.keeper.take(), self.shared.clone());
        async move {
            let Some(mut keeper) = keeper else { return std::future::pending().await };
            let mut last = 0;
            loop {
                shared.asked.notified().await;
                let (term, leads) = {
                    let heard = shared.heard.borrow();
                    (heard.term, heard.leads)
                };
                // It was asked while a look went on, and has ceased to lead since.
                if !leads {
                    continue;
                }
                // Another has kept the gateway meanwhile.
                if std::mem::replace(&mut last, term) != term {
                    keeper.forget();
                }
                let (kept, trouble) = match keeper.keep().await {
                    Ok(kept) => (kept, None),
                    Err(error) => (None, Some(error.to_string())),
                };
                let told = Told { hindrance: keeper.hindrance(), kept, trouble };
                shared.heard.send_if_modified(|heard| {
                    let counts = heard.term == term;
                    if counts {
                        heard.told = Some(told);
                    }
                    counts
                });
            }
        }
    }

    /// By one that leads: asks for a look, unless one goes on.
    pub fn begin(&self) {
        self.shared.heard.send_if_modified(|heard| {
            heard.leads = true;
            false
        });
        self.shared.asked.notify_one();
    }

    /// This controller does not lead: what it knows is of no use to it.
    pub fn forget(&self) {
        self.shared
            .heard
            .send_modify(|heard| *heard = Heard { term: heard.term + 1, leads: false, told: None });
    }

    /// Nothing before the first look.
    pub fn told(&self) -> Option<Told> {
        self.shared.heard.borrow().told.clone()
    }

    /// Waits for the first look. Somebody has to poll [`Beside::keep`] meanwhile.
    pub async fn first(&self) {
        // The sender is our own.
        let _ = self.shared.heard.subscribe().wait_for(|heard| heard.told.is_some()).await;
    }
}
