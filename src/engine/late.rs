//! Values that exist only when another host's role is done, such as a token to join with.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OnceCell, watch};

use super::{Error, Journal, journal::Entry, tokens::without_tokens};
use crate::{
    task::sha256,
    transport::{self, Host, Script, quote},
};

/// What is shown in place of a secret.
pub(super) const REDACTED: &str = "[secret]";

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
    /// Asked anew for each host that needs it.
    pub each: bool,
    /// How long an answer is good for, where that has an end.
    pub lasts: Option<Duration>,
    /// How long its script may take.
    pub timeout: Duration,
    /// The hosts that have the role, in the order of the inventory.
    pub hosts: Vec<String>,
}

/// Who needs a value. Scripts of values that are asked for each host know it by `HOIST_ASKER_NAME` and
/// `HOIST_ASKER_ADDRESS`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub name: &'a str,
    /// Empty where hosts have none, as in tests of roles.
    pub address: &'a str,
}

/// Whether a value is worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until every host that may give it is done or has failed.
    Waits,
    /// Only hosts that are done are asked: others may be waiting for who asks.
    Asks,
}

/// What is known of a run's hosts.
#[derive(Debug, Default)]
struct State {
    /// By host and role.
    progress: HashMap<(String, String), Progress>,
    /// Values and the hosts that wait for them.
    waiting: BTreeSet<(String, String)>,
}

/// Why a value could not be had.
#[derive(Debug)]
pub(super) enum Missing {
    /// The hosts that could have given it have failed.
    Blocked { by: String },
    /// They are there, and their answer was no.
    Refused { host: String, status: i32, output: Vec<String> },
    /// Nobody was asked, or nobody will know what came of it.
    Unwritten(Error),
}

type Values = BTreeMap<String, SecretString>;

/// An answer, and when it was asked for.
type Cell = Arc<OnceCell<(Arc<Values>, Instant)>>;

/// The late values of a run: each is asked for once, by the first who needs it, and again when that is too long ago; or
/// once for each host.
pub(super) struct Late {
    providers: HashMap<String, Provider>,
    hosts: HashMap<String, Arc<dyn Host>>,
    state: watch::Sender<State>,
    cells: Mutex<HashMap<String, Cell>>,
    /// Who gives a value may change something for it.
    journal: Arc<Journal>,
    /// Everything handed out so far, never to be shown.
    secrets: Mutex<BTreeSet<String>>,
}

impl Late {
    pub fn new(
        providers: HashMap<String, Provider>,
        hosts: HashMap<String, Arc<dyn Host>>,
        journal: Arc<Journal>,
    ) -> Late {
        Late {
            providers,
            hosts,
            state: watch::Sender::new(State::default()),
            cells: Mutex::default(),
            journal,
            secrets: Mutex::default(),
        }
    }

    /// Tells everybody who waits how far a host's role is.
    pub fn report(&self, host: &str, role: &str, progress: Progress) {
        self.state.send_modify(|state| {
            state.progress.insert((host.to_string(), role.to_string()), progress);
        });
    }

    /// The same, for a role that has not been done.
    pub fn report_unfinished(&self, host: &str, role: &str, progress: Progress) {
        self.state.send_modify(|state| {
            state.progress.entry((host.to_string(), role.to_string())).or_insert(progress);
        });
    }

    /// Waits until a host other than the asking one can give the value, without asking for it. If that is not now,
    /// `waits` is told which hosts may give it.
    ///
    /// # Errors
    /// When none of them ever will.
    pub async fn ready(
        &self,
        name: &str,
        asker: Asker<'_>,
        waits: impl FnOnce(Vec<String>),
    ) -> Result<(), Missing> {
        let provider = self.provider(name)?;
        let tried = BTreeSet::from([asker.name]);
        self.giver(name, provider, &tried, asker, Patience::Waits, &mut Some(waits)).await.map(|_| ())
    }

    /// The value, as soon as a host other than the asking one can give it. If that is not now, `waits` is told which
    /// hosts may give it.
    ///
    /// Everybody waits on their own, and only the asking itself is one at a time: a provider that waits for another
    /// provider would otherwise wait for those who wait for it.
    ///
    /// # Errors
    /// When none of them ever will, or the last one that was asked refused.
    pub async fn get(
        &self,
        name: &str,
        asker: Asker<'_>,
        patience: Patience,
        waits: impl FnOnce(Vec<String>),
    ) -> Result<Arc<Values>, Missing> {
        let provider = self.provider(name)?;
        let cell = if provider.each { Cell::default() } else { self.cell(name, provider) };
        let mut tried = BTreeSet::from([asker.name]);
        let mut refusal = None;
        let mut waits = Some(waits);
        loop {
            if let Some((values, _)) = cell.get() {
                return Ok(values.clone());
            }
            match self.giver(name, provider, &tried, asker, patience, &mut waits).await {
                Ok(host) => {
                    match cell.get_or_try_init(|| self.ask_and_tell(name, host, provider, asker)).await {
                        Ok((values, _)) => return Ok(values.clone()),
                        Err(missing) => {
                            tried.insert(host);
                            refusal = Some(missing);
                        }
                    }
                }
                Err(missing) => return Err(refusal.unwrap_or(missing)),
            }
        }
    }

    /// How long the first of these values to expire is good for, where any does.
    pub fn lasts(&self, names: &BTreeSet<String>) -> Option<Duration> {
        names.iter().filter_map(|name| self.providers.get(name)?.lasts).min()
    }

    /// Where the answer is or will be; a new one where the answer is too old.
    fn cell(&self, name: &str, provider: &Provider) -> Cell {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = cells.entry(name.to_string()).or_default();
        let asked = cell.get().map(|(_, asked)| asked.elapsed());
        if asked.zip(provider.lasts).is_some_and(|(age, lasts)| age >= lasts) {
            *cell = Cell::default();
        }
        cell.clone()
    }

    fn provider(&self, name: &str) -> Result<&Provider, Missing> {
        self.providers.get(name).ok_or_else(|| nobody(name))
    }

    /// The first host that can give a value and was not tried.
    async fn giver<'p>(
        &self,
        name: &str,
        provider: &'p Provider,
        tried: &BTreeSet<&str>,
        asker: Asker<'_>,
        patience: Patience,
        waits: &mut Option<impl FnOnce(Vec<String>)>,
    ) -> Result<&'p str, Missing> {
        let mut changes = self.state.subscribe();
        let waiting = (name.to_string(), asker.name.to_string());
        let found = loop {
            let (ready, pending, failed) = {
                let state = changes.borrow_and_update();
                let progress = |host: &str| {
                    let key = (host.to_string(), provider.role.clone());
                    state.progress.get(&key).copied().unwrap_or(Progress::Pending)
                };
                // Who waits for the value cannot be the first to give it.
                let waits = |host: &str| state.waiting.contains(&(name.to_string(), host.to_string()));
                let all = || provider.hosts.iter().map(String::as_str);
                let others = || all().filter(|host| !tried.contains(host));
                let pending = others().filter(|host| progress(host) == Progress::Pending && !waits(host));
                (
                    others().find(|host| progress(host) == Progress::Done),
                    pending.map(String::from).collect::<Vec<_>>(),
                    all().find(|host| progress(host) == Progress::Failed).map(String::from),
                )
            };
            if let Some(host) = ready {
                break Ok(host);
            }
            if pending.is_empty() || patience == Patience::Asks {
                break Err(failed.map_or_else(|| nobody(name), |by| Missing::Blocked { by }));
            }
            if let Some(waits) = waits.take() {
                waits(pending);
            }
            self.state.send_if_modified(|state| state.waiting.insert(waiting.clone()));
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        };
        self.state.send_if_modified(|state| state.waiting.remove(&waiting));
        found
    }

    /// Asks, with a line in the journal before and after: the giver's, who changes something that way.
    async fn ask_and_tell(
        &self,
        value: &str,
        host: &str,
        provider: &Provider,
        asker: Asker<'_>,
    ) -> Result<(Arc<Values>, Instant), Missing> {
        let step = format!("gives \"{value}\" to {}", asker.name);
        let input = sha256(provider.run.as_bytes());
        let entries = [Entry { host, role: &provider.role, step: &step, input }];
        self.journal.began(&entries).map_err(Missing::Unwritten)?;
        let answer = self.ask(host, provider, asker).await;
        let failed = if answer.is_ok() { 1..1 } else { 0..1 };
        self.journal.ended(&entries, failed).map_err(Missing::Unwritten)?;
        answer
    }

    async fn ask(
        &self,
        name: &str,
        provider: &Provider,
        asker: Asker<'_>,
    ) -> Result<(Arc<Values>, Instant), Missing> {
        let asked = Instant::now();
        let Some(host) = self.hosts.get(name) else {
            return Err(Missing::Blocked { by: name.to_string() });
        };
        let mut text = provider.run.clone();
        if provider.each {
            let (name, address) = (quote(asker.name), quote(asker.address));
            text.insert_str(0, &format!("HOIST_ASKER_NAME={name}\nHOIST_ASKER_ADDRESS={address}\n"));
        }
        let script = Script { text, stdin: None, timeout: provider.timeout };
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
        Ok((Arc::new(values), asked))
    }

    /// The line without any of the values handed out, and without tokens to join with, which kubeadm also makes unasked
    /// and prints. Output is cut off before it gets here, so that a line may begin
    /// with the end of one, or end with the beginning of one.
    pub fn redact(&self, line: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        // A value of a few characters is no secret, and would tear unrelated words apart.
        secrets.iter().filter(|secret| secret.len() >= TELLING).fold(without_tokens(line), |line, secret| {
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

fn nobody(name: &str) -> Missing {
    Missing::Blocked { by: format!("nobody who provides \"{name}\"") }
}

/// The error without what the script had printed, which may be half of a secret that nobody knows as such yet.
fn without_output(mut error: transport::Error) -> transport::Error {
    use transport::Error::{ShellEnded, Start, Timeout, TooMuchOutput};
    if let Timeout { output, .. }
    | ShellEnded { output, .. }
    | TooMuchOutput { output, .. }
    | Start { output, .. } = &mut error
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
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::begin(folder.path()).unwrap();
        let late = Late::new(HashMap::new(), HashMap::new(), Arc::new(journal));
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
