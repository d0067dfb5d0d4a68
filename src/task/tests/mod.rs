//! Every kind against observations, against recorded answers, and for real on a shell of this machine.

mod disks;
mod edits;
mod fetched;
mod files;
mod judged;
mod machine;
mod unpacked;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::*;
use crate::transport::{Host, Local, Script, Transfer};

/// A task as a role writes it.
fn task(kind: &str, body: Value) -> Task {
    let task = match kind {
        "absent" => serde_json::from_value(body).map(Task::Absent),
        "authorized_key" => serde_json::from_value(body).map(Task::AuthorizedKey),
        "archive" => serde_json::from_value(body).map(Task::Archive),
        "artifact" => serde_json::from_value(body).map(Task::Artifact),
        "block" => serde_json::from_value(body).map(Task::Block),
        "command" => serde_json::from_value(body).map(Task::Command),
        "filesystem" => serde_json::from_value(body).map(Task::Filesystem),
        "hostname" => serde_json::from_value(body).map(Task::Hostname),
        "line" => serde_json::from_value(body).map(Task::Line),
        "mount" => serde_json::from_value(body).map(Task::Mount),
        "package" => serde_json::from_value(body).map(Task::Package),
        "require" => serde_json::from_value(body).map(Task::Require),
        "user" => serde_json::from_value(body).map(Task::User),
        other => panic!("no test needs {other} yet"),
    };
    task.unwrap()
}

fn probes(tasks: &[Task]) -> BTreeSet<Probe> {
    tasks.iter().flat_map(Task::probes).collect()
}

fn file(path: &str, content: &str) -> Task {
    let root = || "root".to_string();
    let (path, content) = (path.to_string(), content.to_string());
    Task::File(File {
        path,
        content,
        mode: Mode(0o640),
        owner: root(),
        group: root(),
        secret: false,
        validate: None,
    })
}

fn directory(path: &str, mode: u32) -> Task {
    let root = || "root".to_string();
    Task::Directory(Directory { path: path.to_string(), mode: Mode(mode), owner: root(), group: root() })
}

/// Reads the host as a plan does.
async fn observe(host: &Local, tasks: &[Task]) -> Observations {
    let probes = probes(tasks);
    let output = host.run(Script::new(probe_script(&probes))).await.unwrap();
    assert_eq!(output.status, 0, "{}", String::from_utf8_lossy(&output.stderr));
    Observations::parse(&probes, &String::from_utf8_lossy(&output.stdout))
}

/// Files that come are staged in one folder of this machine, which goes with the last of them.
static STAGED: Mutex<()> = Mutex::const_new(());

/// Makes one statement true and gives the status and the complaint of the first act that failed.
async fn apply(host: &Local, task: &Task) -> Result<(), String> {
    let seen = observe(host, std::slice::from_ref(task)).await;
    let acts = task.acts(&seen);
    let _staged = match acts.iter().any(|act| matches!(act, Act::Send(_))) {
        true => Some(STAGED.lock().await),
        false => None,
    };
    for act in acts {
        let act = match act {
            Act::Await { slice, explain, timeout } => Act::Script {
                text: Act::await_at_once(&slice, &explain, timeout),
                stdin: None,
                timeout: timeout + Act::SLOW_CHECK,
            },
            act => act,
        };
        match act {
            Act::Await { .. } => unreachable!("it is a script now"),
            Act::Script { text, timeout, .. } => {
                let output = host.run(Script::new(text).timeout(timeout)).await.unwrap();
                if output.status != 0 {
                    return Err(String::from_utf8_lossy(&output.stderr).into_owned());
                }
            }
            Act::Send(Delivery { source, destination, sha256, mode, beside, .. }) => {
                let transfer = Transfer { source: source.into(), destination, sha256, mode: mode.0, beside };
                host.send(&transfer, &|_| {}).await.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

/// Makes a statement true, and sees that a second time would change nothing.
async fn converges(host: &Local, task: &Task) {
    apply(host, task).await.unwrap();
    assert_eq!(task.diff(&observe(host, std::slice::from_ref(task)).await), None, "{task:?}");
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}
