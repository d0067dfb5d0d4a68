//! What wins, and which way it is.

use super::*;
use crate::transport::default_known_hosts;

/// Resolves with an ssh_config of this text, in a folder in which `KEY` exists, and the public half of `KEY-in-agent`.
async fn resolve(config: &str, settings: Settings) -> Result<Target, Error> {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "").unwrap();
    std::fs::write(dir.path().join("key-in-agent.pub"), "").unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, config.replace("KEY", &key.display().to_string())).unwrap();
    Resolver::default().resolve(&Settings { config: ConfigFile::File(path), ..settings }).await
}

fn w1() -> Settings {
    Settings { name: "w1".into(), address: "10.0.0.1".into(), ..Settings::default() }
}

/// `USER@ADDRESS:PORT` of every machine on the way.
fn way(target: &Target) -> String {
    let stops = target.jumps().into_iter().chain([target]);
    let stops = stops.map(|stop| format!("{}@{}", stop.user, stop.endpoint()));
    stops.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn defaults() {
    let target = resolve("", w1()).await.unwrap();
    assert_eq!(way(&target), "root@10.0.0.1:22");
    assert!(target.keys.is_empty() && matches!(target.agent, Agent::Auto) && !target.only_these_keys);
    assert_eq!(target.known_hosts, default_known_hosts());
    assert_eq!((target.connect_timeout, target.keepalive), (Target::CONNECT_TIMEOUT, Target::KEEPALIVE));
    assert!(matches!(target.r#become, Become::Root));
}

#[tokio::test]
async fn the_inventory_wins_over_the_file_wins_over_defaults() {
    const CONFIG: &str = "Host w1\n User bob\n Port 2222\n IdentityFile KEY\n IdentityFile KEY-that-is-not\n \
        IdentitiesOnly yes\n IdentityAgent none\n CertificateFile /c-%h.pub\n UserKnownHostsFile /known /more\n \
        GlobalKnownHostsFile none\n ConnectTimeout 7\n ServerAliveInterval 8\n HostKeyAlias alias\n";
    let target = resolve(CONFIG, w1()).await.unwrap();
    assert_eq!(way(&target), "bob@10.0.0.1:2222");
    assert!(matches!(target.r#become, Become::Sudo { password: None }));
    assert!(target.keys.len() == 1 && target.keys[0].ends_with("key"), "{:?}", target.keys);
    assert!(target.keys_are_configured);
    assert_eq!(target.certificates, [PathBuf::from("/c-10.0.0.1.pub")]);
    assert!(target.only_these_keys && matches!(target.agent, Agent::Off));
    assert_eq!(target.known_hosts, [PathBuf::from("/known"), PathBuf::from("/more")]);
    assert_eq!((target.connect_timeout.as_secs(), target.keepalive.as_secs()), (7, 8));
    assert_eq!(target.recorded_as(), ("alias", 22));

    let settings = Settings {
        user: Some("root".into()),
        port: Some(22),
        key: Some("/k".into()),
        known_hosts: Some("/kh".into()),
        connect_timeout: Some(Duration::from_secs(1)),
        keepalive: Some(Duration::from_secs(2)),
        ..w1()
    };
    let target = resolve(CONFIG, settings).await.unwrap();
    assert_eq!(way(&target), "root@10.0.0.1:22");
    assert_eq!((&target.keys, &target.known_hosts), (&vec!["/k".into()], &vec!["/kh".into()]));
    assert!(!target.keys_are_configured, "this one must do");
    assert_eq!((target.connect_timeout.as_secs(), target.keepalive.as_secs()), (1, 2));
    assert!(matches!(target.r#become, Become::Root));
}

#[tokio::test]
async fn keys_of_the_file() {
    for (config, expected, configured) in [
        ("Port 22", vec![], false),
        ("IdentityFile none", vec![], true),
        // Whoever names keys does not want the usual ones instead.
        ("IdentityFile KEY-that-is-not", vec![], true),
        ("IdentityFile KEY-in-agent", vec!["key-in-agent"], true),
        ("IdentityFile KEY-in-agent\nIdentityFile KEY", vec!["key-in-agent", "key"], true),
    ] {
        let target = resolve(config, w1()).await.unwrap();
        let names: Vec<_> = target.keys.iter().map(|key| key.file_name().unwrap()).collect();
        assert_eq!(
            (names, target.keys_are_configured),
            (expected.iter().map(AsRef::as_ref).collect(), configured),
            "{config}"
        );
        let named = resolve(config, Settings { key: Some("/k".into()), ..w1() }).await.unwrap();
        assert_eq!((named.keys, named.keys_are_configured), (vec!["/k".into()], false), "{config}");
    }
}

#[tokio::test]
async fn the_user_s_known_hosts_and_the_machine_s_are_said_each_by_itself() {
    let user = default_known_hosts()[0].clone();
    for (config, expected) in [
        // As FreeIPA sets up its clients.
        ("GlobalKnownHostsFile /global", vec![user.clone(), "/global".into()]),
        ("GlobalKnownHostsFile /one /two", vec![user.clone(), "/one".into(), "/two".into()]),
        ("GlobalKnownHostsFile none", vec![user.clone()]),
        ("UserKnownHostsFile none\nGlobalKnownHostsFile /global", vec!["/global".into()]),
    ] {
        assert_eq!(resolve(config, w1()).await.unwrap().known_hosts, expected, "{config}");
    }
    let begins = |known: &[PathBuf], with: [PathBuf; 2]| assert_eq!(known[..2], with);
    let machine = default_known_hosts()[1].clone();
    begins(
        &resolve("UserKnownHostsFile /user", w1()).await.unwrap().known_hosts,
        ["/user".into(), machine.clone()],
    );
    begins(&resolve("Port 22", w1()).await.unwrap().known_hosts, [user, machine]);
}

#[tokio::test]
async fn ways_through_jump_hosts() {
    const CONFIG: &str = "Host b\n HostName b.example\n User bob\n Port 2222\n\
                          Host c\n ProxyJump b\nHost d\n ProxyJump d\nHost e\n ProxyJump f\nHost f\n ProxyJump e\n\
                          Host w1\n ProxyJump jim@a,b\n";
    let through = |jump: &[&str]| Settings {
        jump: Some(jump.iter().map(ToString::to_string).collect()),
        user: Some("admin".into()),
        ..w1()
    };
    for (settings, expected) in [
        (w1(), "jim@a:22 bob@b.example:2222 root@10.0.0.1:22"),
        (through(&[]), "admin@10.0.0.1:22"),
        (through(&["a"]), "admin@a:22 admin@10.0.0.1:22"),
        (through(&["x@b:1"]), "x@b.example:1 admin@10.0.0.1:22"),
        (through(&["a", "b"]), "admin@a:22 bob@b.example:2222 admin@10.0.0.1:22"),
        // The first one is behind another; a later one is reached from the one before.
        (through(&["c"]), "bob@b.example:2222 admin@c:22 admin@10.0.0.1:22"),
        (through(&["a", "c"]), "admin@a:22 admin@c:22 admin@10.0.0.1:22"),
        (through(&["a", "d"]), "admin@a:22 admin@d:22 admin@10.0.0.1:22"),
        // Nothing is reached through itself.
        (through(&["10.0.0.1"]), "admin@10.0.0.1:22"),
        (through(&["a", "10.0.0.1"]), "admin@a:22 admin@10.0.0.1:22"),
    ] {
        assert_eq!(way(&resolve(CONFIG, settings).await.unwrap()), expected);
    }
    let error = resolve(CONFIG, through(&["e"])).await.unwrap_err().to_string();
    assert!(error.ends_with("ProxyJump leads in a circle: 10.0.0.1, then e, then f, then e"), "{error}");
    // This circle is found by ssh.
    let error = resolve(CONFIG, through(&["d"])).await.unwrap_err().to_string();
    assert!(error.ends_with("jumphost loop via d"), "{error}");
    let error = resolve(CONFIG, through(&["a b"])).await.unwrap_err().to_string();
    assert!(error.contains("`a b`"), "{error}");
}

#[tokio::test]
async fn a_jump_host_has_the_key_and_the_known_hosts_of_the_hosts() {
    let settings = Settings {
        jump: Some(vec!["a".into(), "b".into()]),
        key: Some("/k".into()),
        known_hosts: Some("/kh".into()),
        ..w1()
    };
    let target = resolve("Host b\n IdentityFile KEY\n", settings).await.unwrap();
    let [a, b] = target.jumps()[..] else { panic!() };
    assert_eq!((&a.keys, &a.known_hosts), (&vec!["/k".into()], &vec!["/kh".into()]));
    // But for one that has a key of its own.
    assert!(b.keys[0].ends_with("key") && b.known_hosts == a.known_hosts, "{b:?}");
}

#[tokio::test]
async fn commands() {
    let target = resolve("Host w1\n ProxyCommand nc %h %p\n", w1()).await.unwrap();
    assert!(matches!(&target.route, Route::Command(command) if command == "nc 10.0.0.1 22"), "{target:?}");
    let error = resolve("Host w1\n ProxyCommand nc %C\n", w1()).await.unwrap_err().to_string();
    assert!(error.contains("%C"), "{error}");
}
