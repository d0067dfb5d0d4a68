//! A namespace of a gate's own, and that it goes.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Bench, Closed, Proof, retry::text};
use crate::kube::{self, Api, Kind};

/// What a gate makes carries this label, with the gate's name.
pub(super) const LABEL: &str = "hoist.dev/gate";
/// Machine and process that made a namespace.
pub(super) const MAKER: &str = "hoist.dev/maker";

/// No gate takes so long: what is older was left by a run on another machine that was killed.
const LONGEST: SignedDuration = SignedDuration::from_mins(20);
/// How long a namespace may take to go.
const GOES: Duration = Duration::from_secs(60);

const NAMESPACE: Kind = Kind::new("v1", "Namespace");
const CLAIM: Kind = Kind::new("v1", "PersistentVolumeClaim");
const VOLUME: Kind = Kind::new("v1", "PersistentVolume");
/// Who made a volume of a claim, and will remove it with the claim if the volume's policy says so.
const PROVISIONER: &str = "pv.kubernetes.io/provisioned-by";

/// A namespace for one pass of one gate.
pub(super) struct Ground {
    pub gate: &'static str,
    pub namespace: String,
}

impl Ground {
    /// Deletes what killed runs of this gate have left, and makes a namespace.
    pub async fn take(bench: &Bench<'_>, gate: &'static str) -> Result<Ground, Closed> {
        sweep(bench, gate).await?;
        let namespace =
            format!("hoist-gate-{gate}-{:08x}", getrandom::u32().unwrap_or_else(|_| std::process::id()));
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {LABEL: gate}, "annotations": {MAKER: maker()}},
        });
        match bench.api.create(object).await {
            Ok(_) | Err(kube::Error::Refused { status: 409, .. }) => Ok(Ground { gate, namespace }),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the namespace back with all that is in it, whatever came of the work.
    pub async fn leave(self, bench: &Bench<'_>, done: Result<Proof, Closed>) -> Result<Proof, Closed> {
        match (done, clear(bench.api, &self.namespace).await) {
            (Ok(proof), Ok(())) => Ok(proof),
            // It does what it is for; that something else is slow to clear up is worth a line.
            (Ok(mut proof), Err(slow @ kube::Error::NotReady { .. })) => {
                proof.seen.push(format!("its namespace is still being deleted: {slow}"));
                Ok(proof)
            }
            (Ok(_), Err(error)) => Err(error.into()),
            // What the gate saw is what matters; the next run deletes the rest.
            (Err(closed), _) => Err(closed),
        }
    }

    /// Labels of what the gate makes.
    pub fn labels(&self) -> Value {
        json!({LABEL: self.gate})
    }
}

/// Deletes a namespace and the volumes of its claims.
async fn clear(api: &Api, namespace: &str) -> Result<(), kube::Error> {
    for claim in api.objects(CLAIM, Some(namespace), "").await? {
        let name = text(&claim["spec"]["volumeName"]);
        let Some(volume) = api.object(VOLUME, None, name).await?.filter(|_| !name.is_empty()) else {
            continue;
        };
        // A class may keep volumes of claims that are gone; nobody wants those of a gate.
        if volume["metadata"]["annotations"][PROVISIONER].is_string() {
            let policy = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
            api.merge(VOLUME, None, name, &policy).await?;
        }
    }
    api.delete(NAMESPACE, None, namespace).await?;
    api.wait_until_gone(NAMESPACE, None, namespace, GOES).await
}

/// Deletes what a run left that was killed. A run that is alive keeps what it has.
async fn sweep(bench: &Bench<'_>, gate: &str) -> Result<(), kube::Error> {
    let now = Timestamp::now();
    for left in bench.api.objects(NAMESPACE, None, &format!("{LABEL}={gate}")).await? {
        if abandoned(&left, now) {
            let name = text(&left["metadata"]["name"]);
            (bench.say)(&format!("deleting {name}, which a run left that was killed"));
            clear(bench.api, name).await?;
        }
    }
    Ok(())
}

/// Whether nobody works any more with a namespace, or with what else bears its maker.
pub(super) fn abandoned(namespace: &Value, now: Timestamp) -> bool {
    let made = text(&namespace["metadata"]["creationTimestamp"]).parse::<Timestamp>();
    let old = made.is_ok_and(|made| now.duration_since(made) > LONGEST);
    let (machine, process) =
        text(&namespace["metadata"]["annotations"][MAKER]).rsplit_once('/').unwrap_or_default();
    let ended = machine == this_machine() && !std::path::Path::new("/proc").join(process).exists();
    old || ended
}

/// Who this is.
pub(super) fn maker() -> String {
    format!("{}/{}", this_machine(), std::process::id())
}

fn this_machine() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_run_left_is_abandoned() {
        let now: Timestamp = "2026-01-01T00:30:00Z".parse().unwrap();
        let namespace = |made: &str, maker: &str| json!({"metadata": {"creationTimestamp": format!("2026-01-01T00:{made}:00Z"), "annotations": {MAKER: maker}}});
        let ended = format!("{}/4194305", this_machine());
        assert!(!abandoned(&namespace("29", &maker()), now), "this very run");
        assert!(abandoned(&namespace("29", &ended), now), "no process has this number");
        assert!(!abandoned(&namespace("29", "elsewhere/1"), now), "another administrator's");
        assert!(abandoned(&namespace("09", "elsewhere/1"), now), "older than any gate takes");
    }
}
