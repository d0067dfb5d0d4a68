//! Why an add-on is not done, in words that name the step, the cause and the fix.

use super::{Error, install::Install};
use crate::{cluster::AccessError, engine::Failure, kube, transport};

/// Why an add-on is not done.
pub(super) enum Stop {
    /// The control plane or its API server does not answer; another one may.
    Away(String),
    Failed(Box<Failure>),
}

impl Stop {
    /// With what was to be seen before what went wrong.
    pub(super) fn during(self, proof: &str) -> Stop {
        match self {
            Stop::Failed(failure) => {
                let what = format!("{proof}: {}", failure.what);
                Stop::Failed(Box::new(Failure { what, ..*failure }))
            }
            away => away,
        }
    }
}

impl Install<'_> {
    pub(super) fn stop(&self, what: String, output: Vec<String>, cause: Option<String>, next: &str) -> Stop {
        Stop::Failed(Box::new(Failure {
            host: self.way.host.name().to_owned(),
            role: format!("addon {}", self.desired.name),
            step: String::from("compare it with the cluster"),
            what,
            output,
            cause,
            next: next.to_owned(),
        }))
    }

    pub(super) fn failed(&self, step: &str, what: String, output: Vec<String>) -> Stop {
        match self.stop(what, output, None, "mend that, then run the same again") {
            Stop::Failed(failure) => Stop::Failed(Box::new(Failure { step: step.to_owned(), ..*failure })),
            away => away,
        }
    }

    pub(super) fn kube(&self, error: kube::Error) -> Stop {
        if error.is_retryable() || error.is_lost() {
            return Stop::Away(error.to_string());
        }
        let next = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
        self.stop(error.to_string(), Vec::new(), None, &next)
    }

    /// Another control plane takes the place of one that is lost, but mends nothing that is wrong with this one: a disk that is
    /// full is told with its own help.
    pub(super) fn host(&self, error: transport::Error) -> Stop {
        if is_away(&error) {
            return Stop::Away(error.to_string());
        }
        let next = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
        self.stop(error.to_string(), Vec::new(), None, &next)
    }

    pub(super) fn access(&self, error: AccessError) -> Stop {
        match error {
            AccessError::Api(error) => self.kube(error),
            other => Stop::Away(other.to_string()),
        }
    }

    pub(super) fn unknown(&self, error: Error) -> Stop {
        match error {
            Error::Api(error) => self.kube(error),
            other => {
                let next = miette::Diagnostic::help(&other).map(|help| help.to_string()).unwrap_or_default();
                self.stop(other.to_string(), Vec::new(), None, &next)
            }
        }
    }
}

/// Whether a host is lost, or about to be: a shell of its own ends with the connection, and a transfer comes to a halt before
/// anybody knows that it is gone.
fn is_away(error: &transport::Error) -> bool {
    use transport::Error::{Lost, ShellEnded, Stalled};
    matches!(error, Lost { .. } | ShellEnded { .. } | Stalled { .. })
}
