//! More members of etcd in the inventory: API servers are led to them once they have a vote, and not before.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use hoist::task::Task;

use super::{
    bed::written,
    etcd::{ETCD, compiled},
};

/// Members of etcd that have a vote are the files of `$root/votes`.
const KUBECTL: &str = r#"#!/bin/sh
case "$*" in
*'--client-certificate /etc/kubernetes/etcd/client.pem '*'create --raw /v3/kv/range -f -') ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
[ "$(cat)" = '{"key":"aG9pc3Q="}' ] || exit 8
all="$*" && address=${all##*--server https://} && [ -e "$root/votes/${address%%:*}" ]
"#;

#[test]
fn an_api_server_is_led_to_members_of_etcd_that_have_a_vote() {
    let more = "  etcd4: {address: 10.77.0.24, roles: [etcd]}\n  etcd5: {address: 10.77.0.25, roles: [etcd]}\n  cp1:";
    let grown = ETCD.replace("  cp1:", more);
    let roles = compiled("cp1", &grown, true, None);
    assert!(written(&roles).contains("\"https://10.77.0.24:2379\", \"https://10.77.0.25:2379\""));
    let steps: Vec<_> = roles.iter().flat_map(|role| &role.steps).collect();
    let at = |name: &str| steps.iter().position(|step| step.name == name).unwrap();
    let waits = at("new members of etcd have a vote before the API server asks them");
    assert!(waits < at("the control plane runs with its settings"));
    let Task::Wait(wait) = &steps[waits].task else { panic!("{:?}", steps[waits].task) };

    let (old, all) = ([21, 22, 23], [21, 22, 23, 24, 25]);
    let lacks =
        |id: u8| format!("https://10.77.0.{id}:2379 does not answer as a member of etcd that has a vote\n");
    for (asked, vote, says) in [
        (Some(&old[..]), &all[..], String::new()),
        (Some(&old), &old, lacks(24) + &lacks(25)),
        (Some(&old), &[21, 22, 23, 24], lacks(25)),
        // One that is away and was asked before is no reason to wait.
        (Some(&old), &[21, 23, 24, 25], String::new()),
        (Some(&all), &old, String::new()),
        // No API server is led to anything.
        (None, &old, String::new()),
    ] {
        for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            for name in ["bin", "votes", "manifests"] {
                fs::create_dir(root.join(name)).unwrap();
            }
            fs::write(root.join("bin/kubectl"), KUBECTL).unwrap();
            fs::set_permissions(root.join("bin/kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
            for id in vote {
                fs::write(root.join(format!("votes/10.77.0.{id}")), "").unwrap();
            }
            if let Some(asked) = asked {
                let urls: Vec<_> = asked.iter().map(|id| format!("https://10.77.0.{id}:2379")).collect();
                let manifest = format!("    - --etcd-servers={}\n", urls.join(","));
                fs::write(root.join("manifests/kube-apiserver.yaml"), manifest).unwrap();
            }
            let manifests = format!("{}/manifests", root.display());
            let text = wait.check.replace("/etc/kubernetes/manifests", &manifests);
            let path = format!("{}/bin:/usr/bin:/bin", root.display());
            let mut command = Command::new(shell);
            let output = command.args(["-c", &text]).env("PATH", path).env("root", root).output().unwrap();
            let case = format!("{shell}: {asked:?} {vote:?}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), says, "{case}");
            assert_eq!(output.status.success(), says.is_empty(), "{case}");
        }
    }
}
