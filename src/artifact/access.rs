//! Access to container registries: the logins that people have, and the tokens that registries want.
//!
//! Public registries answer everybody with 401 at first and name a service that hands out tokens, also to those
//! without a login. Sources: distribution's "token authentication specification", and docker's config.json.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::Error;

/// A token is some kilobytes; so is an answer that explains why there is none.
const MAX_ANSWER: usize = 1 << 20;

/// Logins, and the tokens that were had so far.
#[derive(Clone, Default)]
pub(super) struct Access {
    logins: Arc<HashMap<String, HeaderValue>>,
    /// What was let in, by the address of a repository.
    tokens: Arc<Mutex<HashMap<String, HeaderValue>>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("logins", &self.logins.keys()).finish_non_exhaustive()
    }
}

/// The part of docker's config.json that is looked at.
#[derive(Deserialize, Default)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Login>,
}

#[derive(Deserialize, Default)]
struct Login {
    /// `USER:PASSWORD` in base64.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Access {
    /// The logins of the environment's `DOCKER_AUTH_CONFIG`, or else of config.json in `DOCKER_CONFIG` or in
    /// `~/.docker`: where `docker login` and `podman login --authfile` write them.
    ///
    /// # Errors
    /// [`Error::BadLogins`] when there is something that cannot be read.
    pub fn of_user() -> Result<Access, Error> {
        if let Some(text) = std::env::var_os("DOCKER_AUTH_CONFIG") {
            return Access::parse("DOCKER_AUTH_CONFIG", &text.to_string_lossy());
        }
        let folder = std::env::var_os("DOCKER_CONFIG").map(Into::into);
        let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".docker")));
        let Some(path) = folder.map(|folder| folder.join("config.json")) else {
            return Ok(Access::default());
        };
        Access::load(&path)
    }

    fn load(path: &Path) -> Result<Access, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Access::parse(&path.display().to_string(), &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Access::default()),
            Err(cause) => Err(Error::Unreadable { path: path.to_owned(), cause }),
        }
    }

    fn parse(what: &str, text: &str) -> Result<Access, Error> {
        let bad = |reason: String| Error::BadLogins { what: what.to_owned(), reason };
        // What serde says may repeat a piece of the text: only the place is told.
        let config: DockerConfig = serde_json::from_str(text)
            .map_err(|error| bad(format!("it is no JSON as expected, line {}", error.line())))?;
        let mut logins = HashMap::new();
        for (name, Login { auth, username, password }) in config.auths {
            let auth = match auth.is_empty() {
                true if username.is_empty() => continue,
                true => BASE64.encode(format!("{username}:{password}")),
                false => auth,
            };
            let value = secret(&format!("Basic {auth}"))
                .ok_or_else(|| bad(format!("the login for {name} is no base64")))?;
            logins.insert(server(&name), value);
        }
        Ok(Access { logins: Arc::new(logins), ..Access::default() })
    }

    /// What was let in at this address before.
    pub fn known(&self, url: &str) -> Option<HeaderValue> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(repository(url)).cloned()
    }

    /// What to answer to a registry that wants to know who asks; nothing when there is nothing to say.
    ///
    /// # Errors
    /// [`Error::NoToken`] when the registry's token service does not give one.
    pub async fn answer(
        &self,
        client: &Client,
        url: &str,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        let Ok(address) = Url::parse(url) else { return Ok(None) };
        let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = all.filter_map(challenge).collect();
        let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let login = self.logins.get(&server(url));
        let no = |reason: String| Error::NoToken { registry: server(url), reason };
        if login.is_some() && !guarded(&address) {
            return Err(no(String::from("your login would travel in the clear: use https")));
        }
        let answer = match bearer.or(challenges.first()) {
            Some(Challenge::Bearer { realm, service, scope }) => {
                let mut service_url = Url::parse(realm).map_err(|error| no(format!("{realm}: {error}")))?;
                if address.scheme() == "https" && service_url.scheme() != "https" {
                    return Err(no(format!("it sends to {realm}, which is not https")));
                }
                for (key, value) in [("service", service), ("scope", scope)] {
                    if let Some(value) = value {
                        service_url.query_pairs_mut().append_pair(key, value);
                    }
                }
                Some(token(client, service_url, login).await.map_err(no)?)
            }
            Some(Challenge::Basic) => login.cloned(),
            None => None,
        };
        if let Some(answer) = &answer {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(repository(url).to_owned(), answer.clone());
        }
        Ok(answer)
    }
}

async fn token(client: &Client, url: Url, login: Option<&HeaderValue>) -> Result<HeaderValue, String> {
    let place = url.host_str().unwrap_or_default().to_owned();
    let mut request = client.get(url);
    if let Some(login) = login {
        request = request.header(AUTHORIZATION, login);
    }
    let mut response =
        request.send().await.map_err(|error| format!("{place} does not answer: {}", error.without_url()))?;
    let status = response.status();
    if !status.is_success() {
        let with = if login.is_some() { "with your login" } else { "without a login" };
        return Err(format!("{place} answers {} {with}", status.as_u16()));
    }
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err(format!("{place} answers with more than {MAX_ANSWER} bytes"));
        }
    }
    // The answer is a secret: no part of it may be told.
    let answer: Token =
        serde_json::from_slice(&body).map_err(|_| format!("{place} answers with something else"))?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if token.is_empty() {
        return Err(format!("{place} answers without a token"));
    }
    secret(&format!("Bearer {token}")).ok_or_else(|| format!("{place} answers with something else"))
}

/// A header that is never shown.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether nobody on the way can read what is sent.
fn guarded(url: &Url) -> bool {
    url.scheme() == "https" || matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// The part of an address that one token opens.
fn repository(url: &str) -> &str {
    ["/manifests/", "/blobs/"].iter().find_map(|part| Some(url.split_once(part)?.0)).unwrap_or(url)
}

/// The name and port of a registry in an address, and in the keys of config.json, which may have a scheme and a path.
fn server(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "docker.io" | "index.docker.io" => String::from("registry-1.docker.io"),
        name => name.to_owned(),
    }
}

/// Reads one value of WWW-Authenticate: a scheme, and `key="value"` with commas between.
fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match key.trim().trim_start_matches(',').trim() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            "scope" => scope = Some(value.to_owned()),
            _ => {}
        }
        rest = behind;
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_every_form() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) })
        };
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull,push"),
                ),
            ),
            (r#"bearer realm="https://a/t", error="invalid_token""#, bearer("https://a/t", None, None)),
            ("Bearer realm=https://a/t,service=x", bearer("https://a/t", Some("x"), None)),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("Negotiate", None),
            (r#"Bearer service="x""#, None),
            (r#"Bearer realm="open"#, None),
        ] {
            assert_eq!(challenge(text), expected, "{text}");
        }
    }

    #[test]
    fn logins_are_found_under_every_name_of_their_registry_and_never_shown() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
            "quay.io": {"username": "me", "password": "secret"},
            "ghcr.io": {},
            "127.0.0.1:5000": {"auth": "eDp5"}}, "credsStore": "desktop"}"#;
        let access = Access::parse("test", text).unwrap();
        let login =
            |url: &str| access.logins.get(&server(url)).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(login("https://registry-1.docker.io/v2/a").as_deref(), Some("Basic aHViOnNlY3JldA=="));
        assert_eq!(login("https://quay.io/v2/a").as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(login("http://127.0.0.1:5000/v2/a").as_deref(), Some("Basic eDp5"));
        assert_eq!(login("https://ghcr.io/v2/a"), None);
        let shown = format!("{access:?}");
        assert!(!shown.contains("bWU6") && shown.contains("quay.io"), "{shown}");
    }

    #[test]
    fn logins_that_cannot_be_read_are_refused_without_repeating_them() {
        for text in [r#"{"auths": {"a": {"auth": 7}}} secret"#, r#"{"auths": {"a": {"auth": "sec\nret"}}}"#] {
            let error = Access::parse("config.json", text).unwrap_err().to_string();
            assert!(error.contains("config.json") && !error.contains("sec"), "{error}");
        }
        assert!(Access::load(Path::new("/nowhere/config.json")).unwrap().logins.is_empty());
    }

    #[test]
    fn a_token_opens_one_repository() {
        for url in ["https://q/v2/a/b/manifests/v1", "https://q/v2/a/b/blobs/sha256:00"] {
            assert_eq!(repository(url), "https://q/v2/a/b");
        }
    }
}
