//! Statements about the machine itself, on a shell that has its own /etc, /home, /run and name: nothing of this
//! machine changes.

use super::*;

/// A shell in namespaces of its own. Its /run is empty, so that no daemon of this machine can be asked for anything; and it
/// sees no processes but its own, for usermod refuses to change whom one belongs to, and another test's user has the same number.
pub(super) async fn sandbox(folder: &std::path::Path) -> Option<Local> {
    if !is_root() {
        eprintln!("skipped: not root");
        return None;
    }
    let own =
        ["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let shell = [&["unshare"], &own[..], &["/bin/sh"]].concat();
    let allowed = std::process::Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no namespaces here");
        return None;
    }
    let host = Local::with_shell("here", &shell).await.unwrap();
    let script = format!(
        "cp -a /etc {0}/etc && mount --bind {0}/etc /etc && for at in /run /home /mnt; do mount -t tmpfs tmpfs $at; done",
        quote(folder.to_str().unwrap())
    );
    let output = host.run(Script::new(script)).await.unwrap();
    assert_eq!(output.status, 0, "{}", String::from_utf8_lossy(&output.stderr));
    Some(host)
}

async fn prints(host: &Local, script: &str) -> String {
    let output = host.run(Script::new(script)).await.unwrap();
    assert_eq!(output.status, 0, "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn users_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    converges(&host, &task("user", json!({"name": "ada", "groups": ["daemon"], "shell": "/bin/sh"}))).await;
    assert_eq!(prints(&host, "id -Gn ada").await, "ada daemon\n");
    assert_eq!(
        prints(&host, "stat -c %U /home/ada; getent passwd ada | cut -d: -f6,7").await,
        "ada\n/home/ada:/bin/sh\n"
    );
    // Other groups stay.
    converges(
        &host,
        &task(
            "user",
            json!({"name": "ada", "groups": ["bin", "daemon"], "shell": "/bin/false", "home": "/mnt/ada"}),
        ),
    )
    .await;
    assert_eq!(
        prints(&host, "id -Gn ada; getent passwd ada | cut -d: -f6,7").await,
        "ada daemon bin\n/mnt/ada:/bin/false\n"
    );
    converges(
        &host,
        &task(
            "user",
            json!({"name": "etcd-x", "system": true, "home": "/var/lib/x", "shell": "/usr/sbin/nologin"}),
        ),
    )
    .await;
    assert_eq!(prints(&host, "[ ! -e /var/lib/x ] && getent shadow etcd-x | cut -d: -f2").await, "*\n");
    for _ in 0..2 {
        converges(&host, &task("user", json!({"name": "ada", "absent": true}))).await;
    }
    assert!(apply(&host, &task("user", json!({"name": "bob", "groups": ["no-such-group"]}))).await.is_err());
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAx ada@laptop";

#[tokio::test]
async fn keys_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    let key = |key: &str, absent: bool| {
        task("authorized_key", json!({"user": "ada", "key": key, "absent": absent}))
    };
    assert!(apply(&host, &key(KEY, false)).await.unwrap_err().contains("no such user"));
    converges(&host, &task("user", json!({"name": "ada"}))).await;
    converges(&host, &key(KEY, false)).await;
    let list = "/home/ada/.ssh/authorized_keys";
    assert_eq!(prints(&host, &format!("cat {list}")).await, format!("{KEY}\n"));
    let modes = prints(&host, &format!("stat -c '%U %a' /home/ada/.ssh {list}")).await;
    assert_eq!(modes, "ada 700\nada 600\n");
    prints(&host, &format!("echo 'ssh-rsa AAAAother bob' >> {list}")).await;
    let restricted = format!("restrict {KEY} again");
    converges(&host, &key(&restricted, false)).await;
    assert_eq!(prints(&host, &format!("cat {list}")).await, format!("{restricted}\nssh-rsa AAAAother bob\n"));
    for _ in 0..2 {
        converges(&host, &key(KEY, true)).await;
    }
    assert_eq!(prints(&host, &format!("cat {list}")).await, "ssh-rsa AAAAother bob\n");
    // A link that the user makes is not followed, neither to show what it leads to nor to write there.
    prints(&host, &format!("rm {list}; ln -s /etc/shadow {list}")).await;
    let seen = observe(&host, &[key(KEY, false)]).await;
    assert_eq!(seen.texts["~ada"], Text::Unfit("no regular file"));
    assert!(apply(&host, &key(KEY, false)).await.unwrap_err().contains("no regular file"));
}

#[tokio::test]
async fn a_host_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    for name in ["w1", "w2.example.lan"] {
        converges(&host, &task("hostname", json!({"name": name}))).await;
        assert_eq!(prints(&host, "uname -n; cat /etc/hostname").await, format!("{name}\n{name}\n"));
    }
    prints(&host, "printf '# a comment\\n\\nw3\\n' > /etc/hostname").await;
    let task = task("hostname", json!({"name": "w3"}));
    let change = task.diff(&observe(&host, std::slice::from_ref(&task)).await).unwrap();
    assert_eq!(change.details.len(), 1, "{change:?}");
}

#[tokio::test]
async fn mounts_are_in_fstab_and_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    prints(&host, "printf 'proc /proc proc defaults 0 0' > /etc/fstab").await;
    let mount = |options: &str| {
        task(
            "mount",
            json!({"source": "tmpfs", "path": "/mnt/two words", "fstype": "tmpfs", "options": options}),
        )
    };
    converges(&host, &mount("size=1m")).await;
    let entry = "proc /proc proc defaults 0 0\ntmpfs /mnt/two\\040words tmpfs size=1m 0 0\n";
    assert_eq!(prints(&host, "cat /etc/fstab").await, entry);
    // It comes back, and other options are taken up.
    prints(&host, "umount '/mnt/two words'").await;
    converges(&host, &mount("size=1m")).await;
    converges(&host, &mount("size=2m,noexec")).await;
    assert!(prints(&host, "grep 'two.040words' /proc/self/mountinfo").await.contains("noexec"));
    let other = task("mount", json!({"source": "proc", "path": "/mnt/two words", "fstype": "proc"}));
    let refused = apply(&host, &other).await.unwrap_err();
    assert!(refused.contains("tmpfs (tmpfs) is mounted on /mnt/two words: unmount it first"), "{refused}");
}

#[tokio::test]
async fn fstab_says_only_what_was_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    let before = "proc /proc proc defaults 0 0\n";
    prints(&host, &format!("printf '{before}' > /etc/fstab")).await;
    let mount = |source: &str, fstype: &str, options: &str| {
        task("mount", json!({"source": source, "path": "/mnt/data", "fstype": fstype, "options": options}))
    };
    for broken in [mount("/dev/no-such-disk", "ext4", "defaults"), mount("tmpfs", "tmpfs", "size=much")] {
        assert!(apply(&host, &broken).await.is_err());
        assert_eq!(prints(&host, "cat /etc/fstab").await, before);
    }
    converges(&host, &mount("tmpfs", "tmpfs", "size=1m,noexec")).await;
    let mounted = prints(&host, "cat /etc/fstab").await;
    let broken = mount("tmpfs", "tmpfs", "size=much");
    assert!(apply(&host, &broken).await.is_err());
    assert_eq!(prints(&host, "cat /etc/fstab").await, mounted);
    assert!(broken.diff(&observe(&host, std::slice::from_ref(&broken)).await).is_some(), "it still differs");
    // Killed after each of the acts: the next run makes it true.
    for (acts, options) in [(1, "size=2m"), (2, "size=3m")] {
        let task = mount("tmpfs", "tmpfs", options);
        let seen = observe(&host, std::slice::from_ref(&task)).await;
        for act in task.acts(&seen).into_iter().take(acts) {
            let Act::Script { text, .. } = act else { panic!("{act:?}") };
            prints(&host, &text).await;
        }
        let left = task.diff(&observe(&host, std::slice::from_ref(&task)).await);
        assert_eq!(left.is_some(), acts == 1, "{left:?}");
        converges(&host, &task).await;
        let live = prints(&host, "grep ' /mnt/data ' /proc/self/mountinfo").await;
        assert!(!live.contains("noexec"), "nothing of the old entry is left: {live}");
    }
    assert_eq!(prints(&host, "cat /etc/fstab").await, format!("{before}tmpfs /mnt/data tmpfs size=3m 0 0\n"));
}

#[tokio::test]
async fn swap_does_not_come_back_from_fstab() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = sandbox(folder.path()).await else { return };
    prints(
        &host,
        "printf '# /dev/x none swap\\n/dev/a / ext4 defaults 0 1\\n/dev/b none swap sw 0 0\\n /swap.img\\tnone\\tswap\\n' > /etc/fstab
         mkdir -p /etc/systemd/system/multi-user.target.wants; ln -sf /dev/null /etc/systemd/system/swap.target
         ln -sf /x /etc/systemd/system/multi-user.target.wants/zramswap.service",
    )
    .await;
    let task = Task::SwapOff(SwapOff {});
    let mut seen = observe(&host, std::slice::from_ref(&task)).await;
    assert!(seen.swap_masked);
    assert_eq!(seen.swap_units, ["zramswap.service"]);
    // Neither systemd nor the machine's own swap is anybody's business here.
    (seen.swap_units, seen.swaps) = (Vec::new(), Vec::new());
    let [Act::Script { text, .. }] = &task.acts(&seen)[..] else { panic!("one script") };
    prints(&host, text).await;
    let expected = "# /dev/x none swap\n/dev/a / ext4 defaults 0 1\n# hoist: no swap on a node: /dev/b none swap sw 0 0\n\
                    # hoist: no swap on a node:  /swap.img\tnone\tswap\n";
    assert_eq!(prints(&host, "cat /etc/fstab").await, expected);
    let mut seen = observe(&host, std::slice::from_ref(&task)).await;
    (seen.swap_units, seen.swaps) = (Vec::new(), Vec::new());
    assert_eq!(task.diff(&seen), None);
}

#[tokio::test]
async fn what_is_required_is_refused_by_its_name() {
    let host = Local::open("here").await.unwrap();
    let require = |check: &str| {
        task(
            "require",
            json!({"what": "a kernel with it's feature", "check": check, "fix": "boot a newer one"}),
        )
    };
    assert_eq!(require("true").diff(&observe(&host, &[require("true")]).await), None);
    let refused = apply(&host, &require("false")).await.unwrap_err();
    assert_eq!(refused, "the host lacks a kernel with it's feature: boot a newer one\n");
}
