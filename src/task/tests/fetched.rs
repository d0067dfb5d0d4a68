//! Artifacts that hosts fetch themselves, from a server on loopback.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use super::*;

/// Serves this body to everybody who asks for `/file`, of whatever server; gives the address.
fn serve(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let line =
                String::from_utf8_lossy(&request[..read]).lines().next().unwrap_or_default().to_string();
            let found = line.split(' ').nth(1).is_some_and(|path| path.ends_with("/file"));
            let status = if found { "200 OK" } else { "404 Not Found" };
            let body = if found { body } else { b"" };
            // wget gives what it fetches that time.
            let old = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT";
            let head = format!("HTTP/1.0 {status}\r\n{old}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    format!("http://{address}")
}

/// Makes it true on a host that has these programs, and those that every host has. Nothing when this machine lacks
/// one of them.
async fn apply_with(host: &Local, programs: &[&str], artifact: &Task) -> Option<Result<(), String>> {
    let bin = tempfile::tempdir().unwrap();
    let always = ["sh", "mkdir", "rm", "sha256sum", "tr", "touch", "chown", "chmod", "mv"];
    for name in always.iter().chain(programs) {
        let folders = std::env::var_os("PATH")?;
        let path = std::env::split_paths(&folders).map(|dir| dir.join(name)).find(|it| it.exists())?;
        std::os::unix::fs::symlink(path, bin.path().join(name)).unwrap();
    }
    let [Act::Script { text, .. }] = &artifact.acts(&observe(host, std::slice::from_ref(artifact)).await)[..]
    else {
        panic!("one script")
    };
    let script = format!("export PATH={} no_proxy=127.0.0.1\n{text}", bin.path().display());
    let output = host.run(Script::new(script)).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status == 0 { Ok(()) } else { Err(complaint) })
}

#[tokio::test]
async fn a_host_fetches_with_what_it_has() {
    if !is_root() {
        return;
    }
    let url = serve(b"the file");
    for program in ["curl", "wget"] {
        let (folder, host) = (tempfile::tempdir().unwrap(), Local::open("here").await.unwrap());
        let path = folder.path().join("new folder/file").to_str().unwrap().to_string();
        let artifact = |name: &str, digest: String| {
            task("artifact", json!({"url": format!("{url}/{name}"), "sha256": digest, "path": path}))
        };
        let Some(refused) = apply_with(&host, &[program], &artifact("file", sha256(b"other"))).await else {
            eprintln!("skipped: no {program} here");
            continue;
        };
        let refused = refused.unwrap_err();
        assert!(refused.contains(&sha256(b"the file")) && refused.contains(&sha256(b"other")), "{refused}");
        let refused =
            apply_with(&host, &[program], &artifact("none", sha256(b"the file"))).await.unwrap().unwrap_err();
        assert!(refused.contains(&format!("{program} could not fetch {url}/none")), "{refused}");
        let good = artifact("file", sha256(b"the file"));
        apply_with(&host, &[program], &good).await.unwrap().unwrap();
        assert_eq!(good.diff(&observe(&host, std::slice::from_ref(&good)).await), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"the file");
        let age = std::fs::metadata(&path).unwrap().modified().unwrap().elapsed();
        assert!(
            age.is_ok_and(|age| age.as_secs() < 60),
            "{program}: what restarts after it sees nothing new"
        );
        // A wrong mode alone fetches nothing: there is no server any more at this address.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let gone = json!({"url": "http://127.0.0.1:9/file", "sha256": sha256(b"the file"), "path": path});
        converges(&host, &task("artifact", gone)).await;
        // A link makes room for the file, and what it leads to stays as it is.
        let other = folder.path().join("other");
        std::fs::rename(&path, &other).unwrap();
        std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        apply_with(&host, &[program], &good).await.unwrap().unwrap();
        assert_eq!(good.diff(&observe(&host, std::slice::from_ref(&good)).await), None);
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&other).unwrap().permissions())
                & 0o777,
            0o600
        );
        assert_eq!(
            std::fs::read_dir(folder.path().join("new folder")).unwrap().count(),
            1,
            "nothing temporary stays"
        );
    }
}

#[tokio::test]
async fn a_host_with_neither_is_told_what_to_do() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Local::open("here").await.unwrap());
    let path = folder.path().join("file").to_str().unwrap().to_string();
    let artifact = json!({"url": "http://127.0.0.1:9/file", "sha256": sha256(b""), "path": path});
    let refused = apply_with(&host, &[], &task("artifact", artifact)).await.unwrap().unwrap_err();
    assert!(refused.contains("neither curl nor wget") && refused.contains("`source`"), "{refused}");
}

#[tokio::test]
async fn the_proxy_is_that_of_the_host_s_environment() {
    let folder = tempfile::tempdir().unwrap();
    let Some(host) = super::machine::sandbox(folder.path()).await else { return };
    let proxy = serve(b"by proxy");
    let environment = format!("PATH=/nowhere\\nexport http_proxy=\"{proxy}\"\\nno_proxy=''\\n");
    host.run(Script::new(format!("printf '{}' > /etc/environment", environment.replace('\'', ""))))
        .await
        .unwrap();
    // Only the proxy can answer for this name.
    let artifact =
        json!({"url": "http://nowhere.invalid/file", "sha256": sha256(b"by proxy"), "path": "/mnt/file"});
    for program in ["curl", "wget"] {
        match apply_with(&host, &[program], &task("artifact", artifact.clone())).await {
            Some(fetched) => fetched.unwrap(),
            None => eprintln!("skipped: no {program} here"),
        }
        host.run(Script::new("rm -f /mnt/file")).await.unwrap();
    }
}

#[tokio::test]
async fn files_and_packages_are_fetched_by_the_proxy_of_the_shell_s_environment() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file").to_str().unwrap().to_string();
    let variable = format!("http_proxy={}", serve(b"by proxy"));
    let host = Local::with_shell("here", &["env", &variable, "sh"]).await.unwrap();
    let artifact = json!({"url": "http://nowhere.invalid/file", "sha256": sha256(b"by proxy"), "path": path});
    match apply_with(&host, &["curl"], &task("artifact", artifact)).await {
        Some(fetched) => fetched.unwrap(),
        None => eprintln!("skipped: no curl here"),
    }
    let package = task("package", json!({"names": ["socat"]}));
    let [Act::Script { text, .. }] = &package.acts(&Observations::default())[..] else {
        panic!("one script")
    };
    let apt = folder.path().join("apt-get");
    std::fs::write(&apt, "#!/bin/sh\nenv | grep '^http_proxy='\n").unwrap();
    std::fs::set_permissions(&apt, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!("PATH={}:$PATH\n{text}", folder.path().display());
    let output = host.run(Script::new(script)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), variable);
}
