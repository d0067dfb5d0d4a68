use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::Stdio,
    sync::{Arc, Mutex},
};

use super::*;
use crate::addon::gate::testing::Cluster;

const THEIRS: &str = "ada:$2y$05$aaaa\n";

/// A registry in memory, after the specification.
#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, String>,
    asked: Vec<String>,
    /// It loses what is pushed.
    forgets: bool,
    /// It never reads its users again.
    blind: bool,
    /// It takes everybody.
    open: bool,
}

impl Kept {
    fn answer(&mut self, question: &str, users: &str) -> (u16, String) {
        let (head, body) = question.split_once("\r\n\r\n").unwrap();
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        self.asked.push(format!("{method} {target}"));
        assert!(head.contains("\r\nHost: registry.test\r\n"), "{head}");
        let login = head.lines().find_map(|line| line.strip_prefix("Authorization: Basic "));
        let user = login.map(|login| String::from_utf8(STANDARD.decode(login).unwrap()).unwrap());
        let known = user.is_some_and(|user| users.contains(user.split(':').next().unwrap()));
        let empty = |status| (status, "\r\n".to_owned());
        if !(known && !self.blind || self.open) {
            return empty(401);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match method {
            "GET" if path == "/v2/" => empty(200),
            "GET" => match self.objects.get(path) {
                Some(body) => (200, format!("\r\n{body}")),
                None => empty(404),
            },
            "POST" => {
                let to = "http://registry.test/v2/hoist-gate/blobs/uploads/1?_state=x";
                (202, format!("Location: {to}\r\n\r\n"))
            }
            "PUT" if !self.forgets => {
                let (_, wanted) = query.split_once("digest=").unwrap_or(("", ""));
                let path = match path.contains("/uploads/") {
                    true => format!("/v2/hoist-gate/blobs/{wanted}"),
                    false => path.to_owned(),
                };
                assert!(path.ends_with(&digest(body)), "{path}");
                self.objects.insert(path, body.to_owned());
                empty(201)
            }
            "PUT" => empty(201),
            _ => empty(if self.objects.remove(path).is_some() { 202 } else { 404 }),
        }
    }
}

/// A registry's objects. `reads` is told its users when its pod was touched.
async fn site(reads: impl Fn(String) + Send + 'static) -> Cluster {
    let mut cluster = Cluster::new(&["w1"]).await;
    let metadata = |name: &str| json!({"name": name, "namespace": "registry", "labels": {"app.kubernetes.io/name": "registry"}});
    cluster.put(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("registry"),
                       "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}}));
    cluster.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata("registry-1")}));
    cluster.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("users"),
                       "data": {"htpasswd": STANDARD.encode(THEIRS)}}));
    cluster.settings("host", "registry.test");
    cluster.on_write(move |objects| {
        let read = STANDARD.decode(text(&objects.find_mut("Secret", "users").unwrap()["data"]["htpasswd"]));
        let pod = objects.find_mut("Pod", "registry-1").unwrap();
        if pod["metadata"]["annotations"][LOOK].is_string() {
            reads(String::from_utf8(read.unwrap()).unwrap());
        }
    });
    cluster
}

async fn cluster(kept: Kept) -> (Cluster, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(kept));
    let users = Arc::new(Mutex::new(String::new()));
    let (reads, answers) = (users.clone(), kept.clone());
    let mut cluster = site(move |text| *reads.lock().unwrap() = text).await;
    cluster.on_question(move |to, question| {
        assert_eq!(to.to_string(), "10.96.0.7:80");
        answers.lock().unwrap().answer(question, &users.lock().unwrap())
    });
    (cluster, kept)
}

/// Distribution itself, as Debian packs it.
#[tokio::test]
async fn distribution_itself_keeps_an_image() {
    if !std::path::Path::new("/usr/bin/docker-registry").exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "tests/run installs docker-registry");
        eprintln!("skipped: there is no docker-registry");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (users, data) = (folder.path().join("htpasswd"), folder.path().join("data"));
    std::fs::write(&users, THEIRS).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}, cache: {{blobdescriptor: inmemory}}}}\n\
         auth: {{htpasswd: {{realm: registry.test, path: {}}}}}\nhttp: {{addr: \"{free}\"}}\n",
        data.display(),
        users.display()
    );
    std::fs::write(folder.path().join("config.yml"), config).unwrap();
    let mut command = std::process::Command::new("docker-registry");
    command.arg("serve").arg(folder.path().join("config.yml"));
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let file = users.clone();
    let mut cluster = site(move |text| std::fs::write(&file, text).unwrap()).await;
    cluster.on_question(move |_, question| {
        let mut came = String::new();
        // It is about to listen.
        let Ok(mut stream) = std::net::TcpStream::connect(free) else { return (503, "\r\n".to_owned()) };
        stream.write_all(question.as_bytes()).unwrap();
        stream.read_to_string(&mut came).unwrap();
        let (head, rest) = came.split_once("\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), rest.to_owned())
    });
    let proof = cluster.pass(&ImageKept, "registry").await;
    process.kill().unwrap();
    process.wait().unwrap();
    let proof = proof.unwrap();
    assert_eq!(proof.seen[1], "an image of 64 KiB was pushed, read back by its digests, and deleted");
    assert_eq!(std::fs::read_to_string(&users).unwrap(), THEIRS);
}

fn users_now(cluster: &Cluster) -> String {
    let secret = cluster.object("Secret", "users");
    String::from_utf8(STANDARD.decode(text(&secret["data"]["htpasswd"])).unwrap()).unwrap()
}

#[tokio::test]
async fn an_image_goes_in_and_out_and_nothing_is_left() {
    let (cluster, kept) = cluster(Kept::default()).await;
    let proof = cluster.pass(&ImageKept, "registry").await.unwrap();
    assert!(proof.seen[0].ends_with("and nobody without a login"), "{proof:?}");
    assert_eq!(proof.seen[1], "an image of 64 KiB was pushed, read back by its digests, and deleted");
    assert_eq!(users_now(&cluster), THEIRS);
    let kept = kept.lock().unwrap();
    assert!(kept.objects.is_empty(), "{:?}", kept.objects.keys());
    assert_eq!(kept.asked.iter().filter(|asked| asked.starts_with("PUT")).count(), 3);
}

#[tokio::test]
async fn what_is_lost_closes_the_gate_and_the_user_goes_all_the_same() {
    let (cluster, _) = cluster(Kept { forgets: true, ..Kept::default() }).await;
    let words = cluster.pass(&ImageKept, "registry").await.unwrap_err().to_string();
    assert_eq!(words, "the manifest is read back: status 404; expected: status 200");
    assert_eq!(users_now(&cluster), THEIRS);
}

#[tokio::test]
async fn one_that_takes_everybody_or_nobody_is_told() {
    let (cluster, _) = self::cluster(Kept { open: true, ..Kept::default() }).await;
    let words = cluster.pass(&ImageKept, "registry").await.unwrap_err().to_string();
    assert_eq!(words, "asked without a login: status 200; expected: status 401");
    let (cluster, _) = self::cluster(Kept { blind: true, ..Kept::default() }).await;
    let words = cluster.pass(&ImageKept, "registry").await.unwrap_err().to_string();
    assert_eq!(words, "a user that was added 180 s ago logs in: status 401; expected: status 200");
    assert_eq!(users_now(&cluster), THEIRS);
}

#[test]
fn an_upload_goes_on_where_it_is_told_to() {
    assert_eq!(path("https://r.test:5000/v2/a?_state=1").unwrap(), "/v2/a?_state=1");
    assert_eq!(path("/v2/a").unwrap(), "/v2/a");
    assert_eq!(path("http://r.test"), None);
}
