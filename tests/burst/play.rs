//! A program that runs in the simulation: what begins and ends it, and what it tells.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hoist::burst::{
    claim::Phase,
    controller::{Caps, Clock},
    demand::Rules,
    market::Offered,
    offer::Money,
    service::{Kind, Known, Line, Service, Stop},
    time::Time,
};
use tokio::sync::watch;

use super::{
    gates,
    sim::{
        Bed,
        bed::{Handle, now, offers, settings},
        feed::Road,
        world::World,
    },
};

pub const MINUTE: u64 = 60;

/// The world's clock, which asks the program to end when its time has come.
struct Until {
    handle: Handle,
    end: u64,
    asker: watch::Sender<bool>,
    /// When the API server goes, and comes back.
    breaks: Vec<(u64, bool)>,
    play: Arc<Mutex<World>>,
}

#[async_trait]
impl Clock for Until {
    fn now(&self) -> Time {
        self.handle.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.handle.sleep(duration).await;
        let now = self.handle.now().0;
        if let Some((_, away)) = self.breaks.iter().rev().find(|(at, _)| now >= *at) {
            self.play.lock().unwrap().faults.away = *away;
        }
        if now >= self.end {
            self.asker.send_replace(true);
        }
    }
}

pub struct Play {
    pub bed: Bed,
    told: Arc<Mutex<Vec<Line>>>,
    /// What the gateway costs in an hour.
    pub gateway: Option<Money>,
}

impl Play {
    pub fn new(seed: u64) -> Play {
        Play { bed: Bed::new(seed), told: Arc::default(), gateway: None }
    }

    pub fn service(&self, clock: Arc<dyn Clock>, name: &'static str) -> Service {
        let known = Known {
            asked: true,
            offered: Offered {
                types: settings().types,
                offers: offers(),
                gateway: self.gateway,
                remarks: Vec::new(),
            },
            troubles: Vec::new(),
        };
        let burst = hoist::inventory::Burst::default();
        let caps = Caps { monthly: Some(Money::dollars(100)), ..Caps::default() };
        let told = self.told.clone();
        let tell = move |line: &Line| told.lock().unwrap().push(line.clone());
        let (_, known) = watch::channel(known);
        let road = Box::new(Road(self.bed.handle(), name));
        Service::new(road, Rules { burst, caps }, clock, known, name.to_owned(), Box::new(tell))
    }

    /// A program that begins, runs for so many seconds and is ended.
    pub fn run(&self, seconds: u64) {
        self.run_with(seconds, Vec::new());
    }

    /// The same, with breaks at these seconds.
    pub fn run_with(&self, seconds: u64, breaks: Vec<(u64, bool)>) {
        let handle = self.bed.handle();
        let (asker, mut stop) = Stop::new();
        let at = |seconds: u64| handle.now().0 + seconds * 1000;
        let (end, play) = (at(seconds), self.bed.world.clone());
        let breaks = breaks.into_iter().map(|(seconds, away)| (at(seconds), away)).collect();
        let mut service = self.service(Arc::new(Until { handle, end, asker, breaks, play }), "c1");
        now(service.run(&mut stop)).unwrap();
        gates::hold(&self.bed.world());
    }

    pub fn told(&self, kind: Kind) -> Vec<String> {
        let mut told = self.told.lock().unwrap();
        let found = told.iter().filter(|line| line.kind == kind).map(|line| line.message.clone()).collect();
        told.retain(|line| line.kind != kind);
        found
    }

    pub fn phases(&self) -> Vec<Phase> {
        self.bed.world().claims.values().map(|(claim, _)| claim.phase).collect()
    }

    pub fn launches(&self) -> usize {
        self.bed.world().calls.get("launch").map_or(0, Vec::len)
    }
}
