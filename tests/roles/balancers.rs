//! Load balancers before the API servers.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use hoist::{
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};
use serde_json::json;

use super::{
    bed::{METAL, compiled, written},
    namespace::Namespace,
};

/// What the inventory says.
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 18, 200);
const PORT: u16 = 8443;

/// Debian and Red Hat, with and without the virtual address.
#[test]
fn what_balancers_get() {
    for (host, roles) in compiled("balancers.yaml").into_iter().filter(|(host, _)| host != "cp3") {
        let own: Vec<RoleSteps> = roles.into_iter().filter(|role| role.role == "load-balancer").collect();
        insta::assert_snapshot!(format!("balancers-{host}"), written(&own));
    }
    // Alone, without anybody to hand the address to.
    let (_, roles) = compiled("balancers.yaml").remove(0);
    let mut context = roles.iter().find(|role| role.role == "load-balancer").unwrap().context.clone();
    let mut host = context.get("host").clone();
    host["balancer"]["vrrp"]["peers"] = json!([]);
    context.set("host", host);
    let alone = Templates::new(Library::default()).file("keepalived/keepalived.conf", &context).unwrap();
    assert!(!alone.contains("unicast") && alone.contains("vrrp_mcast_group4"), "{alone}");
    // Clients and the API servers have different ports on the same hosts.
    let init = roles.iter().find(|role| role.role == "control-plane").unwrap();
    let init = Templates::new(Library::default()).file("kubeadm/init.yaml", &init.context).unwrap();
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(&init).unwrap();
    assert_eq!(documents[0]["localAPIEndpoint"]["bindPort"], 8444);
    assert_eq!(documents[1]["controlPlaneEndpoint"], "127.0.0.1:8443");
    let names = documents[1]["apiServer"]["certSANs"].as_array().unwrap();
    for name in ["127.0.0.1", "192.168.18.200"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

/// How cp2 finds out whether it may start its keeper, where these control planes have one: a check.
fn check(keepers: &[&str]) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inventory/valid/balancers.yaml");
    let inventory = inventory::load(&path).unwrap().inventory;
    let facts = inventory.hosts.iter().map(|(name, host)| {
        let keeper = if keepers.contains(&name.as_str()) { "keeper=yes\n" } else { "" };
        (name.clone(), Facts::parse(&format!("{METAL}{keeper}address=ens192 {}/24\n", host.address)))
    });
    let observed: Observed = facts.collect();
    let mut targets = targets(&inventory, &observed, None, Some(&["load-balancer".to_owned()]));
    let target = targets.remove(1);
    let roles = compile(&Library::default(), &Templates::new(Library::default()), &target).unwrap();
    let steps = roles.into_iter().flat_map(|role| role.steps);
    let mut waits = steps.filter_map(|step| match step.task {
        Task::Wait(wait) => Some(wait.check),
        _ => None,
    });
    waits.next()
}

#[test]
fn only_where_others_keep_the_address_one_is_waited_for() {
    assert!(check(&[]).is_none() && check(&["cp2"]).is_none());
    assert!(check(&["cp1"]).is_some() && check(&["cp2", "cp3"]).is_some());
}

/// Else both would have it. The adverts are packets of VRRP's protocol, as keepalived sends them.
#[test]
fn nobody_takes_the_address_from_one_that_does_not_speak_to_it() {
    let Some(network) = Namespace::create("vrrp") else { return };
    network.address(&VIP.to_string());
    let check = check(&["cp1"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    network.run(move || {
        let may_start = |runs: bool, adverts: Option<[u8; 2]>| {
            fs::write(path.join("systemctl"), format!("#!/bin/sh\nexit {}\n", if runs { 0 } else { 3 }))
                .unwrap();
            Command::new("chmod").args(["+x", "systemctl"]).current_dir(&path).status().unwrap();
            let paths = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
            let mut asked = Command::new("sh").args(["-c", &check]).env("PATH", paths).spawn().unwrap();
            for _ in 0..100 {
                if let Some(status) = asked.try_wait().unwrap() {
                    return status.success();
                }
                if let Some([version_and_type, router]) = adverts {
                    let mut sender = Command::new("socat");
                    sender.args(["-u", "-", "IP4-SENDTO:127.0.0.1:112"]).stdin(Stdio::piped());
                    let mut sender = sender.spawn().unwrap();
                    let packet = [version_and_type, router, 200, 1, 0, 50, 0, 0, 10, 7, 0, 100];
                    sender.stdin.take().unwrap().write_all(&packet).unwrap();
                    sender.wait().unwrap();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            asked.kill().unwrap();
            panic!("it does not end");
        };
        assert!(may_start(false, None), "nobody has the address");
        let holder = TcpListener::bind((VIP, PORT)).unwrap();
        assert!(!may_start(false, None), "nothing is heard");
        assert!(!may_start(false, Some([0x31, 78])), "another router");
        assert!(!may_start(false, Some([0x21, 77])), "another version");
        assert!(may_start(false, Some([0x31, 77])));
        assert!(may_start(true, None), "its keeper runs");
        drop(holder);
        assert!(may_start(false, Some([0x31, 78])));
    });
}
