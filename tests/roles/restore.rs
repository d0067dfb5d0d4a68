//! What gives a member of etcd the data of a snapshot, in the shells that hosts have, with tools that only write down what
//! they are told.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hoist::task::Task;

use super::{
    bed::{compiled, laid_out},
    etcd::members,
};

const PROGRAM: &str = "/usr/local/sbin/hoist-etcd-restore";

/// etcd's tool, which knows `$root/flags`. Restored data are what `$root/asked` says.
const TOOL: &str = r#"
case "$*" in
version) ;;
*--help) cat $root/flags ;;
*)
	[ ! -e $root/fails ] || exit 1
	while [ "$1" != snapshot ]; do shift; done
	echo "${0##*/} $*" > $root/asked
	while [ "$1" != --data-dir ]; do shift; done
	mkdir -p $2/member && cp $root/asked $2/member/db ;;
esac
"#;

/// etcd's unit is as `$root/unit` says, its container runs where `$root/runs` is there.
const PROGRAMS: [(&str, &str); 4] = [
    ("systemctl", "cat $root/unit\n"),
    ("chown", "echo \"$*\" >> $root/given\n"),
    ("sync", ":\n"),
    (
        "ctr",
        r#"case $* in
*'containers list'*) echo c1 ;;
*'tasks list'*) [ ! -e $root/runs ] || echo 'c1 77 RUNNING' ;;
*' run --rm '*) while [ "${1#hoist-restore-}" = "$1" ]; do shift; done; shift; exec "$@" ;;
esac
"#,
    ),
];

struct Bed {
    root: tempfile::TempDir,
    shell: &'static str,
    text: String,
    external: bool,
}

impl Bed {
    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.path(if self.external { "etcd-external" } else { "etcd" })
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", self.root.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self) -> Output {
        let root = self.root.path().display();
        let places = ["/var/lib/", "/etc/kubernetes/", "/run/"];
        let text = places.iter().fold(self.text.clone(), |text, at| text.replace(at, &format!("{root}/")));
        let mut command = Command::new(self.shell);
        command.args(["-c", &text, "sh"]).arg(self.path("a snapshot"));
        command.env("PATH", format!("{root}/bin:/usr/bin:/bin")).output().unwrap()
    }

    #[track_caller]
    fn refuses(&self, why: &str) {
        let output = self.run();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{}: {said}", self.shell);
        assert_eq!(self.kept(), ["member"], "{said}");
        assert_eq!(fs::read_to_string(self.data().join("member/db")).unwrap(), "old\n");
    }

    /// What is in the folder of etcd's data, times left out.
    fn kept(&self) -> Vec<String> {
        let names = fs::read_dir(self.data()).unwrap();
        let mut names: Vec<_> = names.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.iter().map(|name| name.split("-2").next().unwrap().to_owned()).collect()
    }
}

/// In each shell, where etcd has hosts of its own and where it is on control planes.
fn each(then: impl Fn(&Bed)) {
    let stacked = compiled("single.yaml").remove(0).1;
    for (steps, external) in [(members(), true), (stacked, false)] {
        for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
            let bed =
                Bed { root: tempfile::tempdir().unwrap(), shell, text: laid_out(&steps, PROGRAM), external };
            for folder in ["bin", "manifests", "hoist"] {
                fs::create_dir(bed.path(folder)).unwrap();
            }
            fs::create_dir_all(bed.data().join("member")).unwrap();
            fs::write(bed.data().join("member/db"), "old\n").unwrap();
            for (path, text) in [("a snapshot", "s"), ("unit", "inactive\n"), ("flags", "")] {
                bed.write(path, text);
            }
            PROGRAMS.iter().chain(&[("etcdctl", TOOL)]).for_each(|(name, text)| bed.program(name, text));
            then(&bed);
        }
    }
}

#[test]
fn a_member_gets_the_data_of_a_snapshot_and_keeps_its_own_beside_them() {
    each(|bed| {
        let (seen, new) = match bed.external {
            true => (bed.path("a snapshot"), bed.path("etcd-external/.hoist-restored")),
            false => ("/snapshot".into(), bed.path("etcd/.hoist-restored")),
        };
        let whom = match bed.external {
            true => {
                "--name etcd3 --initial-cluster etcd1=https://10.77.0.21:2380,etcd2=https://10.77.0.22:2380,\
                 etcd3=https://10.77.0.23:2380 --initial-cluster-token lab-etcd \
                 --initial-advertise-peer-urls https://10.77.0.23:2380"
            }
            false => {
                "--name node1 --initial-cluster node1=https://192.168.18.201:2380 --initial-cluster-token single \
                 --initial-advertise-peer-urls https://192.168.18.201:2380"
            }
        };
        let asked = format!("snapshot restore {} --data-dir {} {whom}", seen.display(), new.display());
        bed.write("hoist/etcd-at-work", "joining\n");
        let output = bed.run();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {}", bed.shell, String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("its revisions go back"), "{said}");
        assert_eq!(bed.kept(), ["member", "member-before"]);
        let db = || fs::read_to_string(bed.data().join("member/db")).unwrap();
        assert_eq!(db(), format!("etcdctl {asked}\n"));
        // Only etcd on hosts of its own has a user, and a mark of hoist's.
        let given = fs::read_to_string(bed.path("given")).unwrap_or_default();
        let expected = if bed.external { format!("-R etcd:etcd {}\n", new.display()) } else { String::new() };
        assert_eq!(given, expected);
        assert_eq!(bed.path("hoist/etcd-at-work").exists(), !bed.external);

        // Of the same second, maybe.
        let old = fs::read_dir(bed.data()).unwrap().map(|one| one.unwrap().path());
        old.filter(|path| !path.ends_with("member")).for_each(|path| fs::remove_dir_all(path).unwrap());

        // The tool of later releases, and what makes all who watch look again.
        bed.program("etcdutl", TOOL);
        bed.write("flags", "--bump-revision uint\n");
        let output = bed.run();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("its revisions go back"), "{said}");
        assert_eq!(db(), format!("etcdutl {asked} --bump-revision 1000000000 --mark-compacted\n"));
    });
}

#[test]
fn a_member_that_runs_and_a_file_that_is_no_snapshot_change_nothing() {
    each(|bed| {
        bed.write("fails", "");
        bed.refuses("nothing was restored: etcdctl failed");
        bed.write("a snapshot", "");
        bed.refuses("wants a snapshot of etcd");
        bed.write("a snapshot", "s");
        fs::remove_file(bed.path("fails")).unwrap();
        if bed.external {
            for state in ["active\n", "activating\n"] {
                bed.write("unit", state);
                bed.refuses("etcd runs here");
            }
        } else {
            bed.write("runs", "");
            bed.refuses("etcd runs here");
            fs::remove_file(bed.path("runs")).unwrap();
            bed.write("manifests/etcd.yaml", "");
            bed.refuses("etcd runs here");
        }
    });
}

#[test]
fn the_tool_that_restores_comes_with_the_releases_that_have_it() {
    let roles = members();
    let steps = roles.iter().flat_map(|role| &role.steps);
    let mut unpack = steps.filter_map(|step| match &step.task {
        Task::Command(command) if step.name == "etcd is unpacked" => Some(command),
        _ => None,
    });
    let unpack = unpack.next_back().unwrap();
    for (release, programs) in [("3.4", "etcd etcdctl"), ("3.6", "etcd etcdctl etcdutl")] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let [own, bin, lib] = ["etcd-release", "bin", "lib/hoist"].map(|name| root.join(name));
        for path in [&own, &bin, &lib] {
            fs::create_dir_all(path).unwrap();
        }
        for program in programs.split(' ') {
            fs::write(own.join(program), release).unwrap();
        }
        let sh = |text: &str| {
            let text = text.replace("/usr/local", root.to_str().unwrap());
            Command::new("/bin/sh").args(["-c", &text]).output().unwrap().status.success()
        };
        let unless = unpack.unless.as_deref().unwrap();
        assert!(sh("tar -czf /usr/local/lib/hoist/etcd.tar.gz -C /usr/local etcd-release"));
        assert!(!sh(unless), "{release}");
        // What is unpacked is newer than the archive, by the clock of the file system.
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(sh(&unpack.run), "{release}");
        assert!(sh(unless), "{release}");
        let mut there: Vec<_> =
            fs::read_dir(&bin).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(there.join(" "), programs);
        for program in programs.split(' ') {
            fs::rename(bin.join(program), bin.join("away")).unwrap();
            assert!(!sh(unless), "{release} without {program}");
            fs::rename(bin.join("away"), bin.join(program)).unwrap();
        }
    }
}
