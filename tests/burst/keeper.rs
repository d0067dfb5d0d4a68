//! Who keeps the gateway: whom it lets in, when it is made anew, and that nothing is rented before it is there.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    task::{Context, Waker},
    time::Duration,
};

use hoist::{
    burst::{
        cloud::State,
        gateway::{Around, Keeper, Kept, Plan, PrivateKey, SETTLED},
        network::{Gateway, Made, Network},
        service::Beside,
    },
    engine::Library,
    inventory::{self, Inventory},
};

use super::gateway::end_one;
use super::sim::{
    Bed,
    bed::{Handle, now},
};

/// Two control planes, a worker, and a host that has etcd alone. Read once: it is asked for thousands of times.
static INVENTORY: LazyLock<Inventory> = LazyLock::new(|| {
    let text = "cluster: {name: office, kubernetes: \"1.36.2\", etcd: external, endpoint: {address: 192.168.18.9}}\n\
        hosts:\n  cp1: {address: 192.168.18.11, roles: [control-plane]}\n  \
        cp2: {address: 192.168.18.12, roles: [control-plane]}\n  w1: {address: 192.168.18.13, roles: [worker]}\n  \
        e1: {address: 192.168.18.14, roles: [etcd]}\n\
        burst: {region: eu-central-1, subnets: [172.16.0.0/22], max_instances: 2, monthly_budget: 20}\n";
    inventory::parse("office.yaml", text).unwrap().inventory
});

pub fn keeper(outside: &Handle, settled: Duration) -> Keeper {
    of(outside, settled, true)
}

/// For a network with a gateway, or one that has it no more.
pub fn of(outside: &Handle, settled: Duration, has_gateway: bool) -> Keeper {
    let inventory = INVENTORY.clone();
    let network = Network::of(&inventory).unwrap();
    let gateway = Gateway {
        address: "203.0.113.7".parse().unwrap(),
        allocation: "eipalloc-1".into(),
        interface: "eni-gateway".into(),
        private_address: "172.16.4.4".parse().unwrap(),
        subnet: "subnet-g".into(),
        zone: "eu-central-1a".into(),
        security_group: "sg-g".into(),
    };
    let made = Made {
        vpc: None,
        subnets: BTreeMap::new(),
        security_groups: Vec::new(),
        instance_profile: None,
        kms_key: None,
        routes: None,
        gateway: has_gateway.then_some(gateway),
        vpn_connection: None,
    };
    let (cluster, library) = ("3f0c".to_owned(), Library::default());
    let plan = Plan { inventory, network, made, cluster, library };
    let handle = || Arc::new(outside.clone());
    let (cloud, checks, records, meeting, clock) = (handle(), handle(), handle(), handle(), handle());
    Keeper::new(Around { cloud, checks, records, meeting, clock }, plan, settled)
}

pub fn tells(bed: &Bed, machine: &str) {
    let key = PrivateKey::generate().unwrap().public();
    bed.world().met.0.insert(machine.to_owned(), key);
}

/// So many seconds of turns, every two.
fn keep(bed: &Bed, keeper: &mut Keeper, seconds: u64) -> Kept {
    for _ in 0..seconds / 2 {
        now(keeper.keep()).unwrap().unwrap();
        bed.world().pass(2_000);
    }
    now(keeper.keep()).unwrap().unwrap()
}

/// How many instances there were, and how many live.
fn instances(bed: &Bed) -> (usize, usize) {
    let world = bed.world();
    let lives = world
        .machines
        .values()
        .filter(|it| it.state(world.now).is_some_and(|(state, _)| state != State::Terminated));
    (world.machines.len(), lives.count())
}

#[test]
fn it_waits_for_the_machines_and_tells_them_where_it_is() {
    let bed = Bed::new(1);
    let mut keeper = keeper(&bed.handle(), SETTLED);
    let kept = keep(&bed, &mut keeper, 60);
    assert_eq!((kept.instance, kept.machines, instances(&bed)), (None, 0, (0, 0)), "nobody could dial it");
    assert!(kept.trouble.unwrap().contains("no machine has a key yet"));
    assert_eq!(kept.without_key, ["cp1", "cp2", "w1"]);
    // They know where it will be.
    let known = bed.world().met.1.clone();
    let own: PrivateKey = bed.world().met.2.clone().unwrap().parse().unwrap();
    assert_eq!(
        (known.endpoint.unwrap().to_string(), known.key.unwrap()),
        ("203.0.113.7:51820".into(), own.public())
    );
    for machine in ["e1", "burst-1", "cp1", "cp2"] {
        tells(&bed, machine);
        keep(&bed, &mut keeper, 10);
        assert_eq!(instances(&bed), (0, 0), "more may come: each would make another gateway of it");
    }
    let kept = keep(&bed, &mut keeper, 40);
    assert!(kept.instance.is_some() && kept.trouble.is_none());
    assert_eq!(
        (kept.machines, kept.without_key.as_slice(), instances(&bed)),
        (2, &["w1".to_owned()][..], (1, 1))
    );
}

#[test]
fn a_new_machine_makes_it_anew_once_and_one_that_is_installed_anew_does_not() {
    let bed = Bed::new(2);
    let mut first = keeper(&bed.handle(), SETTLED);
    for machine in ["cp1", "cp2"] {
        tells(&bed, machine);
    }
    let before = keep(&bed, &mut first, 60).instance;
    assert!(before.is_some());
    // It is deleted as a node, and comes back with its old key.
    let key = bed.world().met.0.remove("cp2").unwrap();
    let kept = keep(&bed, &mut first, 120);
    assert_eq!((&kept.instance, kept.machines), (&before, 2));
    bed.world().met.0.insert("cp2".into(), key);
    assert_eq!(keep(&bed, &mut first, 60).instance, before);
    // Another process, that knows nothing but what is written down, at once.
    let mut second = keeper(&bed.handle(), SETTLED);
    assert_eq!(now(second.keep()).unwrap().unwrap().instance, before);
    tells(&bed, "w1");
    let kept = keep(&bed, &mut second, 200);
    assert!(kept.instance.is_some() && kept.instance != before);
    assert_eq!((kept.machines, instances(&bed)), (3, (2, 1)));
}

#[test]
fn that_it_cannot_be_had_is_told() {
    let bed = Bed::new(3);
    let mut keeper = keeper(&bed.handle(), Duration::ZERO);
    tells(&bed, "cp1");
    bed.world().faults.denied.insert("launch");
    let kept = keep(&bed, &mut keeper, 10);
    assert_eq!((kept.instance, instances(&bed)), (None, (0, 0)));
    assert!(kept.trouble.unwrap().contains("RunInstances"));
    // A refusal holds for a while: nobody tells when it was cured.
    bed.world().faults.denied.clear();
    assert_eq!(keep(&bed, &mut keeper, 600).instance, None);
    let kept = keep(&bed, &mut keeper, 400);
    assert!(kept.instance.is_some() && kept.trouble.is_none(), "{kept:?}");
}

#[test]
fn clones_with_one_key_are_not_let_in_and_strangers_are_told() {
    let bed = Bed::new(4);
    let mut keeper = keeper(&bed.handle(), Duration::ZERO);
    for machine in ["cp1", "w1", "w9"] {
        tells(&bed, machine);
    }
    let key = bed.world().met.0["w1"].clone();
    bed.world().met.0.insert("cp2".into(), key);
    let kept = keep(&bed, &mut keeper, 10);
    assert_eq!(
        (kept.machines, kept.without_key, kept.unknown),
        (1, vec!["cp2".into(), "w1".into()], vec!["w9".into()])
    );
    tells(&bed, "cp2");
    assert_eq!(keep(&bed, &mut keeper, 10).machines, 3);
}

#[test]
fn one_that_the_network_has_no_more_is_ended_and_forgotten() {
    let bed = Bed::new(5);
    tells(&bed, "cp1");
    let mut before = keeper(&bed.handle(), Duration::ZERO);
    assert!(before.hindrance().is_none() || keep(&bed, &mut before, 10).instance.is_some());
    assert!(before.hindrance().is_none() && instances(&bed) == (1, 1));
    let mut after = of(&bed.handle(), Duration::ZERO, false);
    assert!(after.hindrance().is_none(), "workers find the machines in another way");
    for _ in 0..60 {
        assert_eq!(now(after.keep()).unwrap(), None);
        bed.world().pass(2_000);
    }
    assert_eq!(instances(&bed), (1, 0));
    assert_eq!(bed.world().met.1, Default::default(), "machines take their tunnels down");
}

/// Those whose role is older than that they say so: after an upgrade pods get their workers as before.
#[test]
fn machines_that_do_not_say_whether_they_reach_it_hinder_nothing() {
    let bed = Bed::new(6);
    for machine in ["cp1", "cp2"] {
        tells(&bed, machine);
    }
    bed.world().faults.unsaid = true;
    let mut keeper = keeper(&bed.handle(), Duration::ZERO);
    let kept = keep(&bed, &mut keeper, 600);
    assert_eq!((kept.answered, kept.trouble, keeper.hindrance()), (0, None, None));
    (bed.world().faults.unsaid, bed.world().faults.unreached) = (false, true);
    let kept = keep(&bed, &mut keeper, 20);
    assert!(kept.trouble.unwrap().starts_with("no machine reaches the gateway"));
    assert!(keeper.hindrance().is_some());
}

#[test]
fn that_no_machine_reaches_it_is_no_reason_to_ask_ec2_more_seldom() {
    let bed = Bed::new(7);
    tells(&bed, "cp1");
    bed.world().faults.unreached = true;
    let mut keeper = keeper(&bed.handle(), Duration::ZERO);
    assert!(keep(&bed, &mut keeper, 1200).trouble.unwrap().starts_with("no machine reaches"));
    bed.world().faults.silent.insert("launch");
    bed.world().calls.clear();
    end_one(&mut bed.world());
    keep(&bed, &mut keeper, 40);
    let world = bed.world();
    let times = &world.calls["launch"];
    assert!(times.len() > 1 && times[1] - times[0] <= 12_000, "the first pause is the shortest: {times:?}");
}

#[test]
fn a_look_that_was_asked_for_by_one_that_led_does_not_begin_and_what_it_knew_is_forgotten() {
    let bed = Bed::new(8);
    tells(&bed, "cp1");
    let mut beside = Beside::new(keeper(&bed.handle(), Duration::ZERO));
    let mut keeping = Box::pin(beside.keep());
    let mut go_on = || assert!(keeping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let looks = || bed.world().calls.get("describe").map_or(0, Vec::len);
    go_on();
    beside.begin();
    beside.forget();
    go_on();
    assert_eq!((looks(), instances(&bed), beside.told().is_none()), (0, (0, 0), true));
    beside.begin();
    go_on();
    assert_eq!((looks(), instances(&bed), beside.told().is_some()), (1, (1, 1), true));
    beside.begin();
    go_on();
    assert_eq!(looks(), 1, "the last look is not two seconds old");
    beside.forget();
    beside.begin();
    go_on();
    assert_eq!(looks(), 2, "it is another's");
}
