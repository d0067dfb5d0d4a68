//! Artifacts that hosts fetch themselves, from a server on loopback.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use super::*;

/// Serves this body to everybody who asks for `/file`; gives the address.
fn serve(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let found = request[..read].starts_with(b"GET /file ");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let body = if found { body } else { b"" };
            let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    format!("http://{address}")
}

/// A shell that finds these programs and what every host has, and no other.
async fn with_programs(folder: &std::path::Path, programs: &[&str]) -> Option<Local> {
    let always = ["sh", "mkdir", "rm", "sha256sum", "tr", "chown", "chmod", "mv", "stat"];
    for name in always.iter().chain(programs) {
        let path = std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|it| it.exists())?;
        std::os::unix::fs::symlink(path, folder.join(name)).unwrap();
    }
    let path = format!("PATH={}", folder.display());
    Some(Local::with_shell("here", &["env", &path, "no_proxy=127.0.0.1", "/bin/sh"]).await.unwrap())
}

#[tokio::test]
async fn a_host_fetches_with_what_it_has() {
    if !is_root() {
        return;
    }
    let url = serve(b"the file");
    for program in ["curl", "wget"] {
        let (bin, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let Some(host) = with_programs(bin.path(), &[program]).await else {
            eprintln!("skipped: no {program} here");
            continue;
        };
        let path = folder.path().join("new folder/file").to_str().unwrap().to_string();
        let artifact = |name: &str, digest: String| {
            task("artifact", json!({"url": format!("{url}/{name}"), "sha256": digest, "path": path}))
        };
        let refused = apply(&host, &artifact("file", sha256(b"other"))).await.unwrap_err();
        assert!(refused.contains(&sha256(b"the file")) && refused.contains(&sha256(b"other")), "{refused}");
        let refused = apply(&host, &artifact("none", sha256(b"the file"))).await.unwrap_err();
        assert!(refused.contains(&format!("{program} could not fetch {url}/none")), "{refused}");
        converges(&host, &artifact("file", sha256(b"the file"))).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"the file");
        // A wrong mode alone fetches nothing: there is no server any more at this address.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let gone = json!({"url": "http://127.0.0.1:9/file", "sha256": sha256(b"the file"), "path": path});
        converges(&host, &task("artifact", gone)).await;
        assert_eq!(std::fs::read_dir(folder.path().join("new folder")).unwrap().count(), 1, "nothing temporary stays");
    }
}

#[tokio::test]
async fn a_host_with_neither_is_told_what_to_do() {
    let (bin, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = with_programs(bin.path(), &[]).await.unwrap();
    let path = folder.path().join("file").to_str().unwrap().to_string();
    let artifact = json!({"url": "http://127.0.0.1:9/file", "sha256": sha256(b""), "path": path});
    let refused = apply(&host, &task("artifact", artifact)).await.unwrap_err();
    assert!(refused.contains("neither curl nor wget") && refused.contains("`source`"), "{refused}");
}
