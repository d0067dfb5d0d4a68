//! Asking again until it is so, with the reason shown. Nothing is slept over: a wait ends with what it waits for.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Bench, Closed};
use crate::kube::{self, Api, Patience};

const PAUSE: Duration = Duration::from_millis(500);

/// Tests do not wait for what never comes.
const LONGEST: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::MAX };

/// Enough for one question: who asks again here shows why.
const ONE_QUESTION: Patience = Patience { request: Duration::from_secs(20), total: Duration::from_millis(1) };

/// One thing that is tried until it works or its time is up.
pub(super) struct Retry<'a> {
    bench: &'a Bench<'a>,
    what: String,
    begun: Instant,
    patience: Duration,
    said: String,
}

impl<'a> Retry<'a> {
    /// `what` is what is tried, such as "the webhook of cert-manager".
    pub fn new(bench: &'a Bench<'a>, what: impl Into<String>, patience: Duration) -> Retry<'a> {
        Retry {
            bench,
            what: what.into(),
            begun: Instant::now(),
            patience: patience.min(LONGEST),
            said: String::new(),
        }
    }

    /// Says the reason when it is another than before, and waits for a moment. False when the time is up.
    pub async fn again(&mut self, reason: &str) -> bool {
        if self.said != reason {
            (self.bench.say)(&format!("{}: {reason}; trying again", self.what));
            reason.clone_into(&mut self.said);
        }
        let next = Instant::now() + PAUSE;
        if next >= self.begun + self.patience {
            return false;
        }
        sleep_until(next).await;
        true
    }

    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// The API server, asked once a call.
pub(super) fn once(api: &Api) -> Api {
    api.clone().with_patience(ONE_QUESTION)
}

/// Makes an object that a webhook may have to admit which is only starting. An object that is there already is this one,
/// for its namespace is nobody else's.
///
/// # Errors
/// What the API server said at last.
pub(super) async fn make(
    bench: &Bench<'_>,
    object: serde_json::Value,
    patience: Duration,
) -> Result<(), Closed> {
    let what =
        format!("{} {}", object["kind"].as_str().unwrap_or_default(), text(&object["metadata"]["name"]));
    let mut retry = Retry::new(bench, what, patience);
    let api = once(bench.api);
    loop {
        let error = match api.create(object.clone()).await {
            Ok(_) | Err(kube::Error::Refused { status: 409, .. }) => return Ok(()),
            Err(error) => error,
        };
        if !passes(&error) || !retry.again(&error.to_string()).await {
            return Err(error.into());
        }
    }
}

/// Whether asking again may help: a webhook or a definition that is only coming is told as an error of the server, as
/// an unknown kind, or, where an account is missing yet, as a refusal.
fn passes(error: &kube::Error) -> bool {
    error.is_retryable()
        || matches!(error, kube::Error::Webhook { .. })
        || matches!(error, kube::Error::UnknownKind { .. })
        || matches!(error, kube::Error::Forbidden { message, .. } if message.contains("serviceaccount"))
}

/// A string of an object; empty where it has none.
pub(super) fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The condition of this type in an object's status: whether it is true, and what is said of it.
pub(super) fn condition(object: &serde_json::Value, kind: &str) -> (bool, String) {
    let conditions = object["status"]["conditions"].as_array();
    match conditions.into_iter().flatten().find(|condition| condition["type"] == kind) {
        None => (false, format!("it has no condition {kind} yet")),
        Some(condition) => (
            condition["status"] == "True",
            format!("{}: {}", text(&condition["reason"]), text(&condition["message"])),
        ),
    }
}

/// A time in seconds, as proofs tell it.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
