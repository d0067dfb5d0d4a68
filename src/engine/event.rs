//! What happens during a run: the one source of the terminal's progress, the JSON lines and the log.

use serde::Serialize;
use tokio::sync::mpsc;

use super::Failure;

/// Something that happened. Times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A host's work begins.
    HostStarted { host: String, changes: usize },
    /// A host waits for a value that only another host's role gives.
    Waiting { host: String, role: String, step: String, value: String },
    /// A statement is about to be made true.
    StepStarted { host: String, role: String, step: String, summary: String },
    /// How much of a file has been sent.
    Sent { host: String, step: String, bytes: u64 },
    /// It is true now.
    StepDone { host: String, role: String, step: String, seconds: f64 },
    /// A role's statements all hold.
    RoleDone { host: String, role: String, seconds: f64 },
    /// A host was probed again after its last change, and nothing is left to change.
    HostDone { host: String, changes: usize, seconds: f64 },
    /// A host stops here.
    HostFailed { host: String, failure: Failure },
    /// A host stops here because of another one.
    HostBlocked { host: String, role: String, step: String, by: String },
}

/// Where events go. Nobody listening is fine.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

/// A way in and a way out.
pub fn events() -> (Events, mpsc::UnboundedReceiver<Event>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Events(sender), receiver)
}

impl Events {
    pub(super) fn send(&self, event: Event) {
        // The listener may have gone; the run goes on.
        let _ = self.0.send(event);
    }
}
