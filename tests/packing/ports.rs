//! Ports of nodes, which one pod has or another.

use hoist::burst::pack::{HostPort, Pod, Slot, Toleration};

use crate::world::{market, metal, pod, port, rented, slot, solve, taint, types};

const ZONES: [&str; 1] = ["eu-central-1a"];

fn with(ports: Vec<HostPort>, pod: Pod) -> Pod {
    Pod { ports, ..pod }
}

#[test]
fn a_port_of_a_node_is_one_pods() {
    let market = market(&[(8, 32, 40)], &ZONES);
    for (first, second, together) in [
        (port(80, None), port(80, None), false),
        (port(80, None), port(81, None), true),
        (port(80, None), HostPort { protocol: "UDP".into(), ..port(80, None) }, true),
        (port(80, Some("10.0.0.1")), port(80, Some("10.0.0.1")), false),
        (port(80, Some("10.0.0.1")), port(80, Some("10.0.0.2")), true),
        (port(80, Some("10.0.0.1")), port(80, None), false),
        (port(80, None), port(80, Some("10.0.0.1")), false),
    ] {
        let told = format!("{first} and {second}");
        let pods =
            [with(vec![first.clone()], pod("a", 100, 1)), with(vec![second.clone()], pod("b", 100, 1))];
        assert_eq!(solve(&pods, &[], &market).new.len(), if together { 1 } else { 2 }, "{told}");
        // One runs already.
        let mut there = rented("r", 4000, 16, 20, false);
        there.pods = vec![pods[0].clone()];
        let plan = solve(&pods[1..], &[there], &market);
        assert_eq!(slot(&plan, 0), Some(if together { Slot::Existing(0) } else { Slot::New(0) }), "{told}");
    }
}

#[test]
fn many_addresses_of_one_port_are_told_apart() {
    let market = market(&[(8, 32, 40)], &ZONES);
    let at = |name: &str, ip: Option<&str>| with(vec![port(53, ip)], pod(name, 100, 1));
    let three = [at("a", Some("10.0.0.1")), at("b", Some("10.0.0.2")), at("c", Some("10.0.0.3"))];
    assert_eq!(solve(&three, &[], &market).new.len(), 1);
    let four = [three.as_slice(), &[at("all", None)]].concat();
    assert_eq!(solve(&four, &[], &market).new.len(), 2);
    // Of those that run, each keeps all addresses busy for who wants them all.
    let mut home = metal("m", 4000, 16);
    home.pods = three[..2].to_vec();
    assert_eq!(slot(&solve(&four[3..], &[home.clone()], &market), 0), Some(Slot::New(0)));
    assert_eq!(slot(&solve(&three[2..], &[home.clone()], &market), 0), Some(Slot::Existing(0)));
    assert_eq!(slot(&solve(&three[..1], &[home], &market), 0), Some(Slot::New(0)));
}

#[test]
fn pods_without_a_port_fill_the_nodes_of_those_that_have_one() {
    let market = market(&[(2, 8, 10), (4, 16, 20)], &ZONES);
    let mut pods: Vec<Pod> =
        (0..3).map(|n| with(vec![port(443, None)], pod(&format!("p{n}"), 1000, 2))).collect();
    pods.extend((0..3).map(|n| pod(&format!("q{n}"), 1000, 2)));
    assert_eq!(types(&solve(&pods, &[], &market), &market), ["t0"; 3]);
}

#[test]
fn what_a_daemon_has_of_every_rented_node_is_told() {
    let mut market = market(&[(2, 8, 10)], &ZONES);
    let web = [with(vec![port(80, None)], pod("web", 100, 1))];
    // Two daemons of which only one can run there still leave room for others.
    let daemon = |name: &str| Pod { daemon: true, ..with(vec![port(80, None)], pod(name, 100, 1)) };
    market.daemons = vec![daemon("ingress"), daemon("other")];
    let plan = solve(&web, &[], &market);
    assert_eq!(
        plan.unplaced[0].because,
        "needs port 80/TCP of its node, which default/ingress has on every rented one"
    );
    assert_eq!(solve(&[pod("else", 100, 1)], &[], &market).new.len(), 1);
    // Nor is there room on a node that is on its way, whose daemons are still to come, whatever is on it already.
    let mut coming = rented("r", 2000, 8, 10, true);
    assert_eq!(solve(&web, &[coming.clone()], &market).unplaced.len(), 1);
    coming.pods = vec![pod("early", 100, 1)];
    assert_eq!(solve(&web, &[coming], &market).unplaced.len(), 1);
    // A daemon that does not tolerate the taint of rented nodes has nothing of them.
    market.taints = vec![taint("cloud")];
    let cloudy = [Pod { tolerations: vec![Toleration::default()], ..web[0].clone() }];
    assert_eq!(solve(&cloudy, &[], &market).new.len(), 1);
}
