//! Values that exist only when another host's role is done, such as a token to join with.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OnceCell, watch};

use crate::transport::{Error, Host, Script};

/// What is shown in place of a secret.
const REDACTED: &str = "[secret]";

/// So many bytes of a secret give something away.
const TELLING: usize = 8;

/// How far a host's role is in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Pending,
    Done,
    Failed,
}

/// Who provides a value, and how.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub role: String,
    pub run: String,
    /// The hosts that have the role, in the order of the inventory.
    pub hosts: Vec<String>,
}

/// Why a value could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// The hosts that could have given it have failed.
    Blocked { by: String },
    /// They are there, and their answer was no.
    Refused { host: String, status: i32, output: Vec<String> },
}

type Values = BTreeMap<String, SecretString>;

/// The late values of a run: each is asked for once, by the first who needs it.
pub(super) struct Late {
    providers: HashMap<String, Provider>,
    hosts: HashMap<String, Arc<dyn Host>>,
    progress: watch::Sender<HashMap<(String, String), Progress>>,
    cells: Mutex<HashMap<String, Arc<OnceCell<Arc<Values>>>>>,
    /// Everything handed out so far, never to be shown.
    secrets: Mutex<BTreeSet<String>>,
}

impl Late {
    pub fn new(providers: HashMap<String, Provider>, hosts: HashMap<String, Arc<dyn Host>>) -> Late {
        Late {
            providers,
            hosts,
            progress: watch::Sender::new(HashMap::new()),
            cells: Mutex::default(),
            secrets: Mutex::default(),
        }
    }

    /// Tells everybody who waits how far a host's role is.
    pub fn report(&self, host: &str, role: &str, progress: Progress) {
        self.progress.send_modify(|all| {
            all.insert((host.to_string(), role.to_string()), progress);
        });
    }

    /// The same, for a role that has not been done.
    pub fn report_unfinished(&self, host: &str, role: &str, progress: Progress) {
        self.progress.send_modify(|all| {
            all.entry((host.to_string(), role.to_string())).or_insert(progress);
        });
    }

    /// The value, as soon as a host other than `asking` can give it. If that is not now, `waits` is told which hosts
    /// may give it.
    ///
    /// Everybody waits on their own, and only the asking itself is one at a time: a provider that waits for another
    /// provider would otherwise wait for those who wait for it.
    pub async fn get(
        &self,
        name: &str,
        asking: &str,
        waits: impl FnOnce(Vec<String>),
    ) -> Result<Arc<Values>, Missing> {
        let nobody = || Missing::Blocked { by: format!("nobody who provides \"{name}\"") };
        let provider = self.providers.get(name).ok_or_else(nobody)?;
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(name.to_string()).or_default().clone()
        };
        let mut progress = self.progress.subscribe();
        let mut tried: BTreeSet<&str> = BTreeSet::from([asking]);
        let mut refusal = None;
        let mut waits = Some(waits);
        loop {
            if let Some(values) = cell.get() {
                return Ok(values.clone());
            }
            let (ready, pending, failed) = {
                let all = progress.borrow_and_update();
                let state = |host: &str| {
                    let key = (host.to_string(), provider.role.clone());
                    all.get(&key).copied().unwrap_or(Progress::Pending)
                };
                let others =
                    || provider.hosts.iter().map(String::as_str).filter(|host| !tried.contains(host));
                (
                    others().find(|host| state(host) == Progress::Done),
                    others()
                        .filter(|host| state(host) == Progress::Pending)
                        .map(String::from)
                        .collect::<Vec<_>>(),
                    provider.hosts.iter().find(|host| state(host) == Progress::Failed).cloned(),
                )
            };
            match ready {
                Some(host) => match cell.get_or_try_init(|| self.ask(host, provider)).await {
                    Ok(values) => return Ok(values.clone()),
                    Err(missing) => {
                        tried.insert(host);
                        refusal = Some(missing);
                    }
                },
                None if !pending.is_empty() => {
                    if let Some(waits) = waits.take() {
                        waits(pending);
                    }
                    // The sender lives as long as `self`.
                    let _ = progress.changed().await;
                }
                None => {
                    return Err(refusal
                        .or_else(|| failed.map(|by| Missing::Blocked { by }))
                        .unwrap_or_else(nobody));
                }
            }
        }
    }

    async fn ask(&self, name: &str, provider: &Provider) -> Result<Arc<Values>, Missing> {
        let Some(host) = self.hosts.get(name) else {
            return Err(Missing::Blocked { by: name.to_string() });
        };
        let script = Script { text: provider.run.clone(), stdin: None, timeout: Duration::from_secs(60) };
        let output = match host.run(script).await {
            Ok(output) => output,
            Err(error) => {
                let output = vec![without_output(error).to_string()];
                return Err(Missing::Refused { host: name.to_string(), status: 255, output });
            }
        };
        if output.status != 0 {
            // Its standard output may hold half a secret: only what it complained is shown.
            let output_lines = String::from_utf8_lossy(&output.stderr).lines().map(String::from).collect();
            return Err(Missing::Refused {
                host: name.to_string(),
                status: output.status,
                output: output_lines,
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values: Values =
            pairs.map(|(key, value)| (key.to_string(), SecretString::from(value.to_string()))).collect();
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(values.values().map(|value| value.expose_secret().to_string()));
        Ok(Arc::new(values))
    }

    /// The line without any of the values handed out. Output is cut off before it gets here, so that a line may begin
    /// with the end of one, or end with the beginning of one.
    pub fn redact(&self, line: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        // A value of a few characters is no secret, and would tear unrelated words apart.
        secrets.iter().filter(|secret| secret.len() >= TELLING).fold(line.to_string(), |line, secret| {
            let line = line.replace(secret.as_str(), REDACTED);
            let cuts = || secret.char_indices().map(|(at, _)| at);
            let ends =
                cuts().map(|at| &secret[at..]).find(|end| end.len() >= TELLING && line.starts_with(*end));
            let line = ends.map_or(line.clone(), |end| format!("{REDACTED}{}", &line[end.len()..]));
            let begins = cuts()
                .rev()
                .map(|at| &secret[..at])
                .find(|part| part.len() >= TELLING && line.ends_with(*part));
            begins.map_or(line.clone(), |part| format!("{}{REDACTED}", &line[..line.len() - part.len()]))
        })
    }
}

/// The error without what the script had printed, which may be half of a secret that nobody knows as such yet.
fn without_output(mut error: Error) -> Error {
    if let Error::Timeout { output, .. }
    | Error::ShellEnded { output, .. }
    | Error::TooMuchOutput { output, .. }
    | Error::Start { output, .. } = &mut error
    {
        *output = "(not shown: it may hold a secret)".to_string();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_whole_nor_cut_off() {
        let late = Late::new(HashMap::new(), HashMap::new());
        late.secrets.lock().unwrap().extend(["abcdef.0123456789".to_string(), "short".to_string()]);
        for (line, shown) in [
            ("token abcdef.0123456789, twice abcdef.0123456789", "token [secret], twice [secret]"),
            ("f.0123456789 was cut off before", "[secret] was cut off before"),
            ("it is cut off after abcdef.0", "it is cut off after [secret]"),
            ("bcdef.0123456789", "[secret]"),
            ("abcdef.012345678", "[secret]"),
            ("3456789 short abcdef", "3456789 short abcdef"),
            ("", ""),
        ] {
            assert_eq!(late.redact(line), shown, "{line}");
        }
    }
}
