//! The script itself, run for real: its own frame, and roles that do no harm.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use super::{scripts::metadata, *};

/// A role with one command, which writes down that it ran, and a second time does not.
fn role(folder: &Path, name: &str, more: &str) -> (String, String) {
    let folder = folder.display();
    let text = format!(
        "description: A.\ntasks:\n  - name: it's {name}\n    command:\n      creates: {folder}/{name}.done\n      \
         run: |\n        cd {folder} && [ ! -e broken-{name} ] || exit 3\n        echo {name} >> log && : > {name}.done{more}\n"
    );
    (format!("roles/{name}/role.yaml"), text)
}

fn run(data: &UserData, folder: &Path, imds: &str) -> Output {
    let script = folder.join("user-data");
    fs::write(&script, unpacked(data)).unwrap();
    // This machine is not to end.
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["systemd-run", "systemctl"] {
        fs::write(bin.join(name), format!("#!/bin/sh\necho \"{name} $*\" >> {}/calls\n", folder.display()))
            .unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("sh");
    command.arg(script).env("HOIST_RUN", folder.join("run")).env("HOIST_IMDS", imds).env("HOIST_BIN", bin);
    command.output().unwrap()
}

/// What of systemd was called since it was asked last.
fn calls(folder: &Path) -> Vec<String> {
    let calls = fs::read_to_string(folder.join("calls")).unwrap_or_default();
    let _ = fs::remove_file(folder.join("calls"));
    calls.lines().map(String::from).collect()
}

const ARMED: &str = "systemd-run -q -u hoist-unjoined --on-active 1h systemctl poweroff";
const DISARMED: &str = "systemctl -q stop hoist-unjoined.timer";

/// Nobody else may be there to end it.
#[test]
fn an_instance_whose_script_ends_early_ends_within_an_hour() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (path, text) = role(folder, "burst", "");
    let (_library, library) = library(&[(path.as_str(), text.as_str())]);
    let joiner = joiner_of(&sample(|text| text), &library).unwrap();
    let data = user_data(&joiner, TOKEN).unwrap();
    let early = unpacked(&data).find(ARMED).unwrap();
    assert!(unpacked(&data)[..early].lines().count() <= 5, "before anything that could fail");

    // It never learns who it is.
    let unknown = metadata(|_| Some("odd'".to_owned()));
    assert_eq!(run(&data, folder, &unknown).status.code(), Some(1));
    assert_eq!(calls(folder), [ARMED]);
    // What would give it back cannot be set up.
    let known = metadata(|_| Some("x".to_owned()));
    fs::write(folder.join("broken-burst"), "").unwrap();
    assert_eq!(run(&data, folder, &known).status.code(), Some(1));
    assert_eq!(calls(folder), [ARMED]);
    fs::remove_file(folder.join("broken-burst")).unwrap();
    // It is; whatever fails then has its hour after that.
    run(&data, folder, &known);
    assert_eq!(calls(folder)[..2], [ARMED, DISARMED]);
}

#[test]
fn steps_run_in_order_until_one_fails_and_once() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let names =
        ["burst", "fetch", "load-balancer", "kubernetes", "cilium", "hardening", "worker", "hardened"];
    let reads = "\n        cat > joining\n      stdin: {template: joining.txt}";
    let mut files: Vec<(String, String)> =
        names.iter().map(|name| role(folder, name, if *name == "worker" { reads } else { "" })).collect();
    files.push((
        "templates/joining.txt".into(),
        "{{ host.name }} {{ host.address }} {{ host.registration.kubeletExtraArgs[2].value }}\n$HOME '\"`\\\n{{ late.join.token }}\n"
            .into(),
    ));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let (_library, library) = library(&files);
    let own = format!(
        "burst:\n  script: |\n    cd {} && echo \"it's ours\" >> log; exit $(cat status)\n",
        folder.display()
    );
    let joiner = joiner_of(&sample(|text| text.replace("burst:\n", &own)), &library).unwrap();
    let data = user_data(&joiner, TOKEN).unwrap();
    let imds = metadata(|path| {
        let answers = [
            ("instance-id", "i-0a1b"),
            ("placement/availability-zone", "eu-central-1b"),
            ("local-ipv4", "172.16.4.9"),
        ];
        answers.iter().find(|(known, _)| *known == path).map(|(_, answer)| (*answer).to_owned())
    });
    let log = || fs::read_to_string(folder.join("log")).unwrap().replace('\n', " ");
    let printed = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();

    // The administrator's own script fails, then a role, then nothing.
    fs::write(folder.join("status"), "7").unwrap();
    fs::write(folder.join("broken-cilium"), "").unwrap();
    let output = run(&data, folder, &imds);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(printed(&output).ends_with("hoist: failed: burst: the inventory's script\n"), "{output:?}");
    assert_eq!(log(), "burst it's ours ");
    assert!(!folder.join("run/join").exists(), "the token does not stay there");

    fs::write(folder.join("status"), "0").unwrap();
    let output = run(&data, folder, &imds);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = printed(&output);
    assert!(text.ends_with("hoist: cilium: it's cilium\nhoist: failed: cilium: it's cilium\n"), "{text}");
    assert_eq!(log(), "burst it's ours it's ours fetch load-balancer kubernetes ");

    fs::remove_file(folder.join("broken-cilium")).unwrap();
    let output = run(&data, folder, &imds);
    assert!(output.status.success(), "{output:?}");
    assert!(!printed(&output).contains(TOKEN) && !String::from_utf8_lossy(&output.stderr).contains(TOKEN));
    let done = log();
    assert!(done.ends_with("kubernetes it's ours cilium hardening worker hardened "), "{done}");
    let joining = fs::read_to_string(folder.join("joining")).unwrap();
    assert_eq!(
        joining,
        format!("burst-1a2b 172.16.4.9 aws:///eu-central-1b/i-0a1b\n$HOME '\"`\\\n{TOKEN}\n")
    );

    let output = run(&data, folder, &imds);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(log(), format!("{done}it's ours "), "nothing is done again but what knows no better");
}
