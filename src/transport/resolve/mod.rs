//! From what is said about a host to how it is reached: the inventory wins over OpenSSH's configuration, and that over
//! the defaults.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};

use super::{
    Agent, Become, Error, Route, Target,
    credentials::is_there,
    hop::Hop,
    ssh_config::{ConfigFile, Query, Said, SshConfig},
    target::{global_known_hosts, user_known_hosts},
};

#[cfg(test)]
mod tests;

/// What an inventory says about how a host is reached. What is left open is found elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub name: String,
    pub address: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub key: Option<PathBuf>,
    pub r#become: Option<Become>,
    pub known_hosts: Option<PathBuf>,
    /// Jump hosts, `[USER@]HOST[:PORT]`, the first one first. An empty list is no jump host, whatever other
    /// configuration says.
    pub jump: Option<Vec<String>>,
    pub config: ConfigFile,
    pub network_namespace: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub keepalive: Option<Duration>,
}

/// Decides how hosts are reached. Asks OpenSSH's configuration at most once about each.
#[derive(Debug, Default)]
pub struct Resolver {
    config: SshConfig,
}

/// A machine on the way, or at its end.
struct Stop<'a> {
    settings: &'a Settings,
    /// The jump host, when it is not the settings' host itself.
    hop: Option<&'a Hop>,
    /// Whether the way to it is decided already.
    route_known: bool,
}

impl Resolver {
    /// How a host is reached.
    ///
    /// # Errors
    /// [`Error::Route`] when a configuration has a mistake.
    pub async fn resolve(&self, settings: &Settings) -> Result<Target, Error> {
        let (mut target, said) =
            self.stop(&Stop { settings, hop: None, route_known: settings.jump.is_some() }).await?;
        let passed = [settings.address.as_str()];
        target.route = self.route(settings, settings.jump.as_deref(), &target, &said, &passed).await?;
        let r#become = settings.r#become.clone();
        target.r#become = r#become.unwrap_or_else(|| Become::of(&target.user));
        Ok(target)
    }

    /// The way to a machine: through these jump hosts, or else as OpenSSH's configuration says. `passed` are the
    /// machines on the way from there to the end, itself the last one.
    fn route<'a>(
        &'a self,
        settings: &'a Settings,
        jump: Option<&'a [String]>,
        target: &'a Target,
        said: &'a Said,
        passed: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Route, Error>> {
        let wrong = |reason| wrong(settings, reason);
        async move {
            let texts: Vec<&str> = match (jump, &said.proxy_jump, &said.proxy_command) {
                (Some(hops), ..) => hops.iter().map(String::as_str).collect(),
                (None, Some(hops), _) => hops.split(',').collect(),
                (None, None, Some(command)) => {
                    let command = said.expand(command, &target.address, target.port, &target.user);
                    return command.map(Route::Command).map_err(wrong);
                }
                (None, None, None) => Vec::new(),
            };
            let mut route = Route::Direct;
            for (index, text) in texts.into_iter().enumerate() {
                let unreadable = || wrong(format!("the jump host `{text}` should be [USER@]HOST[:PORT]"));
                let hop = Hop::parse(text).ok_or_else(unreadable)?;
                // Nothing is reached through itself: a jump host for all may be one of them.
                if passed.last() == Some(&&*hop.host) {
                    break;
                }
                let stop = Stop { settings, hop: Some(&hop), route_known: index > 0 };
                let (mut target, said) = self.stop(&stop).await?;
                target.route = if index > 0 {
                    route
                } else if passed.contains(&&*hop.host) {
                    let circle = passed.join(", then ");
                    return Err(wrong(format!("ProxyJump leads in a circle: {circle}, then {}", hop.host)));
                } else {
                    // The first one may itself be said to be behind others.
                    let passed: Vec<&str> = passed.iter().copied().chain([&*hop.host]).collect();
                    self.route(settings, None, &target, &said, &passed).await?
                };
                route = Route::Jump(Arc::new(target));
            }
            Ok(route)
        }
        .boxed()
    }

    /// One machine, without the way to it.
    async fn stop(&self, stop: &Stop<'_>) -> Result<(Target, Said), Error> {
        let Stop { settings, hop, route_known } = *stop;
        let (name, typed, own_user, port) = match hop {
            None => (settings.name.clone(), &settings.address, &settings.user, settings.port),
            Some(hop) => (hop.to_string(), &hop.host, &hop.user, hop.port),
        };
        let query = Query {
            file: &settings.config,
            address: typed,
            name: hop.is_none().then_some(settings.name.as_str()),
            user: own_user.as_deref(),
            port,
            route_known,
        };
        let said = self.config.lookup(query).await?;
        // What is said of the hosts holds for a jump host of which nothing is said.
        let users = [own_user.as_ref(), said.user.as_ref(), settings.user.as_ref()];
        let user = users.into_iter().flatten().next().map_or("root", String::as_str);
        let mut target = Target::new(name, said.hostname.as_ref().unwrap_or(typed), user);
        target.port = port.or(said.port).unwrap_or(22);
        target.host_key_alias = said.host_key_alias.clone();
        self.login(stop, &said, &mut target).map_err(|reason| wrong(settings, reason))?;
        target.network_namespace = settings.network_namespace.clone();
        target.connect_timeout =
            settings.connect_timeout.or(said.connect_timeout).unwrap_or(Target::CONNECT_TIMEOUT);
        target.keepalive = settings.keepalive.or(said.keepalive).unwrap_or(Target::KEEPALIVE);
        Ok((target, said))
    }

    /// Fills in what one logs in with, and where host keys are recorded.
    fn login(&self, stop: &Stop<'_>, said: &Said, target: &mut Target) -> Result<(), String> {
        let Stop { settings, hop, .. } = stop;
        let (address, port, user) = (target.address.clone(), target.port, target.user.clone());
        let path = |text: &String| said.expand(text, &address, port, &user).map(|text| home(&text));
        let paths = |texts: &[String]| texts.iter().map(path).collect::<Result<Vec<PathBuf>, String>>();
        // As ssh does, passes over a configured key that is not there; one that the inventory names must be.
        let mut configured = paths(said.identity_files.as_deref().unwrap_or_default())?;
        configured.retain(|path| is_there(path));
        match &settings.key {
            Some(key) if hop.is_none() || configured.is_empty() => target.keys = vec![key.clone()],
            _ => {
                target.keys = configured;
                target.keys_are_configured = said.identity_files.is_some();
            }
        }
        target.certificates = paths(&said.certificate_files)?;
        target.only_these_keys = said.identities_only;
        target.agent = match said.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => Agent::Auto,
            Some("none") => Agent::Off,
            Some(variable) if variable.starts_with('$') && !variable.starts_with("${") => {
                let socket = std::env::var_os(&variable[1..]);
                socket.map_or(Agent::Off, |socket| Agent::Socket(socket.into()))
            }
            Some(socket) => Agent::Socket(path(&socket.to_owned())?),
        };
        target.revoked_keys = said.revoked.as_ref().map(path).transpose()?;
        target.known_hosts = if let Some(file) = &settings.known_hosts {
            vec![file.clone()]
        } else {
            // Each by itself: who names the machine's files still has the default one of the user's.
            let user = said.known_hosts.as_ref().map(|files| paths(files)).transpose()?;
            let global = said.global_known_hosts.clone();
            [user.unwrap_or_else(user_known_hosts), global.unwrap_or_else(global_known_hosts)].concat()
        };
        Ok(())
    }
}

fn wrong(settings: &Settings, reason: String) -> Error {
    Error::Route { host: settings.name.clone(), reason }
}

/// The path with a leading `~` replaced.
fn home(text: &str) -> PathBuf {
    match (Path::new(text).strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}
