//! What keeps a snapshot of etcd, in the shells that hosts have, with an etcdctl that only writes down what it is told.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hoist::engine::Library;

use super::{
    bed::{compiled, laid_out},
    etcd::members,
};

const PROGRAM: &str = "/usr/local/sbin/hoist-etcd-snapshot";

/// etcd answers at `$root/answers`, which names an endpoint, and holds `$root/size` bytes. Its container is `c1`.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "etcdctl",
        r#"while [ "$1" != --endpoints ]; do shift; done
[ "$2" = "$(cat $root/answers)" ] || exit 1
case "$3 $4" in
'endpoint status') echo "[{\"Endpoint\":\"x\",\"Status\":{\"header\":{},\"dbSize\":$(cat $root/size),\"leader\":1}}]" ;;
'snapshot save') [ ! -e $root/hangs ] || { : > "$5.part"; . $root/hangs; exec sleep 60; }
	[ ! -e $root/fails ] || { : > "$5.part"; exit 1; }; echo snapshot > "$5" ;;
esac
"#,
    ),
    (
        "ctr",
        r#"case $* in
*'containers list'*) echo c1 ;;
*'tasks list'*) [ -e $root/stopped ] || echo 'c1 77 RUNNING' ;;
*'tasks exec'*) while [ "$1" != etcdctl ]; do shift; done; exec "$@" ;;
esac
"#,
    ),
    ("df", "echo 'Filesystem 1024-blocks Used Available Capacity Mounted'; echo '/dev/x 9 9 1048576 9% /'\n"),
];

struct Bed {
    root: tempfile::TempDir,
    shell: &'static str,
    text: String,
}

impl Bed {
    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn run(&self, endpoints: &[&str]) -> Output {
        self.command(&self.text).args(endpoints).output().unwrap()
    }

    fn command(&self, text: &str) -> Command {
        let root = self.root.path().display();
        let text = text.replace("/var/lib/", &format!("{root}/"));
        let mut command = Command::new(self.shell);
        command.args(["-c", &text, "sh"]).env("PATH", format!("{root}/bin:/usr/bin:/bin"));
        command
    }

    #[track_caller]
    fn refuses(&self, why: &str) {
        self.ends(&self.run(&[]), why);
    }

    /// Without a snapshot, and without anything else.
    #[track_caller]
    fn ends(&self, output: &Output, why: &str) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{}: {said}", self.shell);
        assert_eq!(self.kept(), [] as [&str; 0]);
        for room in ["hoist", "etcd"] {
            assert_eq!(fs::read_dir(self.path(room)).unwrap().count(), 0, "{room}");
        }
    }

    fn kept(&self) -> Vec<String> {
        let all = fs::read_dir(self.path("hoist")).into_iter().flatten();
        let mut names: Vec<String> = all.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// In each shell, where etcd has hosts of its own and where it is on control planes.
fn each(then: impl Fn(&Bed)) {
    let stacked = compiled("single.yaml").remove(0).1;
    for steps in [members(), stacked] {
        for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
            let bed = Bed { root: tempfile::tempdir().unwrap(), shell, text: laid_out(&steps, PROGRAM) };
            for folder in ["bin", "etcd", "hoist"] {
                fs::create_dir(bed.path(folder)).unwrap();
            }
            bed.write("answers", "https://127.0.0.1:2379");
            bed.write("size", "20480");
            for (name, text) in PROGRAMS {
                let path = bed.path("bin").join(name);
                fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", bed.root.path().display())).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            then(&bed);
        }
    }
}

#[test]
fn the_last_two_are_kept_for_root_alone() {
    each(|bed| {
        for old in ["20200101T000000Z", "20210101T000000Z", "20220101T000000Z"] {
            bed.write(&format!("hoist/etcd-before-{old}"), "old");
            let path = bed.path(&format!("hoist/etcd-before-{old}"));
            assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(path).status().unwrap().success());
        }
        let output = bed.run(&[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kept = bed.kept();
        assert!(kept.len() == 2 && kept[0].ends_with("20220101T000000Z"), "{kept:?}");
        let new = bed.path(&format!("hoist/{}", kept[1]));
        assert_eq!(fs::read_to_string(&new).unwrap(), "snapshot\n");
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
        // One that is as new as this is enough, whether or not etcd answers.
        bed.write("answers", "");
        assert!(bed.run(&[]).status.success());
        assert_eq!(bed.kept(), kept);
    });
}

#[test]
fn the_first_member_that_answers_gives_it() {
    each(|bed| {
        bed.write("answers", "https://10.0.0.2:2379");
        assert!(bed.run(&["https://10.0.0.1:2379", "https://10.0.0.2:2379"]).status.success());
        assert_eq!(bed.kept().len(), 1);
    });
}

#[test]
fn why_there_is_none_is_said_and_nothing_is_left() {
    each(|bed| {
        bed.write("size", "8589934592");
        bed.refuses("it holds 8192 MiB, and ");
        bed.write("size", "20480");
        bed.write("fails", "");
        bed.refuses("etcdctl failed");
        bed.write("answers", "");
        bed.refuses("it does not answer");
        if bed.text.contains("ctr ") {
            bed.write("stopped", "");
            bed.refuses("its container does not run");
        }
    });
}

#[test]
fn one_that_takes_too_long_or_is_ended_leaves_nothing() {
    each(|bed| {
        assert!(bed.text.contains("\nlimit=240\n"));
        let impatient = bed.text.replace("\nlimit=240\n", "\nlimit=2\n");
        bed.write("hangs", "");
        bed.ends(&bed.command(&impatient).output().unwrap(), "it holds 0 MiB, and took longer than 2 s");
        // All of it, as whoever cuts it off does.
        bed.write("hangs", "kill -TERM 0\n");
        bed.ends(&bed.command(&bed.text).process_group(0).output().unwrap(), "");
    });
}

/// Whoever asks for a value in which a snapshot is made waits for its end.
#[test]
fn who_asks_for_a_snapshot_waits_longer_than_it_may_take() {
    let provides = Library::default().role("control-plane").unwrap().provides;
    let asks: Vec<_> = provides.values().filter(|value| value.run.contains("hoist-etcd-snapshot")).collect();
    assert_eq!(asks.len(), 2);
    for value in asks {
        // `place` may look at a kubelet's lease for 24 s before.
        let before = if value.run.contains("sleep 3") { 24 } else { 0 };
        assert!(value.timeout >= 240 + before + 30, "{}", value.timeout);
    }
}
