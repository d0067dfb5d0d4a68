//! The answer of `ssh -G`.

use std::{env, path::PathBuf, time::Duration};

/// The value of what no file says.
pub(super) const UNSAID: &str = "hoist-was-told-nothing";

/// What the files say of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::transport) struct Said {
    /// The name that it was looked up under.
    typed: String,
    pub(in crate::transport) hostname: Option<String>,
    pub(in crate::transport) user: Option<String>,
    pub(in crate::transport) port: Option<u16>,
    pub(in crate::transport) host_key_alias: Option<String>,
    /// With tokens, see [`Said::expand`]; empty when a file says `none`.
    pub(in crate::transport) identity_files: Option<Vec<String>>,
    pub(in crate::transport) certificate_files: Vec<String>,
    pub(in crate::transport) identities_only: bool,
    pub(in crate::transport) identity_agent: Option<String>,
    pub(in crate::transport) known_hosts: Option<Vec<String>>,
    /// ssh's own default where no file says any; none when ssh was not asked.
    pub(in crate::transport) global_known_hosts: Option<Vec<PathBuf>>,
    pub(in crate::transport) revoked: Option<String>,
    pub(in crate::transport) proxy_jump: Option<String>,
    pub(in crate::transport) proxy_command: Option<String>,
    pub(in crate::transport) connect_timeout: Option<Duration>,
    pub(in crate::transport) keepalive: Option<Duration>,
}

impl Said {
    /// Reads what `ssh -G TYPED` printed: a keyword and its value a line.
    pub(super) fn parse(text: &str, typed: &str) -> Said {
        let mut said = Said { typed: typed.to_owned(), ..Said::default() };
        for (keyword, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let value = value.trim();
            if value == UNSAID {
                continue;
            }
            let text = || Some(value.to_owned());
            // A time of 0, or one that is no number, is "none".
            let seconds = || value.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
            let files = || value.split_ascii_whitespace().filter(|file| *file != "none");
            match keyword {
                "hostname" => said.hostname = text(),
                "user" => said.user = text(),
                "port" => said.port = value.parse().ok(),
                "hostkeyalias" => said.host_key_alias = text(),
                "identityfile" => {
                    let files = said.identity_files.get_or_insert_default();
                    files.extend(text().filter(|file| file != "none"));
                }
                "certificatefile" if value != "none" => said.certificate_files.push(value.to_owned()),
                "identitiesonly" => said.identities_only = value == "yes",
                "identityagent" => said.identity_agent = text(),
                "userknownhostsfile" => said.known_hosts = Some(files().map(str::to_owned).collect()),
                "globalknownhostsfile" => {
                    said.global_known_hosts = Some(files().map(PathBuf::from).collect());
                }
                "revokedhostkeys" if value != "none" => said.revoked = text(),
                "proxyjump" if value != "none" => said.proxy_jump = text(),
                "proxycommand" if value != "none" => said.proxy_command = text(),
                "connecttimeout" => said.connect_timeout = seconds(),
                "serveraliveinterval" => said.keepalive = seconds(),
                _ => {}
            }
        }
        said
    }

    /// Fills in the tokens of ssh_config(5), section TOKENS, and `${VARIABLE}`s. `address`, `port` and `user` are
    /// what was decided in the end.
    ///
    /// # Errors
    /// Which token or variable cannot be filled in.
    pub(in crate::transport) fn expand(
        &self,
        text: &str,
        address: &str,
        port: u16,
        user: &str,
    ) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some((name, after)) = rest.strip_prefix("${").and_then(|name| name.split_once('}')) {
                filled += &env::var(name).map_err(|_| format!("${{{name}}} in `{text}` is not set"))?;
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix('$') {
                filled.push('$');
                rest = after;
                continue;
            }
            let token = rest.chars().nth(1);
            match token {
                Some('%') => filled.push('%'),
                Some('d') => filled += &env::home_dir().unwrap_or_default().to_string_lossy(),
                Some('h') => filled += address,
                Some('i') => filled += &nix::unistd::getuid().to_string(),
                Some('k') => filled += self.host_key_alias.as_deref().unwrap_or(&self.typed),
                Some('n') => filled += &self.typed,
                Some('p') => filled += &port.to_string(),
                Some('r') => filled += user,
                Some('u') => filled += &local_user(),
                token => {
                    let token = token.map(String::from).unwrap_or_default();
                    return Err(format!("%{token} in `{text}` is not known to hoist"));
                }
            }
            // All known tokens are two bytes long.
            rest = &rest[2..];
        }
        Ok(filled + rest)
    }
}

fn local_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    user.ok().flatten().map(|user| user.name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_ssh() {
        // Some of what OpenSSH 9.2 prints, in its order.
        let said = Said::parse(
            "host w1\nuser hoist-was-told-nothing\nhostname 10.0.0.1\nport 2222\nidentitiesonly yes\n\
             serveraliveinterval 7\nhostkeyalias alias\nidentityagent none\nidentityfile ~/.ssh/id_%h\n\
             identityfile /a b/k\nidentityfile hoist-was-told-nothing\ncertificatefile ~/c.pub\n\
             globalknownhostsfile /etc/a /etc/b\nuserknownhostsfile hoist-was-told-nothing\nconnecttimeout none\n\
             proxyjump a,b\n",
            "w1",
        );
        assert_eq!(
            said,
            Said {
                typed: "w1".into(),
                hostname: Some("10.0.0.1".into()),
                port: Some(2222),
                identities_only: true,
                keepalive: Some(Duration::from_secs(7)),
                host_key_alias: Some("alias".into()),
                identity_agent: Some("none".into()),
                identity_files: Some(vec!["~/.ssh/id_%h".into(), "/a b/k".into()]),
                certificate_files: vec!["~/c.pub".into()],
                global_known_hosts: Some(vec!["/etc/a".into(), "/etc/b".into()]),
                proxy_jump: Some("a,b".into()),
                ..Said::default()
            }
        );
    }

    #[test]
    fn no_key_and_nothing_said_of_keys_are_not_the_same() {
        let keys = |text: &str| Said::parse(text, "w1").identity_files;
        assert_eq!(keys("identityfile hoist-was-told-nothing\n"), None);
        assert_eq!(keys("identityfile none\nidentityfile hoist-was-told-nothing\n"), Some(Vec::new()));
    }

    #[test]
    fn tokens() {
        let said = Said { typed: "w1".into(), ..Said::default() };
        let expand = |text: &str| said.expand(text, "10.0.0.1", 22, "admin");
        assert_eq!(expand("nc -x p %h %p").unwrap(), "nc -x p 10.0.0.1 22");
        assert_eq!(expand("%r@%n/%k 100%% $HOME $%% $").unwrap(), "admin@w1/w1 100% $HOME $% $");
        assert_eq!(expand("${PATH}").unwrap(), env::var("PATH").unwrap());
        for text in ["%C", "%é", "%", "${HOIST_NO_SUCH_VARIABLE}"] {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
