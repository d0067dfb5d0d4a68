//! Runs controllers in a world: whole turns, turns that are paused in the middle, and turns that are killed there.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use hoist::burst::{
    claim::{Claim, Limits, Phase},
    cloud::Template,
    controller::{Batch, Caps, Clock, Controller, Decision, Error, Policy, Report, Settings, View, Wanted},
    offer::{Architecture, Capacity, InstanceType, Money, Offer},
    time::Time,
};

use super::{cluster, world::World};

const STOPPED: u32 = u32::MAX;

/// One controller's way to the world. Every call has two places where its controller can be stopped: before and after
/// its effect.
#[derive(Clone)]
pub struct Handle {
    world: Arc<Mutex<World>>,
    /// At how many further places to stop; [`STOPPED`] while it is.
    stop: Arc<Mutex<Option<u32>>>,
}

impl Handle {
    /// One that is stopped at this place of what it does.
    pub fn stopped_at(&self, place: u32) -> Handle {
        Handle { world: self.world.clone(), stop: Arc::new(Mutex::new(Some(place))) }
    }

    /// Whether it has come to the place where it was to be stopped.
    pub fn is_stopped(&self) -> bool {
        *self.stop.lock().unwrap() == Some(STOPPED)
    }

    pub async fn call<T>(&self, effect: impl FnOnce(&mut World) -> T) -> T {
        self.place().await;
        let answer = effect(&mut lock(&self.world));
        self.place().await;
        answer
    }

    /// Waits as long as this is so.
    pub async fn while_it(&self, is_so: impl Fn(&World) -> bool) {
        std::future::poll_fn(|_| match is_so(&lock(&self.world)) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Goes on, or waits once to be polled again.
    async fn place(&self) {
        let mut waited = false;
        std::future::poll_fn(|_| {
            let mut stop = self.stop.lock().unwrap();
            match *stop {
                Some(0) if !waited => {
                    waited = true;
                    *stop = Some(STOPPED);
                    Poll::Pending
                }
                Some(left) if !waited && left != STOPPED => {
                    *stop = Some(left - 1);
                    Poll::Ready(())
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[async_trait]
impl Clock for Handle {
    fn now(&self) -> Time {
        lock(&self.world).shown()
    }

    /// Lets whoever works beside go on, too.
    async fn sleep(&self, duration: Duration) {
        self.while_it(|_| *self.stop.lock().unwrap() == Some(STOPPED)).await;
        lock(&self.world).pass(duration.as_millis() as u64);
        let mut waited = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
            false => Poll::Pending,
            true => Poll::Ready(()),
        })
        .await;
    }
}

pub fn offer(instance_type: &str, zone: &str, capacity: Capacity) -> Offer {
    let price = Money(if capacity == Capacity::Spot { 30_000 } else { 90_000 });
    Offer { instance_type: instance_type.into(), zone: zone.into(), capacity, price }
}

/// Two types in three zones, spot first.
pub fn offers() -> Vec<Offer> {
    offers_of(&["m7g.large", "c7g.large"])
}

/// These types in three zones, spot first.
pub fn offers_of(instance_types: &[&str]) -> Vec<Offer> {
    let mut offers = Vec::new();
    for capacity in [Capacity::Spot, Capacity::OnDemand] {
        for instance_type in instance_types {
            offers.extend(["a", "b", "c"].map(|zone| offer(instance_type, zone, capacity)));
        }
    }
    offers
}

pub fn settings() -> Settings {
    let instance_type = |name: &str| InstanceType {
        name: name.into(),
        architecture: Architecture::Arm64,
        vcpus: 2,
        memory_mib: 8192,
        max_pods: 110,
    };
    Settings {
        template: Template {
            cluster: "3f0c".into(),
            images: [(Architecture::Arm64, "ami-1".into())].into(),
            subnets: ["a", "b", "c"].map(|zone| (zone.into(), format!("subnet-{zone}"))).into(),
            security_groups: vec!["sg-1".into()],
            instance_profile: None,
            root_device: "/dev/xvda".into(),
            root_gib: 20,
            kms_key: None,
            tags: [].into(),
        },
        configuration: "1".into(),
        limits: Limits::default(),
        policy: Policy::default(),
        caps: Caps::default(),
        batch: Batch::default(),
        types: ["m7g.large", "c7g.large", "r8g.large", "x8g.large"]
            .map(|name| (name.to_owned(), instance_type(name)))
            .into(),
    }
}

/// A world with its controllers.
pub struct Bed {
    pub world: Arc<Mutex<World>>,
    pub settings: Settings,
    controllers: Vec<(Controller, Handle)>,
    started: u32,
}

/// What a controller did in a turn: nothing if it does not lead.
pub type Turn = Result<Option<Report>, Error>;
type Running<'a> = Pin<Box<dyn Future<Output = Turn> + 'a>>;

impl Bed {
    pub fn new(seed: u64) -> Self {
        let mut bed = Self {
            world: Arc::new(Mutex::new(World::new(seed))),
            settings: settings(),
            controllers: Vec::new(),
            started: 0,
        };
        bed.start();
        bed
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn handle(&self) -> Handle {
        Handle { world: self.world.clone(), stop: Arc::default() }
    }

    /// One more controller, which knows what the ledger knows.
    pub fn start(&mut self) {
        let handle = self.handle();
        self.started += 1;
        let around = cluster::all(handle.clone());
        let controller = Controller::new(around, self.settings.clone(), format!("c{}", self.started));
        self.controllers.push((controller, handle));
    }

    pub fn controller(&mut self) -> &mut Controller {
        &mut self.controllers[0].0
    }

    pub fn add_pods(&self, count: usize, lasts: Duration) {
        let mut world = self.world();
        for _ in 0..count {
            let (name, ends) =
                (format!("default/p{}", world.rng.u32(..)), world.now + lasts.as_millis() as u64);
            let kept = world.rng.u8(0..10) == 0;
            let pod = super::world::Pod { node: None, ends, kept, refused: false, leaving_at: None };
            world.pods.insert(name, pod);
        }
    }

    /// A turn of the first controller.
    pub fn turn(&mut self) -> Turn {
        let world = self.world.clone();
        let (controller, _) = &mut self.controllers[0];
        finish(&mut (Box::pin(turn(controller, &world)) as Running))
    }

    /// Lets time pass, with a turn every `every` seconds.
    pub fn turns(&mut self, seconds: u64, every: u64) {
        for _ in 0..seconds / every {
            self.world().pass(every * 1000);
            let _ = self.turn();
        }
    }

    /// Kills the first controller at a place in its turn, and starts another. Whether it got that far.
    pub fn killed_turn(&mut self, place: u32) -> bool {
        let world = self.world.clone();
        let (controller, handle) = &mut self.controllers[0];
        *handle.stop.lock().unwrap() = Some(place);
        let killed = poll(&mut (Box::pin(turn(controller, &world)) as Running)).is_none();
        *handle.stop.lock().unwrap() = None;
        if killed {
            lock(&world).say("the controller is killed");
            self.controllers.remove(0);
            self.start();
            let last = self.controllers.len() - 1;
            self.controllers.swap(0, last);
        }
        killed
    }

    /// Pauses the first controller in the middle of its turn, while time passes and the second one works, and then lets
    /// it finish what it had begun.
    pub fn paused_turn(&mut self, place: u32, others: u32) -> Turn {
        let world = self.world.clone();
        let (first, rest) = self.controllers.split_at_mut(1);
        let (controller, handle) = &mut first[0];
        *handle.stop.lock().unwrap() = Some(place);
        let mut running = Box::pin(turn(controller, &world)) as Running;
        if let Some(done) = poll(&mut running) {
            *handle.stop.lock().unwrap() = None;
            return done;
        }
        lock(&world).say("the controller pauses");
        for _ in 0..others {
            lock(&world).pass(5_000);
            let _ = finish(&mut (Box::pin(turn(&mut rest[0].0, &world)) as Running));
        }
        lock(&world).say("the controller goes on");
        *handle.stop.lock().unwrap() = None;
        finish(&mut running)
    }
}

fn poll(running: &mut Running<'_>) -> Option<Turn> {
    match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn finish(running: &mut Running<'_>) -> Turn {
    loop {
        if let Some(done) = poll(running) {
            return done;
        }
    }
}

/// Runs a future of the simulation, which never waits for anything but itself.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

async fn turn(controller: &mut Controller, world: &Mutex<World>) -> Turn {
    let Some(view) = controller.look().await? else { return Ok(None) };
    let decision = pack(&view, &lock(world));
    Ok(Some(controller.carry_out(view, &decision).await?))
}

/// A small packer: as many nodes as the waiting pods fill, less what is there or on its way.
fn pack(view: &View, world: &World) -> Decision {
    let open: Vec<&Claim> =
        view.claims().filter(|claim| claim.is_capacity() && claim.phase < Phase::Ready).collect();
    let covered: BTreeSet<&String> = open.iter().flat_map(|claim| &claim.pods).collect();
    let ready = view.nodes().iter().filter(|node| node.ready && !node.cordoned);
    let room: usize = ready.map(|node| World::ROOM.saturating_sub(node.pods.len())).sum();
    if world.closed {
        return Decision { is_cut: true, ..Decision::default() };
    }
    let more = world.pending().count().saturating_sub(room + open.len() * World::ROOM);
    let pods: Vec<String> =
        world.pending().filter(|pod| !covered.contains(pod)).take(more).cloned().collect();
    let wanted = pods
        .chunks(World::ROOM)
        .map(|pods| Wanted { offers: world.offers.clone(), pods: pods.to_vec() })
        .collect();
    Decision { wanted, ..Decision::default() }
}
