//! Helm on a control plane: its program and the charts in a folder there, and what it is told.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    Desired, Installed, Release,
    release::{ADDON, CHART},
    upgrade::short,
};
use crate::{
    artifact::File,
    transport::{self, Host, Script, Transfer, quote},
};

/// What hoist keeps on control planes for add-ons.
pub(super) const FOLDER: &str = "/var/lib/hoist/addons";
/// How it is run there.
const SCRIPT: &str = include_str!("helm.sh");
/// Revisions that Helm keeps of each release.
const HISTORY: u32 = 3;
/// Seconds that Helm may take beside waiting.
const MARGIN: u64 = 60;
/// How much of what Helm says is kept.
const LINES: usize = 20;

/// Helm's program, as it lies on a control plane.
pub struct Helm<'a> {
    host: &'a dyn Host,
    path: String,
    major: u32,
}

impl<'a> Helm<'a> {
    /// Puts the program and a chart there, as far as they are not.
    ///
    /// # Errors
    /// When the host is lost, or cannot take the files.
    pub async fn ready(
        host: &'a dyn Host,
        program: &File,
        release: Option<&Release>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Helm<'a>, transport::Error> {
        let path = format!("{FOLDER}/{}", program_name(program));
        let mut files = vec![Transfer {
            source: program.path.clone(),
            destination: path.clone(),
            sha256: program.sha256.clone(),
            mode: 0o755,
            beside: None,
        }];
        files.extend(release.map(|release| Transfer {
            source: release.chart.path.clone(),
            destination: chart_path(release),
            sha256: release.chart.sha256.clone(),
            mode: 0o644,
            beside: None,
        }));
        let lines = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.destination));
        let check =
            lines.map(|line| format!("printf %s {} | sha256sum -c >/dev/null 2>&1; echo $?\n", quote(&line)));
        let there = host.run(Script::new(check.collect::<String>())).await?;
        let there = String::from_utf8_lossy(&there.stdout).into_owned();
        for (file, status) in files.iter().zip(there.lines()) {
            if status != "0" {
                host.send(file, progress).await?;
            }
        }
        // Helm 3 and 4 differ in the names of options.
        let major =
            program.version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        Ok(Helm { host, path, major: major.unwrap_or(4) })
    }

    /// Installs or upgrades a release. Where it `waits`, it does so until what it made is ready, and what fails is rolled back,
    /// where it may be.
    ///
    /// # Errors
    /// When the host is lost. That Helm failed is in what it said.
    pub async fn upgrade(
        &self,
        desired: &Desired,
        release: &Release,
        waits: bool,
    ) -> Result<Said, transport::Error> {
        let values = Value::Object(release.values.clone()).to_string();
        // Rolling back waits as long as installing.
        self.run(
            &upgrade(self.major, desired, release, waits),
            &values,
            desired.definition.timeout.saturating_mul(2),
        )
        .await
    }

    /// Ends what a killed Helm began: back to the last revision that was in use, or all of it away where there is none.
    ///
    /// # Errors
    /// When the host is lost.
    pub async fn repair(&self, release: &Installed, timeout: u32) -> Result<Said, transport::Error> {
        self.go_back(&release.name, &release.namespace, release.good, timeout).await
    }

    /// Back to this revision, or all of it away where there is none.
    ///
    /// # Errors
    /// When the host is lost.
    pub async fn go_back(
        &self,
        name: &str,
        namespace: &str,
        good: Option<u32>,
        timeout: u32,
    ) -> Result<Said, transport::Error> {
        let (good, history) = (good.map(|good| good.to_string()), HISTORY.to_string());
        let mut words = match &good {
            Some(good) => vec!["rollback", name, good, "--history-max", &history],
            // Hooks may be what it died of.
            None => vec!["uninstall", name, "--no-hooks", "--ignore-not-found"],
        };
        if good.is_some() && self.major >= 4 {
            words.push("--server-side=false");
        }
        words.extend(["--namespace", namespace]);
        let words: Vec<String> = words.into_iter().map(String::from).collect();
        self.run(&words, "", timeout).await
    }

    /// Takes a release away.
    ///
    /// # Errors
    /// When the host is lost.
    pub async fn uninstall(&self, release: &Installed, timeout: u32) -> Result<Said, transport::Error> {
        let seconds = format!("{timeout}s");
        let words =
            ["uninstall", &release.name, "--namespace", &release.namespace, "--wait", "--timeout", &seconds];
        self.run(&words.map(String::from), "", timeout).await
    }

    /// In a shell beside the host's first one, so that several run at the same time.
    async fn run(&self, words: &[String], input: &str, seconds: u32) -> Result<Said, transport::Error> {
        let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let script =
            format!("folder={FOLDER} helm={}\nset -- {}\n{SCRIPT}", quote(&self.path), words.join(" "));
        let mut dialogue = self.host.dialogue(&script).await?;
        let answer = dialogue.ask(input, Duration::from_secs(u64::from(seconds) + MARGIN)).await?;
        Ok(Said::read(&answer))
    }
}

/// What Helm ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub status: i32,
    /// Its last lines, without its log's decoration.
    pub lines: Vec<String>,
}

impl Said {
    fn read(answer: &str) -> Said {
        let (status, said) = answer.split_once(' ').unwrap_or((answer, ""));
        let text = STANDARD.decode(said.trim()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let said =
            text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("level="));
        let lines: Vec<String> = said.map(String::from).collect();
        let lines = lines[lines.len().saturating_sub(LINES)..].to_vec();
        Said { status: status.parse().unwrap_or(1), lines }
    }
}

fn chart_path(release: &Release) -> String {
    format!("{FOLDER}/{}", chart_name(release))
}

/// What a chart is called in the folder.
pub(super) fn chart_name(release: &Release) -> String {
    format!("{}-{}.tgz", release.chart.name, short(&release.chart.sha256))
}

/// What Helm's program is called there.
pub(super) fn program_name(program: &File) -> String {
    format!("helm-{}", short(&program.sha256))
}

/// The words of an upgrade. Values come through standard input, so that they are in no list of processes.
///
/// Not by server-side apply: charts write what an API server 1.20 refuses there (ports without a protocol, quantities as
/// numbers), and it takes them the other way, as all later ones do.
///
/// Whoever does not wait does not roll back either: that option alone makes Helm wait.
fn upgrade(major: u32, desired: &Desired, release: &Release, waits: bool) -> Vec<String> {
    let labels = format!("{ADDON}={},{CHART}={}", desired.name, short(&release.chart.sha256));
    let (path, history) = (chart_path(release), HISTORY.to_string());
    let timeout = format!("{}s", desired.definition.timeout);
    let mut words = vec![
        "upgrade",
        &desired.name,
        &path,
        "--install",
        "--namespace",
        &desired.definition.namespace,
        "--create-namespace",
        "--reset-values",
        "--values",
        "-",
        "--labels",
        &labels,
        "--history-max",
        &history,
        "--timeout",
        &timeout,
    ];
    if waits {
        words.push("--wait");
    }
    if waits && desired.definition.rollback {
        words.push(if major < 4 { "--atomic" } else { "--rollback-on-failure" });
    }
    if major >= 4 {
        words.push("--server-side=false");
    }
    words.into_iter().map(String::from).collect()
}

/// Why it may be worth trying again at once: what is not ready yet, and will be by itself.
pub fn passing(text: &str) -> Option<&'static str> {
    [
        ("failed calling webhook", "a webhook does not answer yet"),
        ("no endpoints available for service", "a webhook has no pod that is ready yet"),
        ("connection refused", "the API server or a webhook does not take connections"),
        ("connection reset by peer", "the connection to the API server broke"),
        ("etcdserver: leader changed", "etcd elects a leader"),
        ("etcdserver: request timed out", "etcd is slow"),
        (
            "the server is currently unable to handle the request",
            "an extension of the API server does not answer yet",
        ),
        ("http2: client connection lost", "the connection to the API server broke"),
        ("TLS handshake timeout", "the API server is slow"),
        ("unexpected EOF", "the connection to the API server broke"),
        ("apiserver not ready", "the API server starts"),
        // Of its webhook for recurring jobs. The chart's values raise the setting that it goes by.
        ("retain value should be less than or equal to", "Longhorn has not taken over its new settings yet"),
    ]
    .iter()
    .find(|(said, _)| text.contains(said))
    .map(|(_, reason)| *reason)
}

const CLASS_FIXED: &str = "these settings of a storage class cannot be changed in place";
const CLASS_ANEW: &str = "`kubectl delete storageclass` the one that the message names, and apply again: it is made anew for new volumes, and those \
                          that are there stay as they are";

/// What Helm's words usually come from, and what to do then.
pub fn cause(text: &str) -> Option<(&'static str, &'static str)> {
    [
        (
            "invalid ownership metadata",
            "an object of this name was made by somebody else, not by this release",
            "delete it, or give it the labels and annotations that the message names, if the release may take it over",
        ),
        ("no matches for kind", "the chart makes objects of a kind that the cluster does not know", "install what brings that kind first: name it under `after`"),
        ("don't meet the specifications of the schema", "the chart's schema does not allow these values", "mend the values that are named"),
        ("chart requires kubeVersion", "the chart is not for this version of Kubernetes", "name a chart for it under `artifacts.charts`, and run `hoist lock`"),
        ("violates PodSecurity", "the namespace does not allow pods with these rights", "label the namespace with the level that the chart needs"),
        ("nil pointer evaluating", "the chart's templates miss a value", "give the value that is named, with `values`"),
        ("field is immutable", "what the new version changes cannot be changed in place", "remove the object that is named, or the add-on, and apply again"),
        ("updates to parameters are forbidden", CLASS_FIXED, CLASS_ANEW),
        ("updates to reclaimPolicy are forbidden", CLASS_FIXED, CLASS_ANEW),
        (
            "persistentvolumesource is immutable",
            "where a volume lies cannot be changed in place",
            "take the add-on out of the inventory, `hoist addon remove` it, and ask for it again: volumes that it has made stay where they are",
        ),
        ("another operation (install/upgrade/rollback) is in progress", "another helm is at work on this release", "wait until it is done, and run the same again"),
    ]
    .iter()
    .find(|(said, _, _)| text.contains(said))
    .map(|(_, cause, next)| (*cause, *next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::desired::tests::{chart, nothing};

    #[test]
    fn the_last_lines_are_kept_without_the_log() {
        let text = format!("level=WARN msg=x\n\n{}Error: it failed\n", "line\n".repeat(30));
        let said = Said::read(&format!("1 {}", STANDARD.encode(text)));
        assert_eq!((said.status, said.lines.len(), said.lines[19].as_str()), (1, 20, "Error: it failed"));
        assert_eq!(Said::read("nonsense").status, 1);
    }

    #[test]
    fn an_upgrade_that_fails_goes_back_where_it_may() {
        let mut desired = nothing("web", "site");
        let release = chart("web", "1.0.0", serde_json::json!({}));
        let last = |desired: &Desired, major: u32, waits: bool| {
            let words = upgrade(major, desired, &release, waits);
            let end = words.iter().position(|word| word == "300s").unwrap();
            words[end + 1..].join(" ")
        };
        assert_eq!(last(&desired, 3, true), "--wait --atomic");
        assert_eq!(last(&desired, 4, true), "--wait --rollback-on-failure --server-side=false");
        // Where hoist waits, it goes back, too.
        assert_eq!(
            (last(&desired, 3, false).as_str(), last(&desired, 4, false).as_str()),
            ("", "--server-side=false")
        );
        desired.definition.rollback = false;
        assert_eq!(last(&desired, 3, true), "--wait");
        assert_eq!(last(&desired, 4, true), "--wait --server-side=false");
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        assert!(passing("Internal error occurred: failed calling webhook \"validate.metallb.io\"").is_some());
        let denied = "admission webhook \"validator.longhorn.io\" denied the request: retain value should be less than or equal to 100";
        assert!(passing(denied).is_some());
        assert!(passing("Error: context deadline exceeded").is_none());
        assert!(cause("Error: unable to build: no matches for kind \"Pool\"").is_some());
        assert!(cause("context deadline exceeded").is_none());
    }

    #[test]
    fn what_cannot_be_changed_in_place_is_told_with_what_to_do() {
        // As API servers say it (`pkg/apis/storage/validation`, `pkg/apis/core/validation`).
        for (said, next) in [
            ("parameters: Forbidden: updates to parameters are forbidden.", "`kubectl delete storageclass`"),
            (
                "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
                "`kubectl delete storageclass`",
            ),
            (
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
                "take the add-on out",
            ),
            ("spec.selector: Invalid value: field is immutable", "remove the object"),
        ] {
            let text = format!("Error: UPGRADE FAILED: cannot patch \"nfs\": \"nfs\" is invalid: {said}");
            assert!(cause(&text).unwrap().1.starts_with(next), "{said}");
        }
    }
}
