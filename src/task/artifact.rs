//! Files that are known by their digest.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::transport::Script;

use super::{
    Act, Change, Delivery, Kind, Mode, Observations, Probe, is_template, quote,
    whole::{attributes, digest_mistake, short},
};

fn executable() -> Mode {
    Mode(0o755)
}

/// A file with exactly this digest, for what is too large or too binary to be a template. It comes from the installer
/// (`source`), or each host fetches it itself (`url`). With both, what a host cannot fetch comes from the installer. The
/// installer sends a file once to each site; there hosts pass it on to each other, so it must be no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The local file that is sent.
    #[serde(default)]
    pub source: Option<String>,
    /// Where the host fetches it, by HTTP or HTTPS, with curl or wget and through the proxy of its environment or
    /// of its `/etc/environment`.
    #[serde(default)]
    pub url: Option<String>,
    /// Lower-case hex SHA-256 of its content.
    pub sha256: String,
    /// Absolute path on the host. The owner is root.
    pub path: String,
    /// Permission bits, set-id bits included.
    #[serde(default = "executable")]
    pub mode: Mode,
}

impl Artifact {
    /// How the installer brings it, if it does.
    pub(super) fn delivery(&self) -> Option<Delivery> {
        Some(Delivery {
            source: self.source.clone()?,
            destination: self.path.clone(),
            sha256: self.sha256.clone(),
            mode: self.mode,
            url: self.url().map(String::from),
            public: true,
            beside: None,
        })
    }

    /// Templates that have no address write none.
    fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }

    fn has_content(&self, seen: &Observations) -> bool {
        seen.paths.get(&self.path).is_some_and(|now| now.sha256.as_deref() == Some(&self.sha256))
    }
}

impl Kind for Artifact {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let Some(now) = seen.paths.get(&self.path) else {
            return Some(Change::new(format!("install {} ({})", self.path, self.mode)));
        };
        let mut change = Change::new(format!("install {}", self.path));
        if !self.has_content(seen) {
            let from = now.sha256.as_deref().map_or_else(|| now.kind().to_string(), short);
            change = change.attribute("content", from, short(&self.sha256));
        }
        attributes(&mut change, now, self.mode, "root", "root");
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        if let Some(delivery) = self.delivery() {
            // Sending compares the digest first, so that a wrong mode alone sends nothing.
            return vec![Act::Send(delivery)];
        }
        if self.has_content(seen) {
            let path = quote(&self.path);
            return vec![Act::quick(format!("chown 0:0 {path} && chmod {} {path}", self.mode))];
        }
        let url = self.url.as_deref().unwrap_or_default();
        let Script { text, timeout, .. } = fetch_script(url, &self.sha256, &self.path, self.mode);
        vec![Act::Script { text, stdin: None, timeout }]
    }

    fn foresee(&self, seen: &mut Observations) {
        if !self.has_content(seen) {
            seen.will_write(&self.path, &self.sha256, None);
        }
    }

    fn mistake(&self) -> Option<String> {
        if let Some(mistake) = digest_mistake(&self.sha256) {
            return Some(mistake);
        }
        match (&self.source, &self.url) {
            (Some(_), None) => None,
            (Some(_), Some(url)) if url.is_empty() => None,
            (_, Some(url)) if is_template(url) => None,
            (_, Some(url)) => wrong_url(url),
            (None, None) => Some("an artifact needs either `source` or `url`".to_string()),
        }
    }
}

/// What is wrong with a URL that hosts shall fetch.
fn wrong_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) else {
        return Some(format!("`url` is \"{url}\", no http:// or https:// address"));
    };
    // It would stand in the host's list of processes.
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    server
        .contains('@')
        .then(|| "`url` holds a user or password, which others on the host could see".to_string())
}

/// Has a host fetch a file: it says on standard error why it could not.
pub fn fetch_script(url: &str, sha256: &str, path: &str, mode: Mode) -> Script {
    let text = format!("url={} want={sha256} dest={} mode={mode}\n{FETCH}", quote(url), quote(path),);
    Script::new(text).timeout(Duration::from_secs(3600))
}

/// Fetches `url` beside `dest`, compares its digest with `want`, and renames it. A program started by sshd or sudo
/// does not have the proxy that people have: it is taken from where pam_env(8) takes it. Where
/// nothing leads there it gives up within a minute, for the file may come another way. wget gives a file the time that
/// the server says; here it is as new as it is to this host, so that what is to restart after it does.
const FETCH: &str = r#"
fail() { rm -f "$part"; echo "$*" >&2; exit 1; }
dir=${dest%/*} part=${dest%/*}/.${dest##*/}.hoist
[ ! -d "$dest" ] || fail "$dest is a directory"
proxies() {
    while IFS='=' read -r name value; do
        name=${name#export }
        case $name in
        http_proxy | https_proxy | all_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY)
            eval "known=\${$name:-}"
            [ -n "$known" ] || export "$name=$(printf %s "$value" | tr -d \"\')"
            ;;
        esac
    done
}
proxies <<END
$HOIST_PROXIES
END
[ ! -r /etc/environment ] || proxies < /etc/environment
mkdir -p "${dir:-/}" && rm -f "$part" || exit 1
if [ -f "$dest" ] && [ ! -L "$dest" ] && sum=$(sha256sum < "$dest") && [ "${sum%% *}" = "$want" ]; then
    chown 0:0 "$dest" && chmod "$mode" "$dest"
    exit
fi
if command -v curl >/dev/null; then
    curl -fsSL --retry 3 --connect-timeout 10 --speed-limit 1 --speed-time 60 -o "$part" "$url" || fail "curl could not fetch $url"
elif command -v wget >/dev/null; then
    wget -q -t 3 -T 60 --dns-timeout=10 --connect-timeout=10 -O "$part" "$url" || fail "wget could not fetch $url (status $?)"
else
    fail 'there is neither curl nor wget: install one before, or send the file from the installer with `source`'
fi
sum=$(sha256sum < "$part") && sum=${sum%% *} || fail "cannot read $part"
[ "$sum" = "$want" ] || fail "$url has the digest $sum, not $want: compare it with what the publisher says"
touch "$part" && chown 0:0 "$part" && chmod "$mode" "$part" && mv -f "$part" "$dest" || fail "cannot put $dest in place"
"#;
