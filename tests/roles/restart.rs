//! How a member of etcd is restarted, in the shells that hosts have, with an etcd that only writes down what it is told.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use hoist::task::Task;

use super::etcd::members;

/// etcd on three hosts, of which this one is the third. `$root/members` holds who is a member, `$root/well/ID` is there of
/// each that is well, `$root/active` where the own one runs. A configuration that says `bad` does not come up.
const PROGRAMS: [(&str, &str); 6] = [
    (
        "etcdctl",
        r#"while [ "$1" != --endpoints ]; do shift; done
endpoint=$2; shift 2
majority() { [ $(($(ls $root/well | wc -l) * 2)) -gt $(grep -c ', false$' $root/members) ]; }
case $1 in
# What begins with a dash is its own, but for what stands behind `--`.
lock)
	[ ! -e $root/full ] || { echo "Error: etcdserver: mvcc: database space exceeded" >&2; exit 1; }
	echo lock >> $root/calls; shift 2
	[ "$1" = -- ] || { echo "Error: unknown shorthand flag: 'c' in -c" >&2; exit 1; }
	shift; exec "$@" ;;
member) cat $root/members ;;
alarm) [ ! -e $root/full ] || echo 'memberID:1 alarm:NOSPACE' ;;
endpoint) [ ! -e $root/full ] || exit 1 ;;
get)
	majority || exit 1
	case $endpoint in
	*,*) ;;
	*127.0.0.1*) [ -e $root/well/3 ] ;;
	*) id=${endpoint##*10.77.0.2} && [ -e $root/well/${id%:2379} ] ;;
	esac ;;
esac
"#,
    ),
    (
        "systemctl",
        r#"case $* in
*is-active*) [ -e $root/active ] ;;
show*) echo 4242 ;;
restart*)
	echo "$*" >> $root/calls
	touch $root/active $root/well/3
	! grep -q bad $root/etc/etcd.conf || { rm $root/well/3; exit 1; } ;;
esac
"#,
    ),
    ("journalctl", "echo 'etcd: no such setting'\n"),
    ("timeout", "shift; exec \"$@\"\n"),
    ("sleep", ":\n"),
    ("date", "now=$(cat $root/now 2>/dev/null); echo $((${now:-0} + 10)) | tee $root/now\n"),
];

struct Bed(tempfile::TempDir);

impl Bed {
    /// With so many voters, of which these are well, and whether the own one runs.
    fn new(voters: usize, well: &[usize], active: bool) -> Bed {
        let bed = Bed(tempfile::tempdir().unwrap());
        for folder in ["bin", "etc", "well", "proc/4242"] {
            fs::create_dir_all(bed.path(folder)).unwrap();
        }
        let line = |id: usize| {
            format!(
                "{id}a, started, etcd{id}, https://10.77.0.2{id}:2380, https://10.77.0.2{id}:2379, false\n"
            )
        };
        let learner = "9a, unstarted, , https://10.77.0.29:2380, , true\n".to_owned();
        // The own one is among them however many there are.
        let ids = [3, 1, 2, 4, 5].into_iter().take(voters);
        fs::write(bed.path("members"), ids.map(line).chain([learner]).collect::<String>()).unwrap();
        for id in well {
            fs::write(bed.path(&format!("well/{id}")), "").unwrap();
        }
        if active {
            fs::write(bed.path("active"), "").unwrap();
            fs::write(bed.path("well/3"), "").unwrap();
        }
        fs::write(bed.path("etc/etcd.conf"), "ETCD_NAME=etcd3\n").unwrap();
        let environ = "PATH=/bin\0ETCD_NAME=etcd3\0ETCD_HEARTBEAT_INTERVAL=100\0ETCD_INITIAL_CLUSTER=a\0";
        fs::write(bed.path("proc/4242/environ"), environ).unwrap();
        for (name, text) in PROGRAMS {
            let path = bed.path("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", bed.0.path().display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bed
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, shell: &str, text: &str) -> Output {
        let root = self.0.path().display();
        let text =
            text.replace("/etc/etcd/", &format!("{root}/etc/")).replace("/proc/", &format!("{root}/proc/"));
        let path = format!("{root}/bin:/usr/bin:/bin");
        Command::new(shell).args(["-c", &text]).env("PATH", path).output().unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls"))
            .unwrap_or_default()
            .replace(" etcd.service", "")
            .replace('\n', ", ")
    }
}

fn each_shell(then: impl Fn(&str, &str)) {
    let steps = members();
    let etcd = steps.iter().find(|role| role.role == "etcd").unwrap();
    let text = etcd.steps.iter().find_map(|step| match &step.task {
        Task::Command(command) if step.name == "etcd runs as it is configured" => Some(&command.run),
        _ => None,
    });
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        then(shell, text.unwrap());
    }
}

#[test]
fn a_member_that_runs_is_not_restarted_where_that_costs_the_majority() {
    each_shell(|shell, text| {
        for voters in 1..=5 {
            for others in 0..voters {
                let well: Vec<usize> = [1, 2, 4, 5].into_iter().take(others).collect();
                for active in [true, false] {
                    let bed = Bed::new(voters, &well, active);
                    let output = bed.run(shell, text);
                    let said = String::from_utf8_lossy(&output.stderr);
                    let case =
                        format!("{shell}: {voters} voters, {others} others well, active: {active}: {said}");
                    let majority = (others + usize::from(active)) * 2 > voters;
                    let suffice = others + 1 == voters || others * 2 > voters;
                    let expected = match (active, majority) {
                        (false, _) | (true, false) => "restart --no-block, ",
                        (true, true) if suffice => "restart, ",
                        (true, true) => "",
                    };
                    assert_eq!(bed.calls().trim_start_matches("lock, "), expected, "{case}");
                    assert_eq!(output.status.success(), !expected.is_empty(), "{case}");
                    if expected.is_empty() {
                        assert!(
                            said.contains("away; restarting etcd here would cost the majority"),
                            "{case}"
                        );
                        assert!(said.contains(&format!("etcd{}", if voters < 4 { 2 } else { 4 })), "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_full_etcd_gives_no_lock_and_gets_its_new_quota_all_the_same() {
    each_shell(|shell, text| {
        let bed = Bed::new(3, &[1, 2], true);
        fs::write(bed.path("full"), "").unwrap();
        let output = bed.run(shell, text);
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(bed.calls(), "restart, ", "{shell}");
        // Nor is it taken for one without a majority.
        let checks: Vec<_> = members().into_iter().flat_map(|role| role.steps).collect();
        let checks = checks.iter().filter_map(|step| match &step.task {
            Task::Wait(wait) => Some(&wait.check),
            _ => None,
        });
        assert_eq!(checks.map(|check| assert!(bed.run(shell, check).status.success(), "{check}")).count(), 1);
    });
}

#[test]
fn settings_that_etcd_does_not_get_well_with_are_taken_back() {
    each_shell(|shell, text| {
        let bed = Bed::new(3, &[1, 2], true);
        fs::write(bed.path("etc/etcd.conf"), "ETCD_HEARTBEAT_INTERVAL=bad\n").unwrap();
        let output = bed.run(shell, text);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(bed.calls(), "lock, restart, restart, ", "under one lock");
        assert!(said.contains("etcd: no such setting\nit has its old settings again"), "{said}");
        assert_eq!(
            fs::read_to_string(bed.path("etc/etcd.conf")).unwrap(),
            "# What etcd ran with before settings that it did not get well with.\n\
             ETCD_NAME=etcd3\nETCD_HEARTBEAT_INTERVAL=100\n"
        );
    });
}
