//! Users, and the keys that may log in as them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Kind, Observations, Probe, Text,
    edit::{drop_lines, put, set_line},
    is_template, quote,
};

/// A local user. No password is ever set: whoever logs in does so with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: String,
    /// For a program and not for a person: a low number, and no home directory is made.
    #[serde(default)]
    pub system: bool,
    /// Groups that the user is in besides its own. They must exist; other groups of the user stay.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The login shell. If it is not given, a new user gets what the distribution gives.
    #[serde(default)]
    pub shell: Option<String>,
    /// The home directory. If it is not given, a new user gets what the distribution gives. What is in the old one
    /// is not moved.
    #[serde(default)]
    pub home: Option<String>,
    /// The user must not be there. Its files stay.
    #[serde(default)]
    pub absent: bool,
}

/// A public key that may log in as a user, in the user's `~/.ssh/authorized_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The user, who must exist by then.
    pub user: String,
    /// The line, such as `ssh-ed25519 AAAA… ada@laptop`, with options before it if need be. A line with the same
    /// key and other options or another comment is replaced.
    pub key: String,
    /// The key must not be there.
    #[serde(default)]
    pub absent: bool,
}

impl User {
    fn missing_groups(&self, present: &BTreeSet<String>) -> String {
        self.groups.difference(present).map(String::as_str).collect::<Vec<_>>().join(",")
    }
}

impl Kind for User {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::User(self.name.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let now = match (seen.users.get(&self.name), self.absent) {
            (None, true) => return None,
            (Some(_), true) => return Some(Change::new(format!("remove user {}", self.name))),
            (None, false) => return Some(Change::new(format!("create user {}", self.name))),
            (Some(now), false) => now,
        };
        let mut change = Change::new(format!("change user {}", self.name));
        for (name, from, to) in [("shell", &now.shell, &self.shell), ("home", &now.home, &self.home)] {
            if let Some(to) = to.as_ref().filter(|to| *to != from) {
                change = change.attribute(name, from, to);
            }
        }
        let missing = self.missing_groups(&now.groups);
        if !missing.is_empty() {
            change = change.attribute("groups", "without", missing);
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let name = quote(&self.name);
        let option = |flag: &str, value: Option<&str>| {
            value.map(|value| format!(" {flag} {}", quote(value))).unwrap_or_default()
        };
        let groups =
            |flag: &str, groups: String| option(flag, Some(groups.as_str()).filter(|it| !it.is_empty()));
        let (shell, home) = (option("--shell", self.shell.as_deref()), self.home.as_deref());
        let text = match (seen.users.get(&self.name), self.absent) {
            (Some(_), true) => format!("userdel {name}"),
            (None, true) => return Vec::new(),
            (Some(now), false) => format!(
                "usermod{shell}{}{} {name}",
                option("--home", home),
                groups("--append --groups", self.missing_groups(&now.groups)),
            ),
            // A password that nothing matches. The `!` that useradd(8) writes by itself locks the account, and
            // sshd without PAM then refuses keys as well.
            (None, false) => format!(
                "useradd --password '*' {}{shell}{}{} {name}",
                if self.system { "--system --no-create-home" } else { "--create-home" },
                option("--home-dir", home),
                groups("--groups", self.missing_groups(&BTreeSet::new())),
            ),
        };
        vec![Act::quick(text)]
    }

    fn mistake(&self) -> Option<String> {
        let odd = |name: &&String| {
            !is_template(name)
                && (name.is_empty() || name.starts_with('-') || name.contains([':', ',', '/', ' ', '\n']))
        };
        [&self.name]
            .into_iter()
            .chain(&self.groups)
            .find(odd)
            .map(|name| format!("\"{name}\" is no user or group name"))
    }
}

impl AuthorizedKey {
    /// The name under which the list is observed.
    fn list(&self) -> String {
        format!("~{}", self.user)
    }

    /// The list as it is and as it shall be.
    fn edited<'a>(&self, seen: &'a Observations) -> Result<(Option<&'a str>, String), String> {
        let now = match seen.texts.get(&self.list()) {
            Some(Text::Unfit(what)) => return Err(format!("the list of {}'s keys is {what}", self.user)),
            Some(Text::Known(now)) => Some(now.as_str()),
            None => None,
        };
        let text = now.unwrap_or_default();
        let key = key_of(&self.key);
        let is = |line: &str| key.is_some() && key_of(line) == key;
        Ok((now, if self.absent { drop_lines(text, is) } else { set_line(text, &self.key, is, |_| false) }))
    }
}

/// The key itself: the word of base64, which begins with the length of the name of its kind (RFC 4253, 6.6).
fn key_of(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| !line.trim_start().starts_with('#') && word.starts_with("AAAA"))
}

impl Kind for AuthorizedKey {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Text(self.list())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let verb = if self.absent { "take away" } else { "let in" };
        // The key's end tells it from others; the rest of the list is nobody's business.
        let key = key_of(&self.key).unwrap_or_default();
        let change =
            Change::new(format!("{verb} the key …{} of {}", &key[key.len().saturating_sub(8)..], self.user));
        match self.edited(seen) {
            Ok((now, then)) => (then != now.unwrap_or_default()).then_some(change),
            Err(why) => Some(change.attribute("cannot be edited", why, "text")),
        }
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let (now, then) = match self.edited(seen) {
            Ok(edited) => edited,
            Err(why) => return vec![Act::refuse(&why)],
        };
        // As the user: what root writes into a folder of the user, a link there could lead anywhere.
        let write = format!(
            "umask 077\nmkdir -p .ssh && chmod 0700 .ssh || exit 1\npath=.ssh/authorized_keys\n{}",
            put(now, &then, "0600")
        );
        let user = quote(&self.user);
        vec![Act::quick(format!(
            "home=$(getent passwd {user} | cut -d: -f6) && [ -n \"$home\" ] || {{ echo 'there is no such user' >&2; exit 1; }}\n\
             cd \"$home\" && printf %s {} | runuser -u {user} -- sh",
            quote(&write)
        ))]
    }

    fn foresee(&self, seen: &mut Observations) {
        if let Ok((_, then)) = self.edited(seen) {
            seen.texts.insert(self.list(), Text::Known(then));
        }
    }

    fn mistake(&self) -> Option<String> {
        let one_key = !self.key.trim().contains('\n') && key_of(&self.key).is_some_and(str::is_ascii);
        (!is_template(&self.key) && !one_key).then(|| {
            "`key` is no public key: it is the line of an id_….pub file, such as `ssh-ed25519 AAAA… ada@laptop`"
                .to_string()
        })
    }
}
