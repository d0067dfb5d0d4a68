//! A member of etcd that joins others, and what an inventory says of etcd.

use hoist::{
    artifact::{File, Index},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
};

use super::bed::{index, written};

/// An inventory with three members of etcd on hosts of their own.
pub const ETCD: &str = include_str!("../fixtures/cluster/etcd.yaml");

/// The statements of `etcd3`, where the two others are members already that know it from before, with etcd's release
/// among the artifacts.
pub fn joining(inventory: &str) -> Vec<RoleSteps> {
    let inventory = inventory::parse("etcd.yaml", inventory).unwrap().inventory;
    let node = include_str!("../fixtures/facts/debian-nspawn.txt");
    let member = |id: u8| {
        let list = "etcd.member=1, started, etcd1, https://10.77.0.21:2380, https://10.77.0.21:2379, false\n\
                    etcd.member=2, started, etcd2, https://10.77.0.22:2380, https://10.77.0.22:2379, false\n\
                    etcd.member=3, started, etcd3, https://10.77.0.23:2380, https://10.77.0.23:2379, false\n";
        let status = format!("etcd.status=https://127.0.0.1:2379, {id}, 3.4.23, 20 kB\n");
        format!("{node}\netcd.ca={}\netcd.data=yes\netcd.quorum=yes\n{status}{list}", "ca".repeat(32))
    };
    let facts = [("etcd1", member(1)), ("etcd2", member(2)), ("etcd3", node.to_string())];
    let facts: Observed =
        facts.into_iter().map(|(name, answer)| (name.to_string(), Facts::parse(&answer))).collect();
    let etcd = File {
        name: "etcd".into(),
        path: "/artifacts/etcd.tar.gz".into(),
        sha256: "ab".repeat(32),
        size: 1,
        version: "3.5.21".into(),
    };
    let index = Index { extras: vec![etcd], ..index() };
    let target = targets(&inventory, &facts, Some(&index), None).pop().unwrap();
    compile(&Library::default(), &Templates::new(Library::default()), &target).unwrap()
}

#[test]
fn what_a_host_gets_that_lost_its_disk_and_joins_etcd() {
    let text = written(&joining(ETCD));
    let (_, etcd) = text.split_once("=== etcd-ca").unwrap();
    insta::assert_snapshot!("etcd-joins", etcd);
}

#[test]
fn what_an_inventory_says_of_etcd_counts() {
    let inventory = ETCD.replace(
        "vars:\n",
        "vars:\n  etcd: {heartbeat_ms: 300, election_ms: 3000, quota_bytes: 4294967296, snapshot_count: 5000, \
         compaction_retention: 1h, nice: 0, oom_score_adjust: 0}\n",
    );
    let text = written(&joining(&inventory));
    for line in [
        "ETCD_HEARTBEAT_INTERVAL=300\n",
        "ETCD_ELECTION_TIMEOUT=3000\n",
        "ETCD_QUOTA_BACKEND_BYTES=4294967296\n",
        "ETCD_SNAPSHOT_COUNT=5000\n",
        "ETCD_AUTO_COMPACTION_RETENTION=1h\n",
        "Nice=0\n",
        "OOMScoreAdjust=0\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
    // Members at several sites do not take each other for dead at once.
    let apart = ETCD
        .replace("hosts:\n", "sites: [north, south, witness]\n\nhosts:\n")
        .replace("21, roles: [etcd]", "21, roles: [etcd], site: north")
        .replace("22, roles: [etcd]", "22, roles: [etcd], site: south")
        .replace("23, roles: [etcd]", "23, roles: [etcd], site: witness")
        .replace("[control-plane]", "[control-plane], site: north")
        .replace("[worker]", "[worker], site: south");
    let text = written(&joining(&apart));
    assert!(text.contains("ETCD_HEARTBEAT_INTERVAL=250\nETCD_ELECTION_TIMEOUT=2500\n"));
}
