//! Registries that want a token or a login: Debian's container registry with both, and a token service beside it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{commands::Site, sha256};

const PASSWORD: &str = "correct-horse";
/// Of user `hoist` with the password `secret`: the only kind of hash that the registry reads.
const HTPASSWD: &str = "hoist:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A token service that signs what the registry believes.
struct Tokens {
    folder: TempDir,
    port: u16,
    /// What was asked for: scope, and whether with a login.
    log: Arc<Mutex<Vec<String>>>,
}

impl Tokens {
    /// `anonymous`: whether those without a login get a token.
    fn start(anonymous: bool) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"]);
        command.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder.path());
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (shared, home) = (Arc::clone(&log), folder.path().to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The folder goes with the test, and this with the process.
                drop(answer(stream, &home, anonymous, &shared));
            }
        });
        Tokens { folder, port, log }
    }

    fn auth(&self) -> Value {
        json!({"token": {
            "realm": format!("http://127.0.0.1:{}/token", self.port),
            "service": "registry", "issuer": "tokens",
            "rootcertbundle": self.folder.path().join("cert.pem"),
        }})
    }
}

fn answer(
    mut stream: TcpStream,
    home: &Path,
    anonymous: bool,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut login) = (String::new(), None);
    if reader.read_line(&mut first)? == 0 {
        // A connection that was opened in vain.
        return Ok(());
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) =
            line.to_lowercase().starts_with("authorization: basic ").then(|| line[21..].trim())
        {
            login = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        }
    }
    let url = reqwest::Url::parse(&format!("http://x{}", first.split(' ').nth(1).unwrap())).unwrap();
    let of = |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    let scope = of("scope").unwrap_or_default();
    let known = login.as_deref() == Some(&format!("me:{PASSWORD}"));
    log.lock().unwrap().push(format!("{scope} {}", if login.is_some() { "login" } else { "nobody" }));
    let (status, body) = match known || (anonymous && login.is_none()) {
        true => ("200 OK", json!({"token": token(home, &scope, &of("service").unwrap())}).to_string()),
        false => ("401 Unauthorized", String::from("{}")),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A JSON Web Token that lets its bearer pull from the repository in the scope.
fn token(home: &Path, scope: &str, service: &str) -> String {
    let cert = fs::read_to_string(home.join("cert.pem")).unwrap();
    let der: String = cert.lines().filter(|line| !line.starts_with('-')).collect();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let name = scope.split(':').nth(1).unwrap_or_default();
    let claims = json!({
        "iss": "tokens", "sub": "", "aud": service, "iat": now, "nbf": now - 5, "exp": now + 300,
        "jti": sha256(scope.as_bytes()),
        "access": [{"type": "repository", "name": name, "actions": ["pull"]}],
    });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign", "key.pem"]).current_dir(home);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let signature = child.wait_with_output().unwrap().stdout;
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What `docker login` writes.
fn logins(registry: &str, user: &str, password: &str) -> String {
    let server = registry.trim_start_matches("http://");
    json!({"auths": {server: {"auth": STANDARD.encode(format!("{user}:{password}"))}}}).to_string()
}

const FETCH: [&str; 4] = ["lock", "-i", "site.yaml", "--fetch"];

#[tokio::test]
async fn a_registry_that_gives_tokens_to_everybody_is_read() {
    let Some(site) = Site::new().await else { return };
    let tokens = Tokens::start(true);
    let registry = site.registry.guarded(&tokens.auth());
    let url = registry.url();
    let (exit, _, errors) = site.hoist_with(&FETCH, &[("HOIST_REGISTRY", &url)]);
    assert_eq!(exit, 0, "{errors}");
    assert!(errors.contains("5 files, 7 images"), "{errors}");
    let log = tokens.log.lock().unwrap().clone();
    assert!(
        log.iter().all(|line| line.starts_with("repository:k8s.gcr.io/") && line.ends_with(":pull nobody")),
        "{log:?}"
    );
    // One opens manifests and layers of its repository. Those that ask at the same time may each get one.
    assert!((7..=14).contains(&log.len()), "{log:?}");
}

#[tokio::test]
async fn a_registry_that_wants_a_login_gets_the_one_that_is_kept_for_it() {
    let Some(site) = Site::new().await else { return };
    let tokens = Tokens::start(false);
    let registry = site.registry.guarded(&tokens.auth());
    let url = registry.url();
    let named = ("HOIST_REGISTRY", url.as_str());
    let (exit, _, errors) = site.hoist_with(&FETCH, &[named]);
    assert_eq!(exit, 1, "{errors}");
    assert!(errors.contains("401 without a login") && errors.contains("docker login 127.0.0.1"), "{errors}");

    let wrong = logins(&url, "me", "wrong-password");
    let (exit, output, errors) = site.hoist_with(&FETCH, &[named, ("DOCKER_AUTH_CONFIG", &wrong)]);
    assert!(exit == 1 && errors.contains("401 with your login"), "{errors}");
    assert!(!format!("{output}{errors}").contains("wrong-password"), "{errors}");

    // Another registry's login is nobody's business.
    let other = logins("registry.example.org", "me", PASSWORD);
    let fresh = Tokens::start(false);
    let beside = site.registry.guarded(&fresh.auth());
    assert_eq!(
        site.hoist_with(&FETCH, &[("HOIST_REGISTRY", &beside.url()), ("DOCKER_AUTH_CONFIG", &other)]).0,
        1
    );
    let log = fresh.log.lock().unwrap().clone();
    assert!(!log.is_empty() && log.iter().all(|line| line.ends_with("nobody")));

    let right = logins(&url, "me", PASSWORD);
    let (exit, output, errors) = site.hoist_with(&FETCH, &[named, ("DOCKER_AUTH_CONFIG", &right)]);
    assert_eq!(exit, 0, "{errors}");
    assert!(!format!("{output}{errors}{}", site.lock_text()).contains(PASSWORD));
}

#[tokio::test]
async fn a_registry_with_passwords_reads_those_of_config_json() {
    let Some(site) = Site::new().await else { return };
    fs::write(site.path("htpasswd"), HTPASSWD).unwrap();
    let auth = json!({"htpasswd": {"realm": "registry", "path": site.path("htpasswd")}});
    let registry = site.registry.guarded(&auth);
    let url = registry.url();
    let named = [("HOIST_REGISTRY", url.as_str())];
    let (exit, _, errors) = site.hoist_with(&FETCH, &named);
    assert!(
        exit == 69 && errors.contains("answered with 401") && errors.contains("docker login"),
        "{exit} {errors}"
    );
    // The home folder of these runs is the site's.
    fs::create_dir(site.path(".docker")).unwrap();
    fs::write(site.path(".docker/config.json"), logins(&url, "hoist", "secret")).unwrap();
    let (exit, _, errors) = site.hoist_with(&FETCH, &named);
    assert_eq!(exit, 0, "{errors}");
    fs::write(site.path(".docker/config.json"), "{broken").unwrap();
    let (exit, _, errors) = site.hoist_with(&FETCH, &named);
    assert!(exit == 71 && errors.contains("holds no logins that can be used"), "{exit} {errors}");
}
