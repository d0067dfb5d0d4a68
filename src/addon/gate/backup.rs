//! Longhorn's backups: one of a throw-away volume is written to the target, and removed again.
//!
//! Sources: longhorn-manager `k8s/pkg/apis/longhorn/v1beta2` (`backuptarget.go`, `backup.go`, `backupvolume.go`,
//! `snapshot.go`) and `webhook/resources/backup`, which wants the label `backup-volume`.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Bench, Closed, Gate, Proof,
    ground::{Ground, LABEL, MAKER, abandoned, maker},
    inside,
    pods::Wish,
    retry::{Retry, condition, make, seconds, text},
    volume::{self, CLAIM, WRITTEN, claim, class},
};
use crate::kube::{self, Kind};

const TARGET: Kind = Kind::new("longhorn.io/v1beta2", "BackupTarget");
const VOLUME: Kind = Kind::new("longhorn.io/v1beta2", "BackupVolume");
const BACKUP: Kind = Kind::new("longhorn.io/v1beta2", "Backup");
const SNAPSHOT: Kind = Kind::new("longhorn.io/v1beta2", "Snapshot");
const SECRET: Kind = Kind::new("v1", "Secret");
/// The target that settings name; Longhorn takes more, which hoist does not make.
const NAME: &str = "default";
/// On a Backup: the volume that it is of.
const OF: &str = "backup-volume";
/// And the target that it is written to.
const TO: &str = "backup-target";
/// What in the target's Secret is no secret.
const PLAIN: [&str; 6] =
    ["AWS_ENDPOINTS", "VIRTUAL_HOSTED_STYLE", "AWS_CERT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Longhorn asks the target every so often, and again when it is asked to.
const AVAILABLE: Duration = Duration::from_secs(120);
const TAKEN: Duration = Duration::from_secs(90);
const WRITES: Duration = Duration::from_secs(300);
const GOES: Duration = Duration::from_secs(120);
/// So much of what Longhorn says is shown; it begins with the command that failed.
const LONGEST: usize = 600;

/// The gate `backup-written`.
pub(super) struct BackupWritten;

#[async_trait]
impl Gate for BackupWritten {
    fn name(&self) -> &'static str {
        "backup-written"
    }

    fn proves(&self) -> &'static str {
        "a backup of a throw-away volume is written to the backup target, and removed again"
    }

    fn applies(&self, settings: &Map<String, Value>) -> bool {
        settings.get("backup").is_some_and(Value::is_object)
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        sweep(bench).await?;
        let hidden = available(bench).await?;
        let class = class(bench).await?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, &class, &hidden).await;
        ground.leave(bench, done).await
    }
}

/// Waits until Longhorn finds the target that the settings name available. Gives what no message may show.
async fn available(bench: &Bench<'_>) -> Result<Hidden, Closed> {
    let wanted = target(bench);
    let mut retry = Retry::new(bench, "the backup target", AVAILABLE);
    let mut asked = false;
    loop {
        let found = bench.api.object(TARGET, Some(bench.namespace), NAME).await?;
        let hidden = Hidden::of(bench, found.as_ref()).await?;
        let (reason, help) = match &found {
            None => ("Longhorn has no backup target yet".to_owned(), MANAGER),
            Some(target) if !is_same(text(&target["spec"]["backupTargetURL"]), wanted) => (
                hidden.out_of(&format!("it is `{}`", text(&target["spec"]["backupTargetURL"]))),
                "somebody changed it in Longhorn's UI, or its manager has not read the settings yet",
            ),
            Some(target) if target["status"]["available"] == true => return Ok(hidden),
            Some(target) => {
                if !asked {
                    // What its settings page does, too. Without it an answer may be as old as `poll` says.
                    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                    let patch = json!({"spec": {"syncRequestedAt": now}});
                    bench.api.merge(TARGET, Some(bench.namespace), NAME, &patch).await?;
                    asked = true;
                }
                let said = hidden.out_of(&condition(target, "Unavailable").1);
                let help = advice(&said);
                (said, help)
            }
        };
        if !retry.again(&reason).await {
            let observed =
                format!("the backup target is not available after {} s: {reason}", AVAILABLE.as_secs());
            return Err(Closed::observed(observed, format!("{wanted} is available"), help));
        }
    }
}

const MANAGER: &str = "`kubectl -n longhorn-system logs ds/longhorn-manager` says why";

/// What to do about what the target's service said.
fn advice(said: &str) -> &'static str {
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if any(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "403"]) {
        "the service refuses the key: look at `backup.access_key` and `backup.secret_key`; the key needs to list, read, write \
         and delete objects of the bucket"
    } else if any(&["NoSuchBucket", "NotFound", "404"]) {
        "the service knows no such bucket in that region: make it, or mend `backup.target`"
    } else if any(&["x509", "certificate"]) {
        "the endpoint's certificate is of an authority that Longhorn does not trust: name it in `backup.certificate`"
    } else if any(&[
        "no such host",
        "connection refused",
        "timeout",
        "timed out",
        "no route",
        "deadline exceeded",
    ]) {
        "nodes do not reach the endpoint: look at `backup.endpoint`, DNS and firewalls from a storage host (`curl -v ENDPOINT`)"
    } else {
        MANAGER
    }
}

/// The target that the settings name.
fn target<'a>(bench: &Bench<'a>) -> &'a str {
    bench.settings.get("backup").map_or("", |backup| text(&backup["target"]))
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

async fn prove(bench: &Bench<'_>, ground: &Ground, class: &str, hidden: &Hidden) -> Result<Proof, Closed> {
    let nodes = volume::nodes(bench).await?;
    make(bench, claim(ground, class), Duration::from_secs(60)).await?;
    let node = &nodes[nodes.len() - 1];
    let wish = Wish { name: "writer".to_owned(), node, claim: Some("gate"), ..Wish::default() };
    let writer = volume::first(bench, ground, wish).await?;
    inside::write(&writer, WRITTEN).await?;
    let claim = bench.api.object(CLAIM, Some(&ground.namespace), "gate").await?.unwrap_or_default();
    let volume = text(&claim["spec"]["volumeName"]);
    if volume.is_empty() {
        return Err(Closed::observed(
            "the claim of a pod that runs has no volume",
            "Longhorn's volume",
            MANAGER,
        ));
    }
    let done = write(bench, ground, volume, hidden).await;
    let removed = remove(bench, &ground.namespace, volume).await;
    let took = done?;
    removed?;
    Ok(Proof {
        seen: vec![
            format!("the backup target {} is available", target(bench)),
            format!("a backup of a volume with {} MiB was complete after {took}", WRITTEN >> 20),
            "it was removed from the target again".to_owned(),
        ],
    })
}

/// Makes a snapshot and a backup of it; how long that took.
async fn write(bench: &Bench<'_>, ground: &Ground, volume: &str, hidden: &Hidden) -> Result<String, Closed> {
    let begun = Instant::now();
    let metadata = |labels: Value| json!({"name": ground.namespace, "namespace": bench.namespace, "labels": labels, "annotations": {MAKER: maker()}});
    let snapshot = json!({"apiVersion": SNAPSHOT.api_version, "kind": SNAPSHOT.kind, "metadata": metadata(ground.labels()),
                          "spec": {"volume": volume, "createSnapshot": true}});
    make(bench, snapshot, TAKEN).await?;
    until(bench, ground, hidden, (SNAPSHOT, TAKEN), |snapshot| {
        match (&snapshot["status"]["readyToUse"], text(&snapshot["status"]["error"])) {
            (Value::Bool(true), _) => State::Done,
            (_, "") => State::Open("it is not ready to use yet".to_owned()),
            // Longhorn takes one that failed again by itself.
            (_, error) => State::Open(error.to_owned()),
        }
    })
    .await?;
    let backup = json!({"apiVersion": BACKUP.api_version, "kind": BACKUP.kind,
                        "metadata": metadata(json!({LABEL: ground.gate, OF: volume, TO: NAME})),
                        "spec": {"snapshotName": ground.namespace, "labels": {}}});
    make(bench, backup, TAKEN).await?;
    until(bench, ground, hidden, (BACKUP, WRITES), |backup| {
        let status = &backup["status"];
        let error = text(&status["error"]);
        match text(&status["state"]) {
            "Completed" => State::Done,
            state @ ("Error" | "Unknown") => State::Failed(format!("{state}: {error}")),
            _ if !error.is_empty() => State::Open(error.to_owned()),
            _ => State::Open(format!(
                "{} % of it are written",
                status["progress"].as_u64().unwrap_or_default()
            )),
        }
    })
    .await?;
    Ok(seconds(begun.elapsed()))
}

/// How an object of Longhorn's is that it works on.
enum State {
    Done,
    Open(String),
    /// It stays so.
    Failed(String),
}

async fn until(
    bench: &Bench<'_>,
    ground: &Ground,
    hidden: &Hidden,
    (kind, patience): (Kind, Duration),
    state: impl Fn(&Value) -> State,
) -> Result<(), Closed> {
    let what = kind.kind.to_lowercase();
    let mut retry = Retry::new(bench, format!("the {what}"), patience);
    loop {
        let found = bench.api.object(kind, Some(bench.namespace), &ground.namespace).await?;
        let (reason, ends) = match found.as_ref().map(&state) {
            Some(State::Done) => return Ok(()),
            Some(State::Open(reason)) => (reason, false),
            Some(State::Failed(reason)) => (reason, true),
            None => ("Longhorn has deleted it".to_owned(), true),
        };
        let reason = hidden.out_of(&reason);
        if ends || !retry.again(&reason).await {
            let observed =
                format!("the {what} of a throw-away volume, after {}: {reason}", seconds(retry.took()));
            return Err(Closed::observed(observed, format!("a {what} that is complete"), advice(&reason)));
        }
    }
}

/// Removes a backup of the gate's, and what the target keeps of its volume, which has no other.
async fn remove(bench: &Bench<'_>, backup: &str, volume: &str) -> Result<(), Closed> {
    let place = Some(bench.namespace);
    gone(bench, BACKUP, backup).await?;
    for kept in bench.api.objects(VOLUME, place, "").await? {
        let name = text(&kept["metadata"]["name"]);
        // Until Longhorn 1.8 it had the volume's name.
        if !volume.is_empty() && (text(&kept["spec"]["volumeName"]) == volume || name == volume) {
            gone(bench, VOLUME, name).await?;
        }
    }
    Ok(())
}

async fn gone(bench: &Bench<'_>, kind: Kind, name: &str) -> Result<(), Closed> {
    let place = Some(bench.namespace);
    bench.api.delete(kind, place, name).await?;
    match bench.api.wait_until_gone(kind, place, name, GOES).await {
        Err(kube::Error::NotReady { .. }) => Err(Closed::observed(
            format!(
                "a backup was written, and {} {name} is still there {} s after it was deleted",
                kind.kind,
                GOES.as_secs()
            ),
            "what is deleted goes from the target",
            "the key may write objects and not delete them: so nothing would ever make room there",
        )),
        done => Ok(done?),
    }
}

/// Removes what a run left on the target that was killed.
async fn sweep(bench: &Bench<'_>) -> Result<(), Closed> {
    let now = Timestamp::now();
    for left in bench.api.objects(BACKUP, Some(bench.namespace), &format!("{LABEL}=backup-written")).await? {
        if abandoned(&left, now) {
            let name = text(&left["metadata"]["name"]);
            (bench.say)(&format!("deleting the backup {name}, which a run left that was killed"));
            remove(bench, name, text(&left["metadata"]["labels"][OF])).await?;
        }
    }
    Ok(())
}

/// The values of the target's Secret: what a service answers may repeat them.
struct Hidden(Vec<SecretString>);

impl Hidden {
    async fn of(bench: &Bench<'_>, target: Option<&Value>) -> Result<Hidden, Closed> {
        let name = target.map_or("", |target| text(&target["spec"]["credentialSecret"]));
        if name.is_empty() {
            return Ok(Hidden(Vec::new()));
        }
        let secret = bench.api.object(SECRET, Some(bench.namespace), name).await?.unwrap_or_default();
        let values = secret["data"].as_object().into_iter().flatten();
        let values = values.filter(|(key, _)| !PLAIN.contains(&key.as_str()));
        let values =
            values.filter_map(|(_, value)| String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok());
        // What is so short is found in any word.
        Ok(Hidden(values.filter(|value| value.trim().len() > 3).map(SecretString::from).collect()))
    }

    /// What was said, without secrets, and not longer than one reads.
    fn out_of(&self, said: &str) -> String {
        let hide = |said: String, secret: &SecretString| {
            [secret.expose_secret(), secret.expose_secret().trim()]
                .into_iter()
                .fold(said, |said, secret| said.replace(secret, "(hidden)"))
        };
        let said = self.0.iter().fold(said.to_owned(), hide);
        said.chars().take(LONGEST).map(|char| if char.is_control() { ' ' } else { char }).collect()
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
