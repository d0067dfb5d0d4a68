//! What makes room for a host that joins, in the shells that hosts have: what is dead goes, what lives elsewhere stays.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hoist::{engine::Library, task::Task};

use super::{
    bed::compiled,
    etcd::{ETCD, joining},
};

/// A cluster of files: `nodes/NAME` holds a node's address, `leases/NAME` when it was renewed, `members` etcd's list, and
/// `answers/ADDRESS` is there where a member of etcd answers. Whatever is changed is written to `calls`.
const KUBECTL: &str = r#"
case "$*" in
*/v3/cluster/member/list*) cat $root/members ;;
*/v3/cluster/member/remove*) echo "remove $(cat)" >>$root/calls ;;
*--raw\ /version* | *--raw\ /health*)
	[ -e $root/answers/$(echo "$*" | sed 's|.*https://\([0-9.]*\):2379.*|\1|') ] && echo '{"health":"true"}' ;;
"get node "*) [ ! -e $root/nodes/$3 ] || echo "$3 $(cat $root/nodes/$3)" ;;
*"get lease "*)
	echo asked >>$root/leases/asked
	[ ! -e $root/leases/$5 ] || { cat $root/leases/$5 && date +%s.%N >$root/leases/$5; } ;;
*delete*) echo "$*" | cut -d ' ' -f 1-6 >>$root/calls ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#;

/// The same members for etcd's own tool.
const ETCDCTL: &str = r#"
case "$*" in
*"member list") cat $root/list ;;
*"endpoint status") [ -e $root/answers/$(echo "$*" | sed 's|.*--endpoints https://\([0-9.]*\):2379.*|\1|') ] ;;
*) echo "$*" | sed 's|.*:2379 ||' >>$root/calls; echo 'ETCD_INITIAL_CLUSTER="x"' ;;
esac
"#;

struct Bed {
    root: tempfile::TempDir,
    shell: &'static str,
}

/// A living node `w1` and members `cp1` to `cp3` of etcd, each at the address of its number; asked by a control plane.
fn each_shell(then: impl Fn(&Bed)) {
    let shells = ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists());
    for shell in shells {
        let bed = Bed { root: tempfile::tempdir().unwrap(), shell };
        for folder in ["bin", "nodes", "leases", "answers", "etc/manifests", "etc/pki/etcd"] {
            fs::create_dir_all(bed.path(folder)).unwrap();
        }
        bed.write("etc/manifests/etcd.yaml", "");
        let members: Vec<String> = (1..=3)
            .map(|index| {
                bed.write(&format!("nodes/cp{index}"), &format!("10.0.0.{index}"));
                bed.write(&format!("answers/10.0.0.{index}"), "");
                format!(
                    r#"{{"ID":"{index}","name":"cp{index}","peerURLs":["https://10.0.0.{index}:2380"],"clientURLs":["https://10.0.0.{index}:2379"]}}"#
                )
            })
            .collect();
        bed.write("members", &format!(r#"{{"members":[{}]}}"#, members.join(",")));
        bed.write("nodes/w1", "10.0.0.9");
        bed.write("leases/w1", "some time");
        for (name, text) in [
            ("kubectl", KUBECTL),
            ("etcdctl", ETCDCTL),
            ("sleep", ":"),
            ("hoist-etcd-snapshot", ":"),
            ("systemctl", ":"),
            ("sync", ":"),
        ] {
            bed.write(
                &format!("bin/{name}"),
                &format!("#!/bin/sh\nroot={}\n{text}\n", bed.root.path().display()),
            );
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bed.path("bin").join(name), mode).unwrap();
        }
        then(&bed);
    }
}

impl Bed {
    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn run(&self, text: &str) -> Output {
        let root = self.root.path().display();
        let places = ["/etc/kubernetes", "/var/lib", "/run/"].map(|path| (path, format!("{root}/etc")));
        let text =
            places.iter().fold(text.to_string(), |text, (from, to)| text.replace(from, &format!("{to}/")));
        let mut command = Command::new(self.shell);
        command.arg0("sh").args(["-c", &text]).env("PATH", format!("{root}/bin:/usr/bin:/bin"));
        command.output().unwrap()
    }

    /// Asks for the place of a host.
    fn place(&self, name: &str, address: &str) -> Output {
        self.ask("place", &format!("HOIST_ASKER_NAME={name}\nHOIST_ASKER_ADDRESS={address}\n"))
    }

    fn ask(&self, value: &str, before: &str) -> Output {
        let run = &Library::default().role("control-plane").unwrap().provides[value].run;
        self.run(&format!("{before}{run}"))
    }

    /// What was changed since the last time.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        fs::remove_file(self.path("calls")).ok();
        text.lines().map(str::to_owned).collect()
    }

    fn waited(&self) -> bool {
        self.path("leases/asked").exists()
    }
}

#[track_caller]
fn made(output: &Output) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), "made=yes\n", "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for words in words {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

const NODE_W1: [&str; 2] =
    ["delete node w1 --ignore-not-found --wait=false", "-n kube-system delete pods -l tier=control-plane"];

#[test]
fn what_is_left_of_the_host_itself_goes_at_once() {
    each_shell(|bed| {
        // Its kubelet may still run: a join that was killed is undone afterwards.
        made(&bed.place("w1", "10.0.0.9"));
        assert_eq!(bed.calls(), NODE_W1);
        made(&bed.place("w2", "10.0.0.10"));
        assert_eq!(bed.calls(), NODE_W1[1..], "there is no node, but pods may be left of one");
        assert!(!bed.waited());
        bed.remove("answers/10.0.0.3");
        made(&bed.place("cp3", "10.0.0.3"));
        assert_eq!(bed.calls()[0], r#"remove {"ID":"3"}"#);
    });
}

#[test]
fn a_machine_that_is_dead_makes_room_for_one_at_another_address() {
    each_shell(|bed| {
        bed.remove("leases/w1");
        made(&bed.place("w1", "10.0.0.50"));
        assert_eq!(bed.calls(), NODE_W1);
        assert!(bed.waited());
        bed.remove("answers/10.0.0.3");
        made(&bed.place("cp3", "10.0.0.50"));
        assert_eq!(bed.calls()[0], r#"remove {"ID":"3"}"#);
    });
}

#[test]
fn a_machine_that_lives_elsewhere_under_the_same_name_stays() {
    each_shell(|bed| {
        let output = bed.place("w1", "10.0.0.50");
        refused(
            &output,
            &["the kubelet at 10.0.0.9 renews its lease", "10.0.0.50", "drain w1", "kubeadm reset"],
        );
        let output = bed.place("cp3", "10.0.0.50");
        refused(
            &output,
            &["its member of etcd answers at https://10.0.0.3:2379", "10.0.0.50", "kubeadm reset"],
        );
        // Its kubelet lives, although its etcd does not.
        bed.remove("answers/10.0.0.3");
        bed.write("leases/cp3", "some time");
        refused(&bed.place("cp3", "10.0.0.50"), &["the kubelet at 10.0.0.3 renews its lease"]);
        assert_eq!(bed.calls(), Vec::<String>::new());
    });
}

#[test]
fn without_a_majority_beside_it_an_old_member_stays() {
    each_shell(|bed| {
        bed.remove("answers/10.0.0.3");
        bed.remove("answers/10.0.0.2");
        refused(&bed.place("cp3", "10.0.0.3"), &["1 of 2 others answer"]);
        assert_eq!(bed.calls(), Vec::<String>::new());
    });
}

#[test]
fn etcd_gets_and_loses_no_member_without_a_snapshot() {
    each_shell(|bed| {
        bed.remove("answers/10.0.0.3");
        bed.write("bin/hoist-etcd-snapshot", "#!/bin/sh\necho 'no snapshot of etcd: why' >&2; exit 1\n");
        refused(&bed.ask("kept", ""), &["no snapshot of etcd: why\nno member is added to etcd without"]);
        refused(&bed.place("cp3", "10.0.0.3"), &["no snapshot of etcd: why\nno member is taken out of etcd"]);
        assert_eq!(bed.calls(), Vec::<String>::new());
        // Nobody loses one for a worker, and none is added where etcd has hosts of its own.
        made(&bed.place("w1", "10.0.0.9"));
        bed.remove("etc/manifests/etcd.yaml");
        let output = bed.ask("kept", "");
        assert!(output.status.success() && output.stdout == b"before=yes\n", "{output:?}");
    });
    let late = |host: &str| {
        let (_, roles) = compiled("stacked.yaml").into_iter().find(|(name, _)| name == host).unwrap();
        let steps = roles.into_iter().flat_map(|role| role.steps);
        steps.flat_map(|step| step.late).collect::<Vec<_>>().join(" ")
    };
    assert!(late("cp2").contains("kept"), "{}", late("cp2"));
    let worker = compiled("lab.yaml").into_iter().flat_map(|(_, roles)| roles).flat_map(|role| role.steps);
    assert!(
        worker
            .filter(|step| step.name.contains("a node of the cluster"))
            .all(|step| !step.late.contains("kept"))
    );
}

#[test]
fn a_member_of_etcd_on_hosts_of_its_own_stays_where_it_lives_elsewhere() {
    // The identity 3 is that of the host that joins, in whose inventory it has the address 10.77.0.23.
    let joins = |text: &str| {
        let roles = joining(text);
        let steps = roles.iter().flat_map(|role| &role.steps);
        let mut runs = steps.filter_map(|step| match &step.task {
            Task::Command(command) if command.run.contains("\netcd_join ") => Some(command.run.clone()),
            _ => None,
        });
        runs.next_back().unwrap()
    };
    for (new, refuses) in [("10.77.0.23", false), ("10.77.0.50", true)] {
        let run = joins(&ETCD.replace("10.77.0.23", new));
        each_shell(|bed| {
            fs::create_dir_all(bed.path("etc/etcd-external")).unwrap();
            let line = |id: u8| {
                format!(
                    "{id}, started, etcd{id}, https://10.77.0.2{id}:2380, https://10.77.0.2{id}:2379, false\n"
                )
            };
            bed.write("list", &[line(1), line(2), line(3)].concat());
            bed.write("answers/10.77.0.23", "");
            let output = bed.run(&run);
            if refuses {
                refused(&output, &["its member 3 lives elsewhere: https://10.77.0.23:2379", "10.77.0.50"]);
                assert_eq!(bed.calls(), Vec::<String>::new());
                bed.remove("answers/10.77.0.23");
            }
            let output = bed.run(&run);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(bed.calls()[0], "member remove 3");
        });
    }
}
