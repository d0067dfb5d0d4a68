//! That no secret of the cluster is where it does not belong.

use std::{fs, io::Write, path::Path, process::Stdio};

use crate::stage::Stage;

/// What would let somebody into the cluster: join tokens, the administrator's key, the keys of the authorities.
fn secrets(stage: &Stage) -> Vec<String> {
    let script = "kubeadm token list | awk 'NR > 1 { split($1, part, \".\"); print part[2] }'; \
        awk '$1 == \"client-key-data:\" { print $2 }' /etc/kubernetes/admin.conf; \
        for key in ca sa etcd/ca front-proxy-ca; do sed -n 2p /etc/kubernetes/pki/$key.key; done";
    let secrets: Vec<String> = stage.on("cp1", script).lines().map(str::to_owned).collect();
    assert!(
        secrets.len() >= 6 && secrets.iter().all(|secret| secret.len() >= 16),
        "{} secrets",
        secrets.len()
    );
    secrets
}

/// The contents of all files of a folder.
fn contents(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&contents(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
    all
}

pub fn kept(stage: &Stage) {
    let secrets = secrets(stage);
    let found = |text: &str| secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
    // The search finds what is there: the administrator's key is in the kubeconfig that was asked for.
    assert_eq!(found(&fs::read_to_string(stage.path("kubeconfig")).unwrap()), 1);

    let journals = contents(&stage.path("state"));
    assert!(
        journals.contains("the host is a node of the cluster"),
        "the journals are there: {}",
        stage.path("state").display()
    );
    assert_eq!(found(&journals), 0, "in a journal");
    let heard = stage.heard();
    assert!(heard.contains("step-started") && heard.contains("Done in"), "everything was listened to");
    assert_eq!(found(&heard), 0, "printed");

    for node in ["cp1", "w1", "w2"] {
        // Reads the secrets from its input: an argument would be seen by everybody on the node.
        let script = "cat > /run/secrets; { journalctl -q --no-pager; cat /run/hoist.lock; \
            find /var/log /var/lib/hoist /tmp -type f -exec cat {} +; } 2>/dev/null | grep -acF -f /run/secrets; \
            rm /run/secrets";
        let mut command = stage.command(&["lab", "ssh", node, "--", script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all((secrets.join("\n") + "\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "in a log of {node}");
    }
}
