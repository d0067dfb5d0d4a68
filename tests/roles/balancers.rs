//! Load balancers before the API servers.

use hoist::engine::{Library, RoleSteps, Templates};
use serde_json::json;

use super::bed::{compiled, written};

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
