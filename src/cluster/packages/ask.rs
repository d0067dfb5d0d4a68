//! Asks one host of each distribution and release what the roles' packages need.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::{Error, answer};
use crate::{
    artifact::{Architecture, Index, packages::Answer},
    cluster::{Observed, Session, Visit, targets},
    engine::{Library, Templates, compile},
    exit::Exit,
    facts::Facts,
    inventory::Inventory,
    task::Task,
    transport::{Host, Script, WITH_PROXIES, quote},
};

const APT: &str = include_str!("apt.sh");
const DNF: &str = include_str!("dnf.sh");
/// Some repositories are slow, and their indexes have tens of megabytes.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// What the hosts' repositories would install for the roles of an inventory. `stand_ins`, if given, is an inventory whose
/// hosts are asked in place of the inventory's own. `index` is what artifacts the hosts will have. Nothing is changed on
/// any host.
///
/// # Errors
/// When a host cannot be reached, or its repositories do not have what roles install.
pub async fn ask(
    inventory: &Inventory,
    stand_ins: Option<&Inventory>,
    home: &Path,
    library: &Library,
    index: &Index,
) -> Result<Vec<Answer>, Error> {
    let asked = stand_ins.unwrap_or(inventory);
    let visits: Vec<Visit<'_>> =
        asked.hosts.keys().map(|name| Visit { name: name.as_str(), lock: None }).collect();
    let session = Session::open(asked, home, &visits).await?;
    if !session.unreached.is_empty() {
        let exit = Exit::worst(session.unreached.iter().map(|lost| lost.why.exit()));
        let hosts = session.unreached.iter();
        let hosts = hosts.map(|lost| format!("{} ({})", lost.host, lost.why)).collect();
        return Err(Error::Unreached { hosts, exit });
    }
    let mut answers = Vec::new();
    for (host, facts, observed) in kinds(inventory, stand_ins, &session.facts) {
        let names = names(inventory, &observed, library, index)?;
        if let Some(host) = session.hosts.get(host) {
            answers.push(answer_of(&**host, facts, &names).await?);
        }
    }
    Ok(answers)
}

/// One host of each operating system, its facts, and what is known or assumed of the inventory's hosts that have it. Of
/// stand-ins nobody knows which host they stand for: each stands for all.
fn kinds<'a>(
    inventory: &Inventory,
    stand_ins: Option<&Inventory>,
    facts: &'a Observed,
) -> Vec<(&'a String, &'a Facts, Observed)> {
    let kind = |facts: &Facts| (facts.os.release(), facts.architecture.clone());
    let mut kinds: BTreeMap<_, (&String, &Facts, Observed)> = BTreeMap::new();
    for (name, own) in facts {
        let (_, _, observed) = kinds.entry(kind(own)).or_insert_with(|| (name, own, Observed::default()));
        match stand_ins {
            None => drop(observed.insert(name.clone(), own.clone())),
            Some(_) => observed.extend(inventory.hosts.keys().map(|name| (name.clone(), own.clone()))),
        }
    }
    kinds.into_values().collect()
}

/// What the roles of these hosts install.
fn names(
    inventory: &Inventory,
    facts: &Observed,
    library: &Library,
    index: &Index,
) -> Result<BTreeSet<String>, Error> {
    let templates = Templates::new(library.clone());
    let mut names = BTreeSet::new();
    for target in targets(inventory, facts, Some(index), None) {
        for role in compile(library, &templates, &target)? {
            let tasks = role.steps.into_iter().map(|step| step.task);
            names.extend(
                tasks
                    .filter_map(|task| match task {
                        Task::Package(package) => Some(package.names),
                        _ => None,
                    })
                    .flatten(),
            );
        }
    }
    Ok(names)
}

async fn answer_of(host: &dyn Host, facts: &Facts, names: &BTreeSet<String>) -> Result<Answer, Error> {
    let os = facts.os.release();
    let architecture = match facts.architecture.as_str() {
        "x86_64" => Architecture::Amd64,
        "aarch64" => Architecture::Arm64,
        other => {
            let (host, architecture) = (host.name().to_string(), other.to_string());
            return Err(Error::Architecture { host, architecture });
        }
    };
    let script = if facts.packages == "apt" { APT } else { DNF };
    let names = quote(&names.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
    let output =
        host.run(Script::new(format!("{WITH_PROXIES}names={names}\n{script}")).timeout(TIMEOUT)).await?;
    if output.status != 0 {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(Error::Refused { host: host.name().to_string(), os, output });
    }
    let (needs, files) = answer::parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|line| Error::BadAnswer { host: host.name().to_string(), line })?;
    Ok(Answer { os, architecture, needs, files })
}
