//! What happens to the gateway next. Pure.

use std::time::Duration;

use super::record::{Launch, Record, Refusal, Wanted};
use crate::burst::{
    cloud::{CloudError, Instance, Kind, State},
    time::Time,
};

/// Checks of EC2 may fail for a moment.
const IMPAIRED: Duration = Duration::from_secs(30);
/// What EC2 tells lags behind.
const MISSING: Duration = Duration::from_secs(60);
/// EC2 forgets what has ended after about an hour.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);
/// Between two orders to end the same instances.
const AGAIN: Duration = Duration::from_secs(10);
/// After a refusal that passes.
const PAUSE: Duration = Duration::from_secs(30);
/// The former instance holds the interface still.
const HELD: Duration = Duration::from_secs(5);
const IN_USE: &str = "InvalidNetworkInterface.InUse";
/// After a refusal that somebody has to cure, who may do so elsewhere: by a permission, or a quota.
const REFUSED: Duration = Duration::from_secs(15 * 60);
/// One that ends sooner has not been one: EC2 could not start it, or its script failed.
const SHORT: Duration = Duration::from_secs(10 * 60);
/// Before the next after such a one: doubled each time, up to the second.
const AFTER_SHORT: (u64, u64) = (10, 640);
/// A gateway stays for so long whatever else is wanted: each machine that comes would cut workers off once more.
const STAYS: Duration = Duration::from_secs(120);
/// Between two tries of a launch that was not answered: doubled each time, up to the second.
const SLOWER: (u64, u64) = (2, 60);

/// What EC2 shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// All that carry the gateway's name.
    pub instances: Vec<Instance>,
    /// Whether the checks of the one that is the gateway fail.
    pub impaired: bool,
}

/// The record, to be written before anything is done, and what is to be done then: one of the two at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub record: Record,
    pub launch: bool,
    pub terminate: Vec<String>,
}

/// Decides. Without `wanted` there shall be none.
pub fn next(record: &Record, wanted: Option<&Wanted>, seen: &Seen, now: Time) -> Next {
    let mut record = record.clone();
    take_in(&mut record, seen, now);
    judge(&mut record, wanted, seen, now);
    let (launch, terminate) = match end(&mut record, seen, now) {
        // What still lives holds the interface.
        Ending::Lives(now) => (false, now),
        Ending::Over => (start(&mut record, wanted, now), Vec::new()),
    };
    Next { record, launch, terminate }
}

/// Knows the gateway by its token. Whatever else has its name is to end: of an earlier attempt, or nobody's.
fn take_in(record: &mut Record, seen: &Seen, now: Time) {
    for instance in &seen.instances {
        let launch = record.launch.as_mut().filter(|launch| {
            launch.request.client_token == instance.client_token
                && launch.instance.as_ref().is_none_or(|id| *id == instance.id)
        });
        match (launch, instance.state) {
            (Some(_), State::Terminated) => over(record, instance, now),
            (Some(launch), _) => launch.instance = Some(instance.id.clone()),
            (None, State::Terminated) => drop(record.ending.remove(&instance.id)),
            (None, _) => drop(record.ending.entry(instance.id.clone()).or_insert(now)),
        }
    }
}

/// It has ended, or is ending, and nobody here has asked for that: one that did so soon holds the next ones up.
fn over(record: &mut Record, instance: &Instance, now: Time) {
    let Some(launch) = record.launch.take() else { return };
    let short = launch.asked.is_some_and(|asked| now.since(asked) < SHORT);
    record.short = if short { record.short.saturating_add(1) } else { 0 };
    // The first may have been an accident.
    let (first, most) = AFTER_SHORT;
    let wait = first.saturating_mul(1 << record.short.saturating_sub(2).min(6)).min(most);
    record.pause = (record.short > 1).then(|| now.after(Duration::from_secs(wait)));
    record.ended.clone_from(&instance.reason);
}

/// Whether the one that there is may stay.
fn judge(record: &mut Record, wanted: Option<&Wanted>, seen: &Seen, now: Time) {
    let since = |before: Option<Time>, is: bool| is.then(|| before.map_or(now, |before| before.min(now)));
    let Some(launch) = &record.launch else {
        (record.missing_since, record.impaired_since) = (None, None);
        return;
    };
    // A launch that is not answered is neither.
    let Some(id) = launch.instance.clone() else { return };
    let shown = seen.instances.iter().find(|instance| instance.id == id);
    record.missing_since = since(record.missing_since, shown.is_none());
    record.impaired_since = since(record.impaired_since, seen.impaired);
    let long = |since: Option<Time>, limit: Duration| since.is_some_and(|since| now.since(since) >= limit);
    let is_over = |it: &&Instance| !matches!(it.state, State::Pending | State::Running);
    let stays = launch.asked.is_some_and(|asked| now >= asked && now.since(asked) < STAYS);
    let other = wanted.is_none_or(|wanted| wanted.configuration() != launch.configuration && !stays);
    let fails = long(record.missing_since, MISSING) || long(record.impaired_since, IMPAIRED);
    // What powers itself off is seen on its way before it is seen at its end.
    let ended = shown.filter(is_over);
    if let Some(instance) = ended {
        over(record, instance, now);
    }
    if ended.is_some() || other || fails {
        record.ending.insert(id, now);
        (record.launch, record.asked) = (None, None);
        (record.missing_since, record.impaired_since) = (None, None);
    }
}

enum Ending {
    /// EC2 shows some that have not ended; these are to be ended now.
    Lives(Vec<String>),
    /// EC2 shows none. What it may hide, and what therefore holds the interface, refuses the next launch by that.
    Over,
}

fn end(record: &mut Record, seen: &Seen, now: Time) -> Ending {
    let shown = |id: &String| seen.instances.iter().find(|instance| instance.id == *id);
    record.ending.retain(|id, since| {
        *since = (*since).min(now);
        shown(id).is_some() || now.since(*since) < FORGOTTEN
    });
    let ids: Vec<String> = record.ending.keys().cloned().collect();
    let lives = ids.iter().any(|id| shown(id).is_some());
    let due = record.asked.is_none_or(|asked| now < asked || now.since(asked) >= AGAIN);
    let ask: Vec<String> = ids
        .into_iter()
        .filter(|id| shown(id).is_none_or(|instance| !instance.state.is_ending()))
        .filter(|_| due)
        .collect();
    if !ask.is_empty() {
        record.asked = Some(now);
        return Ending::Lives(ask);
    }
    if lives { Ending::Lives(Vec::new()) } else { Ending::Over }
}

/// Whether EC2 is to be asked for it now.
fn start(record: &mut Record, wanted: Option<&Wanted>, now: Time) -> bool {
    if record.launch.is_none() {
        let Some(wanted) = wanted else { return false };
        let configuration = wanted.configuration();
        let holds = |it: &Refusal| {
            it.configuration == configuration && now >= it.since && now.since(it.since) < REFUSED
        };
        let refused = record.refused.as_ref().is_some_and(holds);
        // A clock that was set back lengthens no pause.
        let longest = Duration::from_secs(AFTER_SHORT.1);
        let pauses = record.pause.is_some_and(|until| now < until && until <= now.after(longest));
        if refused || pauses {
            return false;
        }
        record.attempt += 1;
        let request = wanted.request(record.attempt);
        let launch = Launch { request, configuration, tries: 0, asked: None, instance: None };
        (record.launch, record.pause, record.refused) = (Some(launch), None, None);
    }
    let Some(launch) = record.launch.as_mut().filter(|launch| launch.instance.is_none()) else {
        return false;
    };
    let (first, most) = SLOWER;
    let wait = Duration::from_secs(first.saturating_pow(launch.tries.min(6)).min(most));
    let due = launch.asked.is_none_or(|asked| now < asked || now.since(asked) >= wait);
    if due {
        launch.tries = launch.tries.saturating_add(1);
        launch.asked = Some(now);
    }
    due
}

/// Takes in what EC2 said to a launch.
pub fn answered(record: &Record, answer: &Result<Instance, CloudError>, now: Time) -> Record {
    let mut record = record.clone();
    let Some(launch) = &mut record.launch else { return record };
    match answer {
        // A token that was used before gives back what it gave then.
        Ok(instance) if instance.state.is_ending() => {
            record.ending.insert(instance.id.clone(), now);
            over(&mut record, instance, now);
        }
        Ok(instance) => launch.instance = Some(instance.id.clone()),
        Err(error) => match error.kind {
            // The same again: only so is it known whether there is one.
            Kind::Ambiguous | Kind::Throttled | Kind::Expired | Kind::NotFound => {}
            Kind::Capacity | Kind::FullSubnet | Kind::Quota | Kind::Limit | Kind::Mismatch => {
                (record.launch, record.pause) = (None, Some(now.after(PAUSE)));
            }
            // What it gave then has ended, and is forgotten: the next attempt has another token.
            Kind::TokenUsedUp => record.launch = None,
            Kind::Denied | Kind::Invalid if error.code == IN_USE => {
                (record.launch, record.pause) = (None, Some(now.after(HELD)));
            }
            Kind::Denied | Kind::Invalid => {
                let (configuration, reason) = (launch.configuration.clone(), error.to_string());
                record.refused = Some(Refusal { configuration, reason, since: now });
                record.launch = None;
            }
        },
    }
    record
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
