//! Lines and blocks in files, on a shell of this machine.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

/// A folder, a host, and a file in it with this content.
async fn with_file(content: Option<&[u8]>) -> (tempfile::TempDir, Local, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's").to_str().unwrap().to_string();
    if let Some(content) = content {
        std::fs::write(&path, content).unwrap();
    }
    (folder, Local::open("here").await.unwrap(), path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn lines_in_files_of_every_kind() {
    for (content, expected) in [
        (None, "new $HOME 'x'\n"),
        (Some(""), "new $HOME 'x'\n"),
        (Some("no end"), "no end\nnew $HOME 'x'\n"),
        (Some("a\r\nold 1\r\n"), "a\r\nnew $HOME 'x'\r\n"),
        (Some("old 1\nzoë\nold 2"), "new $HOME 'x'\nzoë\n"),
        (Some("%s \\n\nolder\n"), "%s \\n\nolder\nnew $HOME 'x'\n"),
    ] {
        let (folder, host, path) = with_file(content.map(str::as_bytes)).await;
        let line = task("line", json!({"path": path, "line": "new $HOME 'x'", "match": "old [0-9]+"}));
        converges(&host, &line).await;
        assert_eq!(read(&path), expected, "{content:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary stays");
        let absent = task("line", json!({"path": path, "line": "new $HOME 'x'", "absent": true}));
        converges(&host, &absent).await;
        assert!(!read(&path).contains("new"));
    }
}

#[tokio::test]
async fn what_is_not_there_need_not_be_taken_away() {
    let (folder, host, path) = with_file(None).await;
    for absent in [
        task("line", json!({"path": path, "match": ".*", "absent": true})),
        task("block", json!({"path": path, "name": "x", "absent": true})),
    ] {
        assert_eq!(absent.diff(&observe(&host, std::slice::from_ref(&absent)).await), None);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_block_is_told_from_the_rest_of_its_file() {
    let (_folder, host, path) = with_file(Some(b"127.0.0.1 localhost")).await;
    let block = |content: &str| task("block", json!({"path": path, "name": "hosts", "content": content}));
    converges(&host, &block("10.0.0.1 a\n10.0.0.2 b\n")).await;
    converges(&host, &block("10.0.0.1 a\n")).await;
    let expected = "127.0.0.1 localhost\n# hoist hosts begin\n10.0.0.1 a\n# hoist hosts end\n";
    assert_eq!(read(&path), expected);
    let other = task("block", json!({"path": path, "name": "other", "content": "x", "comment": ";"}));
    converges(&host, &other).await;
    converges(&host, &task("block", json!({"path": path, "name": "hosts", "absent": true}))).await;
    assert_eq!(read(&path), "127.0.0.1 localhost\n; hoist other begin\nx\n; hoist other end\n");
    std::fs::write(&path, "# hoist hosts begin\nprecious\n").unwrap();
    let refused = apply(&host, &block("x")).await.unwrap_err();
    assert!(refused.contains("mend or remove these lines"), "{refused}");
    assert_eq!(read(&path), "# hoist hosts begin\nprecious\n");
}

#[tokio::test]
async fn owner_mode_and_links_stay() {
    if !is_root() {
        return;
    }
    let (folder, host, path) = with_file(Some(b"a\n")).await;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o4750)).unwrap();
    std::os::unix::fs::chown(&path, Some(1), Some(2)).unwrap();
    let link = folder.path().join("link").to_str().unwrap().to_string();
    symlink("it's", &link).unwrap();
    converges(&host, &task("line", json!({"path": link, "line": "b"}))).await;
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let state = std::fs::metadata(&path).unwrap();
    assert_eq!((state.uid(), state.gid(), state.mode() & 0o777), (1, 2, 0o750));
    assert_eq!(read(&path), "a\nb\n");
    let new = folder.path().join("new/file").to_str().unwrap().to_string();
    converges(&host, &task("line", json!({"path": new, "line": "b"}))).await;
    assert_eq!(std::fs::metadata(&new).unwrap().mode() & 0o777, 0o644);
}

#[tokio::test]
async fn links_of_others_are_not_followed() {
    if !is_root() {
        return;
    }
    let (folder, host, path) = with_file(Some(b"a\n")).await;
    let link = folder.path().join("link").to_str().unwrap().to_string();
    symlink(&path, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).unwrap();
    for edit in [
        task("line", json!({"path": link, "line": "b"})),
        task("block", json!({"path": link, "name": "b", "content": "b"})),
    ] {
        let refused = apply(&host, &edit).await.unwrap_err();
        assert!(refused.contains("is a link of nobody: only links of root are followed"), "{refused}");
        assert_eq!(read(&path), "a\n");
    }
}

#[tokio::test]
async fn what_is_no_text_is_refused_and_left_alone() {
    let large = vec![b'x'; 256 * 1024 + 1];
    for (content, why) in
        [(&b"a\0b"[..], "no UTF-8 text"), (b"\xff\xfe", "no UTF-8 text"), (&large, "larger than 256 KiB")]
    {
        let (_folder, host, path) = with_file(Some(content)).await;
        let refused = apply(&host, &task("line", json!({"path": path, "line": "x"}))).await.unwrap_err();
        assert!(refused.contains(why) && refused.contains(&path), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let (_folder, host, path) = with_file(None).await;
    std::fs::create_dir(&path).unwrap();
    let refused = apply(&host, &task("line", json!({"path": path, "line": "x"}))).await.unwrap_err();
    assert!(refused.contains("no regular file"), "{refused}");
    // Reading a pipe would never end.
    std::fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(apply(&host, &task("line", json!({"path": path, "line": "x"}))).await.is_err());
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_read_is_not_overwritten() {
    for (before, meanwhile) in
        [(Some("a\n"), Some("somebody else\n")), (None, Some("somebody else\n")), (Some("a\n"), None)]
    {
        let (_folder, host, path) = with_file(before.map(str::as_bytes)).await;
        let line = task("line", json!({"path": path, "line": "b"}));
        let seen = observe(&host, std::slice::from_ref(&line)).await;
        match meanwhile {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let [Act::Script { text, .. }] = &line.acts(&seen)[..] else { panic!("one script") };
        let output = host.run(Script::new(text.clone())).await.unwrap();
        assert_ne!(output.status, 0);
        assert!(String::from_utf8_lossy(&output.stderr).contains("has changed since it was read"));
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), meanwhile);
    }
}

#[test]
fn the_plan_shows_the_lines_unless_they_are_secret() {
    let mut seen = Observations::default();
    seen.texts.insert("/etc/x".into(), Text::Known("password=marker\nport=1\n".into()));
    let line = json!({"path": "/etc/x", "line": "port=2", "match": "port=.*"});
    let change = format!("{:?}", task("line", line.clone()).diff(&seen));
    assert!(change.contains("-port=1") && change.contains("+port=2"), "{change}");
    let mut secret = line;
    secret["secret"] = true.into();
    let change = format!("{:?}", task("line", secret).diff(&seen));
    assert!(!change.contains("port") && !change.contains("marker"), "{change}");
}

#[test]
fn statements_that_make_no_sense() {
    for (kind, body, says) in [
        ("line", json!({"path": "/x"}), "it needs `line`"),
        ("line", json!({"path": "/x", "match": "a"}), "it needs `line`"),
        ("line", json!({"path": "/x", "absent": true}), "it needs `line`"),
        ("line", json!({"path": "/x", "line": "a\nb"}), "more than one line"),
        ("line", json!({"path": "/x", "line": "a", "match": "("}), "no regular expression"),
        ("line", json!({"path": "/x", "line": "a", "after": "*"}), "no regular expression"),
        ("block", json!({"path": "/x", "name": "n", "content": "# hoist n end"}), "a mark of its own"),
        ("command", json!({"run": "date"}), "would run every time"),
        ("command", json!({"run": "date", "after": ["/x"]}), "`after` needs a `stamp`"),
        ("command", json!({"run": "date", "stamp": "/x"}), "`stamp` needs `after`"),
        ("command", json!({"run": "date", "after": ["/x"], "stamp": "/y", "creates": "/z"}), "one guard"),
        ("artifact", json!({"path": "/x", "sha256": "0".repeat(64)}), "either `source` or `url`"),
        ("artifact", json!({"path": "/x", "sha256": "0", "source": "/y"}), "64 lower-case"),
        ("artifact", json!({"path": "/x", "sha256": "0".repeat(64), "url": "ftp://x"}), "no http://"),
        (
            "artifact",
            json!({"path": "/x", "sha256": "0".repeat(64), "url": "http://a:b@x/"}),
            "user or password",
        ),
        ("hostname", json!({"name": "UPPER"}), "no host name"),
        ("user", json!({"name": "-x"}), "no user or group name"),
        ("authorized_key", json!({"user": "x", "key": "nonsense"}), "no public key"),
        ("mount", json!({"path": "/x/", "source": "a", "fstype": "ext4"}), "slash at its end"),
        ("mount", json!({"path": "/x", "source": "/y", "fstype": "none", "options": "bind"}), "a mount unit"),
    ] {
        let mistake = task(kind, body.clone()).mistake().unwrap_or_else(|| panic!("{kind} {body} passes"));
        assert!(mistake.contains(says), "{kind} {body}: {mistake}");
    }
    for (kind, body) in [
        ("line", json!({"path": "/x", "line": "a", "match": "{{ vars.x }}"})),
        ("line", json!({"path": "/x", "match": "a", "absent": true})),
        ("artifact", json!({"path": "/x", "sha256": "{{ item.sha256 }}", "url": "{{ item.url }}"})),
        ("artifact", json!({"path": "/x", "sha256": "a".repeat(64), "url": "https://x.example/a@b?c"})),
        ("hostname", json!({"name": "cp1.example.lan"})),
        ("command", json!({"run": "date", "after": ["/x"], "stamp": "/y"})),
    ] {
        assert_eq!(task(kind, body.clone()).mistake(), None, "{kind} {body}");
    }
}
