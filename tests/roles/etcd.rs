//! A member of etcd that joins others, and what an inventory says of etcd.

use std::{fs, path::Path, process::Command};

use hoist::{
    artifact::{File, Index},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};

use super::bed::{self, index, written};

/// An inventory with three members of etcd on hosts of their own.
pub const ETCD: &str = include_str!("../fixtures/cluster/etcd.yaml");

/// The statements of `etcd3`, where the two others are members already that know it from before, with etcd's release
/// among the artifacts.
pub fn joining(inventory: &str) -> Vec<RoleSteps> {
    compiled("etcd3", inventory, false, None)
}

/// The same where it is one of them.
pub fn members() -> Vec<RoleSteps> {
    compiled("etcd3", ETCD, true, None)
}

/// What renews the certificates of a control plane that etcd is on.
pub fn stacked_renewal() -> Vec<RoleSteps> {
    let stacked = ETCD.replace("  etcd: external\n", "").replace("roles: [etcd]", "roles: [worker]");
    compiled("cp1", &stacked, true, Some("renewal"))
}

/// A host's statements where etcd1 and etcd2 are members, and etcd3 where it is said to be.
pub fn compiled(host: &str, inventory: &str, member: bool, only: Option<&str>) -> Vec<RoleSteps> {
    let inventory = inventory::parse("etcd.yaml", inventory).unwrap().inventory;
    let node = include_str!("../fixtures/facts/debian-nspawn.txt");
    let answer = |id: u8| {
        let list = "etcd.member=1, started, etcd1, https://10.77.0.21:2380, https://10.77.0.21:2379, false\n\
                    etcd.member=2, started, etcd2, https://10.77.0.22:2380, https://10.77.0.22:2379, false\n\
                    etcd.member=3, started, etcd3, https://10.77.0.23:2380, https://10.77.0.23:2379, false\n";
        let status = format!("etcd.status=https://127.0.0.1:2379, {id}, 3.4.23, 20 kB\n");
        format!("{node}\netcd.ca={}\netcd.data=yes\netcd.quorum=yes\n{status}{list}", "ca".repeat(32))
    };
    let third = if member { answer(3) } else { node.to_string() };
    let facts = [("etcd1", answer(1)), ("etcd2", answer(2)), ("etcd3", third), ("cp1", node.to_string())];
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
    let only = only.map(|role| vec![role.to_string()]);
    let targets = targets(&inventory, &facts, Some(&index), only.as_deref());
    let target = targets.into_iter().find(|target| target.name == host).unwrap();
    compile(&Library::default(), &Templates::new(Library::default()), &target).unwrap()
}

#[test]
fn what_a_host_gets_that_lost_its_disk_and_joins_etcd() {
    let text = written(&joining(ETCD));
    let (_, etcd) = text.split_once("=== etcd-ca").unwrap();
    insta::assert_snapshot!("etcd-joins", etcd);
}

#[test]
fn etcds_authority_has_each_extension_once_whatever_the_hosts_openssl_adds() {
    let steps = bed::compiled("etcd.yaml").remove(0).1.into_iter().flat_map(|role| role.steps);
    let run = steps.into_iter().find_map(|step| match step.task {
        Task::Command(command) if step.name == "etcd's authority is made" => Some(command.run),
        _ => None,
    });
    let run = run.unwrap();
    // OpenSSL 1.1.1 adds what it says to what a configuration says (openssl/openssl, number 12940).
    assert!(!run.contains("-addext"), "{run}");
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        let root = tempfile::tempdir().unwrap();
        let configuration = root.path().join("openssl.cnf");
        let usual = "[req]\ndistinguished_name = name\nx509_extensions = v3_ca\n[name]\n\
                     [v3_ca]\nbasicConstraints = critical,CA:TRUE\nnsComment = the host's\n";
        fs::write(&configuration, usual).unwrap();
        let run = run.replace("/etc/etcd/pki", root.path().to_str().unwrap());
        let output =
            Command::new(shell).args(["-c", &run]).env("OPENSSL_CONF", &configuration).output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(root.path().join("ca.key").exists());
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(root.path().join("ca.crt"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, extensions) = text.split_once("X509v3 extensions:").unwrap();
        assert!(head.replace(" = ", "=").contains("Subject: CN=etcd-ca\n"), "{text}");
        for extension in [
            "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
            "X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign\n",
            "X509v3 Subject Key Identifier: ",
        ] {
            assert_eq!(extensions.matches(extension).count(), 1, "{text}");
        }
        assert_eq!(extensions.matches("CA:TRUE").count(), 1, "{text}");
        assert!(!extensions.contains("Comment"), "{text}");
    }
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

#[test]
fn certificates_are_renewed_on_one_host_after_the_other() {
    let of = |roles: Vec<RoleSteps>| {
        let steps: Vec<_> = roles.into_iter().flat_map(|role| role.steps).collect();
        for step in &steps {
            // What ends API servers or kubelets has its turn with all else that does.
            let turn = match step.name.as_str() {
                "the certificates are new" => "control-plane",
                "the kubelet's certificate has not expired" => "kubelet",
                _ => "renewal",
            };
            match &step.task {
                Task::Command(command) => assert_eq!(command.one_at_a_time.as_deref(), Some(turn)),
                // Whoever waits in a turn would hold up those that it waits for.
                other => assert!(matches!(other, Task::Require(_) | Task::Wait(_)), "{other:?}"),
            }
        }
        steps.into_iter().map(|step| step.name).collect::<Vec<_>>().join("; ")
    };
    let renewed = |host: &str, inventory: &str| of(compiled(host, inventory, true, Some("renewal")));
    let member = "the certificate of this member of etcd is new; etcd answers";
    assert_eq!(renewed("etcd3", ETCD), member);
    let begin = "the host is a control plane";
    let end = "the kubelet's certificate has not expired; the certificates are new; the API server answers";
    let given = "the API server's certificate for etcd is new";
    assert_eq!(renewed("cp1", ETCD), format!("{begin}; {given}; {end}"));
    let both = ETCD.replace("23, roles: [etcd]", "23, roles: [etcd, control-plane]");
    let own = "the API server's certificate for this host's etcd is new";
    assert_eq!(renewed("etcd3", &both), format!("{begin}; {member}; {own}; {end}"));
    assert_eq!(of(stacked_renewal()), format!("{begin}; {end}"));
}
