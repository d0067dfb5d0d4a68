//! EC2, simulated: client tokens are idempotent, states take time, answers lag, and calls fail in all the ways that EC2
//! and networks have.

use async_trait::async_trait;
use hoist::burst::{
    cloud::{Cloud, CloudError, Instance, Leftover, Order, Resource, RunInstances, State, tag},
    offer::Capacity,
    quota::Bucket,
    time::Time,
};

use super::{
    bed::Handle,
    world::{Disk, Machine, World},
};

fn refuse(order: Order, status: u16, code: &str) -> CloudError {
    CloudError::answered(order, status, code, "simulated")
}

/// Faults before anything is done.
fn before(world: &mut World, order: Order, name: &'static str) -> Result<(), CloudError> {
    let now = world.now;
    world.calls.entry(name).or_default().push(now);
    if world.faults.denied.contains(name) {
        return Err(refuse(order, 403, "UnauthorizedOperation"));
    }
    if world.faults.expired {
        return Err(refuse(order, 400, "RequestExpired"));
    }
    if world.faults.silent.contains(name) || world.faults.stalls.contains(name) {
        return Err(CloudError::unanswered(order, "no answer within 30 s"));
    }
    if world.roll(world.faults.throttle) {
        return Err(refuse(order, 503, "RequestLimitExceeded"));
    }
    if world.roll(world.faults.cut_before) {
        return Err(match world.rng.bool() {
            true => CloudError::unanswered(order, "connection reset"),
            false => refuse(order, 500, "InternalError"),
        });
    }
    Ok(())
}

/// The answer may be cut when everything is done.
fn after<T>(world: &mut World, order: Order, answer: T) -> Result<T, CloudError> {
    match world.roll(world.faults.cut_after) {
        true => {
            world.say(format!("  the answer to {order} is cut"));
            Err(CloudError::unanswered(order, "connection closed"))
        }
        false => Ok(answer),
    }
}

fn launch(world: &mut World, request: &RunInstances) -> Result<Instance, CloudError> {
    let order = Order::RunInstances;
    before(world, order, "launch")?;
    let zone = request.subnet_id.trim_start_matches("subnet-").to_owned();
    let claim = request.tags.get(tag::CLAIM).cloned();
    if let Some((digest, id)) = world.tokens.get(&request.client_token).cloned() {
        if digest != request.digest() {
            world.mismatches += 1;
            world.say(format!("IdempotentParameterMismatch for {claim:?}"));
            return Err(refuse(order, 400, "IdempotentParameterMismatch"));
        }
        if world.machines[&id].is_forgotten(world.now) {
            world.say(format!("IdempotentInstanceTerminated for {claim:?}: {id}"));
            return Err(refuse(order, 400, "IdempotentInstanceTerminated"));
        }
        world.say(format!("RunInstances repeated for {claim:?}: {id}"));
        let mut instance = world.machines[&id].instance.clone();
        (instance.state, instance.reason) =
            world.machines[&id].state(world.now).unwrap_or((State::Pending, None));
        return after(world, order, instance);
    }
    let capacity = if request.spot { Capacity::Spot } else { Capacity::OnDemand };
    let offered = format!("{} {zone} {capacity:?}", request.instance_type);
    let bucket = Bucket::of(&request.instance_type);
    let counts = |machine: &Machine| (machine.spot, machine.bucket) == (request.spot, bucket);
    let counted = world.alive().filter(|(_, machine)| counts(machine)).count();
    let interface = request.network_interface.as_ref().filter(|_| !world.faults.interfaces_are_shared);
    let holds = |machine: &Machine| {
        interface.is_some()
            && machine.interface.as_ref() == interface
            && machine.state(world.now).is_some_and(|(state, _)| state != State::Terminated)
    };
    let refusal = if world.machines.values().any(holds) {
        Some((400, "InvalidNetworkInterface.InUse"))
    } else if world.faults.full.contains(&zone) {
        Some((400, "InsufficientFreeAddressesInSubnet"))
    } else if world.faults.short.iter().any(|rule| offered.contains(rule)) {
        Some((500, "InsufficientInstanceCapacity"))
    } else if world.faults.quota.get(&(capacity, bucket)).is_some_and(|vcpus| counted as u32 * 2 + 2 > *vcpus)
    {
        Some((400, if request.spot { "MaxSpotInstanceCountExceeded" } else { "VcpuLimitExceeded" }))
    } else {
        None
    };
    if let Some((status, code)) = refusal {
        world.say(format!("RunInstances {offered} for {claim:?}: {code}"));
        return Err(refuse(order, status, code));
    }
    let instance = make(world, request, zone, claim.clone());
    world.say(format!("RunInstances {offered} for {claim:?}: {}", instance.id));
    after(world, order, instance)
}

fn make(world: &mut World, request: &RunInstances, zone: String, claim: Option<String>) -> Instance {
    let now = world.now;
    let id = format!("i-{:04}", world.machines.len() + 1);
    world.tokens.insert(request.client_token.clone(), (request.digest(), id.clone()));
    let instance = Instance {
        id: id.clone(),
        state: State::Pending,
        reason: None,
        launched: Time(now),
        client_token: request.client_token.clone(),
        address: Some("172.16.0.9".into()),
        claim: claim.clone(),
    };
    let runs = now + world.between(4, 20);
    let mut history = vec![(now, State::Pending, None)];
    if world.roll(world.faults.stillborn) || request.spot && world.faults.spot_stillborn {
        history.push((runs, State::Terminated, Some("Server.InternalError".to_owned())));
    } else {
        history.push((runs, State::Running, None));
    }
    let joins_at = (!world.roll(world.faults.no_join)).then(|| runs + 25_000);
    let notice_at =
        (request.spot && world.roll(world.faults.notices)).then(|| runs + world.rng.u64(60_000..3_000_000));
    let hidden_until = if world.roll(world.faults.hide) { now + world.between(5, 150) } else { 0 };
    for is_volume in [true, false] {
        let name = format!("{}-{}", if is_volume { "vol" } else { "eni" }, &id[2..]);
        let leaks = world.roll(world.faults.leak);
        let machine = Some(id.clone());
        world.disks.insert(name, Disk { claim: claim.clone(), machine, is_volume, leaks, free: false });
    }
    let spot = request.spot;
    let machine = Machine {
        instance: instance.clone(),
        interface: request.network_interface.clone(),
        zone,
        spot,
        bucket: Bucket::of(&request.instance_type),
        history,
        hidden_until,
        joins_at,
        notice_at,
    };
    world.machines.insert(id, machine);
    instance
}

/// Instances as they were a moment ago.
fn describe(world: &mut World, ids: Option<&[String]>) -> Result<Vec<Instance>, CloudError> {
    before(world, Order::DescribeInstances, "describe")?;
    let lag = world.rng.u64(0..=world.faults.lag);
    let (now, at) = (world.now, world.now - lag);
    let wanted = |id: &String| ids.is_none_or(|ids| ids.contains(id));
    Ok(world
        .machines
        .iter()
        .filter(|(id, machine)| wanted(id) && now >= machine.hidden_until)
        .filter_map(|(_, machine)| {
            let (state, reason) = machine.state(at)?;
            (!machine.is_forgotten(at)).then(|| Instance { state, reason, ..machine.instance.clone() })
        })
        .collect())
}

fn terminate(world: &mut World, ids: &[String]) -> Result<(), CloudError> {
    let order = Order::TerminateInstances;
    before(world, order, "terminate")?;
    let now = world.now;
    if ids.iter().any(|id| world.machines.get(id).is_none_or(|machine| now < machine.hidden_until)) {
        return Err(refuse(order, 400, "InvalidInstanceID.NotFound"));
    }
    for id in ids {
        let ends = now + world.between(2, 30);
        let Some(machine) = world.machines.get_mut(id).filter(|machine| machine.is_alive(now)) else {
            continue;
        };
        machine.history.retain(|(since, ..)| *since <= now);
        machine.history.push((now, State::ShuttingDown, None));
        machine.history.push((ends, State::Terminated, Some("Client.UserInitiatedShutdown".into())));
        world.say(format!("TerminateInstances {id}"));
    }
    after(world, order, ())
}

fn delete(world: &mut World, leftover: &Leftover) -> Result<(), CloudError> {
    let order = match leftover.resource {
        Resource::Volume => Order::DeleteVolume,
        Resource::NetworkInterface => Order::DeleteNetworkInterface,
    };
    before(world, order, "delete")?;
    if world.disks.get(&leftover.id).is_some_and(|disk| !disk.free) {
        return Err(refuse(order, 400, "VolumeInUse"));
    }
    world.disks.remove(&leftover.id);
    world.say(format!("{order} {}", leftover.id));
    after(world, order, ())
}

impl Handle {
    /// As long as a call of this kind takes.
    pub async fn stall(&self, name: &'static str) {
        let until = self.call(|world| world.faults.stalls.contains(name).then(|| world.now + 25_000)).await;
        self.while_it(|world| until.is_some_and(|until| world.now < until)).await;
    }
}

#[async_trait]
impl Cloud for Handle {
    async fn launch(&self, request: &RunInstances) -> Result<Instance, CloudError> {
        self.stall("launch").await;
        self.call(|world| launch(world, request)).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, CloudError> {
        self.stall("describe").await;
        self.call(|world| describe(world, None)).await
    }

    async fn instances_by_id(&self, ids: &[String]) -> Result<Vec<Instance>, CloudError> {
        self.call(|world| describe(world, Some(ids))).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, CloudError> {
        self.call(|world| {
            before(world, Order::Describe("Volumes"), "leftovers")?;
            let leftover = |(id, disk): (&String, &Disk)| Leftover {
                id: id.clone(),
                resource: if disk.is_volume { Resource::Volume } else { Resource::NetworkInterface },
                claim: disk.claim.clone(),
                in_use: !disk.free,
            };
            Ok(world.disks.iter().map(leftover).collect())
        })
        .await
    }

    async fn terminate(&self, ids: &[String]) -> Result<(), CloudError> {
        self.call(|world| terminate(world, ids)).await
    }

    async fn delete(&self, leftover: &Leftover) -> Result<(), CloudError> {
        self.stall("delete").await;
        self.call(|world| delete(world, leftover)).await
    }

    async fn console_output(&self, id: &str) -> Result<String, CloudError> {
        self.call(|world| {
            before(world, Order::GetConsoleOutput, "console")?;
            Ok(format!("console of {id}"))
        })
        .await
    }
}
