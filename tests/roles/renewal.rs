//! How certificates are renewed where all is well and where they have expired, in the shells that hosts have, with
//! programs that know files only.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hoist::{engine::RoleSteps, task::Task};

use super::{
    bed,
    etcd::{ETCD, compiled, stacked_renewal},
};

/// `$root/runs/NAME` holds the container of that name; one that is ended comes back as another one. etcd has a majority
/// while `$root/majority` is there, and the API server serves while `$root/serves` is; new certificates end that where
/// `$root/spoils` is.
const PROGRAMS: [(&str, &str); 8] = [
    (
        "ctr",
        r#"all="$*"
case $all in
*'containers list'*) name=${all##*container.name\"==} && cat $root/runs/${name%%,*} ;;
*'tasks list'*) for id in $(cat $root/runs/*); do echo "$id 77 RUNNING"; done ;;
*'tasks kill'*)
	for id; do :; done
	echo "${id%-*}" >> $root/calls; echo "${id%-*}-new" > "$root/runs/${id%-*}" ;;
esac
"#,
    ),
    (
        "kubeadm",
        r#"case $* in
'certs renew all' | 'certs renew all --config /etc/kubernetes/kubeadm.yaml')
	echo "renewed${4:+ offline}" >> $root/calls
	[ ! -e $root/spoils ] || rm -f $root/serves ;;
'init phase kubeconfig kubelet --config /etc/kubernetes/kubeadm.yaml --kubeconfig-dir '*)
	for folder; do :; done
	made=$(cat $root/makes 2>/dev/null || echo good)
	printf 'users:\n- user:\n    client-certificate-data: %s\n    client-key-data: %s\n' \
		"$(echo "$made" | base64)" "$(echo KEY | base64)" > "$folder/kubelet.conf" ;;
*) exit 1 ;;
esac
"#,
    ),
    ("kubectl", "[ -e $root/serves ]\n"),
    ("etcdctl", "[ -e $root/majority ]\n"),
    ("hoist-etcd-sign", "echo \"signed $2\" >> $root/calls; [ ! -e $root/spoils ] || rm -f $root/majority\n"),
    ("systemctl", "echo \"$*\" >> $root/calls\n"),
    // What has expired says so.
    ("openssl", "for file; do :; done; [ -e \"$file\" ] && ! grep -q expired \"$file\"\n"),
    ("sleep", ":\n"),
];

struct Bed {
    root: tempfile::TempDir,
    shell: &'static str,
}

impl Bed {
    /// A bed for each shell that this machine has, with these files.
    fn each(files: &[&str]) -> Vec<Bed> {
        let shells = ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists());
        shells.map(|shell| Bed::new(shell, files)).collect()
    }

    fn new(shell: &'static str, files: &[&str]) -> Bed {
        let bed = Bed { root: tempfile::tempdir().unwrap(), shell };
        for name in ["bin", "runs", "pki", "run"] {
            fs::create_dir(bed.path(name)).unwrap();
        }
        for part in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            fs::write(bed.path("runs").join(part), format!("{part}-old\n")).unwrap();
        }
        for name in files {
            fs::write(bed.path(name), "").unwrap();
        }
        for (name, text) in PROGRAMS {
            let path = bed.path("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", bed.root.path().display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&self, text: &str) -> Output {
        let root = self.root.path().display();
        let text = text
            .replace("/var/lib/kubelet/pki", &format!("{root}/pki"))
            .replace("-p /run", &format!("-p {root}/run"));
        let path = format!("{root}/bin:/usr/bin:/bin");
        Command::new(self.shell).args(["-c", &text]).env("PATH", path).output().unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default().trim_end().replace('\n', ", ")
    }
}

/// What a step does, and its guard.
fn step(roles: &[RoleSteps], name: &str) -> (String, String) {
    let found = roles.iter().flat_map(|role| &role.steps).find_map(|step| match &step.task {
        Task::Command(command) if step.name == name => {
            Some((command.run.clone(), command.unless.clone().unwrap_or_default()))
        }
        _ => None,
    });
    found.unwrap()
}

fn succeeds(output: &Output) -> bool {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

#[test]
fn etcd_runs_on_while_a_control_plane_gets_new_certificates() {
    let (run, _) = step(&stacked_renewal(), "the certificates are new");
    for bed in Bed::each(&["serves"]) {
        assert!(succeeds(&bed.run(&run)), "{}", bed.shell);
        assert_eq!(bed.calls(), "renewed, kube-apiserver, kube-controller-manager, kube-scheduler");
    }
}

#[test]
fn an_api_server_that_new_certificates_broke_ends_the_turn() {
    let (run, _) = step(&stacked_renewal(), "the certificates are new");
    for bed in Bed::each(&["serves", "spoils"]) {
        let output = bed.run(&run);
        assert_eq!(output.status.code(), Some(1), "{}", bed.shell);
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not ready"));
    }
}

#[test]
fn where_no_api_server_served_before_the_next_control_plane_has_its_turn() {
    let (run, _) = step(&stacked_renewal(), "the certificates are new");
    for bed in Bed::each(&[]) {
        assert!(succeeds(&bed.run(&run)), "{}", bed.shell);
        assert_eq!(
            bed.calls(),
            "renewed offline, kube-apiserver, kube-controller-manager, kube-scheduler, restart kubelet.service"
        );
    }
    // Containers that wait for their next attempt are none that run.
    for bed in Bed::each(&[]) {
        for part in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            fs::write(bed.path("runs").join(part), "").unwrap();
        }
        assert!(succeeds(&bed.run(&run)), "{}", bed.shell);
        assert_eq!(bed.calls(), "renewed offline, restart kubelet.service");
    }
}

#[test]
fn a_member_of_etcd_without_a_majority_gets_its_certificate_and_the_next_one_has_its_turn() {
    let roles = compiled("etcd3", ETCD, true, Some("renewal"));
    let (run, _) = step(&roles, "the certificate of this member of etcd is new");
    for (files, goes_on) in
        [(&[][..], true), (&["majority"], true), (&["majority", "spoils"], false), (&["spoils"], true)]
    {
        for bed in Bed::each(files) {
            assert_eq!(succeeds(&bed.run(&run)), goes_on, "{} {files:?}", bed.shell);
            assert_eq!(bed.calls(), "signed /CN=etcd3", "{} {files:?}", bed.shell);
        }
    }
}

#[test]
fn a_kubelet_whose_certificate_has_expired_gets_another_one() {
    let (run, unless) = step(&stacked_renewal(), "the kubelet's certificate has not expired");
    for bed in Bed::each(&[]) {
        assert!(succeeds(&bed.run(&unless)), "none is there to expire");
        let current = bed.path("pki/kubelet-client-current.pem");
        let old = bed.path("pki/kubelet-client-2025-01-02-03-04-05.pem");
        fs::write(&old, "expired\n").unwrap();
        std::os::unix::fs::symlink(&old, &current).unwrap();
        assert!(!succeeds(&bed.run(&unless)));

        // What does not hold takes nobody's place.
        fs::write(bed.path("makes"), "expired\n").unwrap();
        let output = bed.run(&run);
        assert_eq!(output.status.code(), Some(1), "{}", bed.shell);
        assert!(String::from_utf8_lossy(&output.stderr).contains("no certificate for the kubelet"));
        assert_eq!((fs::read_link(&current).unwrap(), bed.calls()), (old.clone(), String::new()));

        fs::remove_file(bed.path("makes")).unwrap();
        assert!(succeeds(&bed.run(&run)), "{}", bed.shell);
        assert_eq!(bed.calls(), "restart kubelet.service");
        assert_eq!(fs::read_to_string(&current).unwrap(), "good\nKEY\n");
        let new = fs::read_link(&current).unwrap();
        assert!(new != old && new.is_absolute(), "{new:?}");
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(bed.path("run")).unwrap().count(), 0, "no key is left elsewhere");
        assert!(succeeds(&bed.run(&unless)));
    }
}

#[test]
fn a_host_whose_kubelets_certificate_has_expired_is_refused_and_told_the_way_back() {
    let hosts = bed::compiled("etcd.yaml");
    for (host, fix) in
        [("cp1", "run `hoist certificates renew`"), ("w1", "run `kubeadm reset --force` there")]
    {
        let (_, roles) = hosts.iter().find(|(name, _)| name == host).unwrap();
        let steps: Vec<_> = roles.iter().flat_map(|role| &role.steps).collect();
        let at =
            steps.iter().position(|step| step.name == "the kubelet's certificate has not expired").unwrap();
        assert_eq!(steps[at + 1].name, "the kubelet runs", "nothing waits for it before");
        let Task::Require(require) = &steps[at].task else { panic!("{:?}", steps[at].task) };
        assert!(require.fix.starts_with(fix), "{host}: {}", require.fix);
        for bed in Bed::each(&[]) {
            assert!(succeeds(&bed.run(&require.check)), "{host}: none is there to expire");
            let current = bed.path("pki/kubelet-client-current.pem");
            for (holds, expected) in [("good\n", true), ("expired\n", false)] {
                fs::write(&current, holds).unwrap();
                assert_eq!(succeeds(&bed.run(&require.check)), expected, "{host} {}", bed.shell);
            }
        }
    }
}
