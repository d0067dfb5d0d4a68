//! What is started anew for new certificates, in the shells that hosts have, with a containerd of files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use hoist::task::Task;

use super::etcd::stacked_renewal;

/// `$root/runs/NAME` holds the container of that name; one that is ended comes back as another one.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "ctr",
        r#"all="$*"
case $all in
*'containers list'*) name=${all##*container.name\"==} && cat $root/runs/${name%%,*} ;;
*'tasks list'*) for id in $(cat $root/runs/*); do echo "$id 77 RUNNING"; done ;;
*'tasks kill'*)
	for id; do :; done
	echo "${id%-*}" >> $root/ended; echo "${id%-*}-new" > "$root/runs/${id%-*}" ;;
esac
"#,
    ),
    ("kubeadm", "echo \"$*\" >> $root/renewed\n"),
    ("kubectl", ":\n"),
];

#[test]
fn etcd_runs_on_while_a_control_plane_gets_new_certificates() {
    let roles = stacked_renewal();
    let run = roles.iter().flat_map(|role| &role.steps).find_map(|step| match &step.task {
        Task::Command(command) if step.name == "the certificates are new" => Some(&command.run),
        _ => None,
    });
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["bin", "runs"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        for part in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            fs::write(root.join("runs").join(part), format!("{part}-old\n")).unwrap();
        }
        for (name, text) in PROGRAMS {
            let path = root.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", root.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}/bin:/usr/bin:/bin", root.display());
        let output = Command::new(shell).args(["-c", run.unwrap()]).env("PATH", path).output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_to_string(root.join("renewed")).unwrap(), "certs renew all\n");
        assert_eq!(
            fs::read_to_string(root.join("ended")).unwrap(),
            "kube-apiserver\nkube-controller-manager\nkube-scheduler\n",
            "{shell}"
        );
    }
}
