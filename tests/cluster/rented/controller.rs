//! Whoever rents: the Deployment that `hoist burst manifest` prints, or `hoist burst run` in the foreground.

use std::{
    cell::RefCell,
    fs::{self, File},
};

use super::{
    Process,
    ec2::Ec2,
    image::{IMAGE, ROLES},
    with_aws,
};
use crate::stage::{Stage, text, until};

pub trait Controller {
    /// It should not have.
    fn has_ended(&self) -> bool;

    fn said(&self) -> String;
}

/// On the administrator's machine, over SSH.
pub struct Foreground {
    process: RefCell<Process>,
    log: std::path::PathBuf,
}

impl Foreground {
    pub fn start(stage: &Stage, ec2: &Ec2) -> Foreground {
        let log = stage.path("controller.log");
        let library = stage.path("library");
        let mut command = with_aws(stage.command(&["burst", "run", "--roles", text(&library)]), ec2);
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Foreground { process: RefCell::new(Process(command.spawn().unwrap())), log }
    }

    /// When it last told of this, in whole seconds.
    pub fn told(&self, what: &str) -> Option<jiff::Timestamp> {
        let said = self.said();
        let line = said.lines().rfind(|line| line.contains(what))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Controller for Foreground {
    fn has_ended(&self) -> bool {
        self.process.borrow_mut().0.try_wait().unwrap().is_some()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// In the cluster: two pods, of which one leads.
pub struct Pods<'a>(&'a Stage);

const NAMESPACE: [&str; 2] = ["-n", "hoist-burst"];
const LABEL: [&str; 2] = ["-l", "app.kubernetes.io/name=hoist-burst"];

impl Pods<'_> {
    /// What `hoist burst manifest` prints, and the Secret that it names, in which is also where EC2 is.
    pub fn install<'a>(stage: &'a Stage, url: &str) -> Pods<'a> {
        let printed = [
            "burst",
            "manifest",
            "--as",
            "deployment",
            "--image",
            IMAGE,
            "--credentials",
            "aws",
            "--roles",
            ROLES,
        ];
        let (manifest, secret) = (stage.path("controller.yaml"), stage.path("secret.yaml"));
        fs::write(&manifest, stage.hoist(&printed).exits(0).stdout).unwrap();
        let values =
            "AWS_ACCESS_KEY_ID: tests, AWS_SECRET_ACCESS_KEY: tests, AWS_EC2_METADATA_DISABLED: 'true'";
        let object = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: aws, namespace: hoist-burst}}\n\
             stringData: {{{values}, AWS_ENDPOINT_URL: '{url}'}}\n"
        );
        fs::write(&secret, object).unwrap();
        stage.kubectl(&["apply", "-f", text(&manifest), "-f", text(&secret)]).exits(0);
        Pods(stage)
    }

    fn ask(&self, arguments: &[&str]) -> String {
        self.0.kubectl(&[&NAMESPACE[..], arguments].concat()).stdout
    }

    /// Their names, and where they are, if they are ready, were never started anew, and nobody ends them.
    pub fn running(&self) -> Vec<(String, String)> {
        let path = "jsonpath={range .items[*]}{.metadata.name} {.status.hostIP} {.status.containerStatuses[0].ready} \
                    {.status.containerStatuses[0].restartCount} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
        let said = self.ask(&[&["get", "pods", "-o", path][..], &LABEL].concat());
        let words = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words
            .filter_map(|words| match words.as_slice() {
                [name, address, "true", "0"] => Some((name.to_string(), address.to_string())),
                _ => None,
            })
            .collect()
    }

    /// The pod that holds the lease, if one that runs does.
    pub fn leader(&self) -> Option<String> {
        let holder = self.ask(&["get", "lease", "hoist-burst", "-o", "jsonpath={.spec.holderIdentity}"]);
        let mut running = self.running().into_iter().map(|(name, _)| name);
        running.find(|name| holder.starts_with(&format!("{name}-")))
    }

    /// Ends one as `kubectl` does; whoever is left leads before it is gone.
    pub fn delete(&self, name: &str) {
        self.ask(&["delete", "pod", name, "--wait=false"]);
    }

    /// As before `hoist burst destroy`. The lease is given back.
    pub fn end(self) {
        self.ask(&["scale", "deployment", "controller", "--replicas", "0"]);
        let left = || self.ask(&[&["get", "pods", "-o", "name"][..], &LABEL].concat());
        until("no pod of the controller is left", 90, || left().is_empty());
        let holder = self.ask(&["get", "lease", "hoist-burst", "-o", "jsonpath={.spec.holderIdentity}"]);
        assert_eq!(holder, "", "the lease was given back");
    }
}

impl Controller for Pods<'_> {
    fn has_ended(&self) -> bool {
        // They are started anew; that they were not is asked where it counts.
        false
    }

    fn said(&self) -> String {
        let logs = self.ask(&[&["logs", "--prefix", "--tail", "-1"][..], &LABEL].concat());
        logs + &self.ask(&[&["describe", "pods"][..], &LABEL].concat())
    }
}
