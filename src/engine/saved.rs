//! Plans in files: what was looked at is what is carried out, or nothing is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AddonPlan, Error, HostPlan, NodePlan, Plan, PlannedChange, Subject, digest, event::moment};
use crate::disk::write_private;

/// The version of the format. Another one is refused.
const FORMAT: u32 = 1;

/// So many differences are told; one is enough to refuse.
const TOLD: usize = 10;

/// What a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The absolute path of the inventory.
    pub inventory: PathBuf,
    pub inventory_sha256: String,
    /// The absolute path of the folder given with `--roles`.
    pub roles: Option<PathBuf>,
    /// Of all roles and templates, the built-in ones included.
    pub roles_sha256: String,
    /// The hosts that `--limit` selected.
    pub limit: Option<Vec<String>>,
    /// The roles given with `--only`.
    pub only: Option<Vec<String>>,
    /// Whether contents of files were read, so that the changes show lines.
    pub contents: bool,
}

/// A plan as a file keeps it. It holds digests of what was observed and of what is stated, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    format: u32,
    /// The version of the program that made it.
    hoist: String,
    /// When; RFC 3339, UTC.
    made: String,
    pub source: Source,
    /// Hosts that could not be reached or used.
    unread: Vec<String>,
    hosts: Vec<SavedHost>,
    /// The nodes whose labels or taints differ.
    #[serde(default)]
    nodes: Vec<NodePlan>,
    /// The add-ons with changes.
    #[serde(default)]
    addons: Vec<AddonPlan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedHost {
    host: String,
    statements: usize,
    /// Of all statements about the host, also those that hold.
    statements_sha256: String,
    changes: Vec<PlannedChange>,
}

impl SavedPlan {
    /// A plan with what it was made from. `plan` has the hosts of `subjects`, in the same order.
    pub fn new(source: Source, subjects: &[Subject], plan: &Plan) -> SavedPlan {
        let host = |(subject, plan): (&Subject, &HostPlan)| SavedHost {
            host: plan.host.clone(),
            statements: plan.statements,
            statements_sha256: digest::statements(&subject.roles),
            changes: plan.changes.clone(),
        };
        SavedPlan {
            format: FORMAT,
            hoist: env!("CARGO_PKG_VERSION").to_string(),
            made: moment(Timestamp::now()),
            source,
            unread: plan.unread.iter().map(|unread| unread.host.clone()).collect(),
            hosts: subjects.iter().zip(&plan.hosts).map(host).collect(),
            nodes: plan.nodes.clone(),
            addons: plan.addons.clone(),
        }
    }

    /// Writes it, readable by its owner alone.
    ///
    /// # Errors
    /// [`Error::UnwritablePlan`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |cause| Error::UnwritablePlan { path: path.to_path_buf(), cause };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        write_private(path, &text).map_err(failed)
    }

    /// Reads what [`SavedPlan::write`] wrote.
    ///
    /// # Errors
    /// [`Error::UnreadablePlan`], and [`Error::NoPlan`] for what is none or one of another format.
    pub fn read(path: &Path) -> Result<SavedPlan, Error> {
        let path = path.to_path_buf();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) => return Err(Error::UnreadablePlan { path, cause }),
        };
        let no_plan = |reason: String| Error::NoPlan { path: path.clone(), reason };
        let value: Value = serde_json::from_slice(&text).map_err(|error| no_plan(error.to_string()))?;
        match value["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {
                serde_json::from_value(value).map_err(|error| no_plan(error.to_string()))
            }
            Some(format) => Err(no_plan(format!("it has format {format}, expected {FORMAT}"))),
            None => Err(no_plan("it names no format".to_string())),
        }
    }

    /// Whether this plan, which was made before, is what `now` would do.
    ///
    /// # Errors
    /// [`Error::Outdated`] with what differs.
    pub fn still_fits(&self, now: &SavedPlan) -> Result<(), Error> {
        let mut differences = self.differences(now);
        let more = differences.len().saturating_sub(TOLD);
        differences.truncate(TOLD);
        if more > 0 {
            differences.push(format!("and {more} more"));
        }
        if differences.is_empty() { Ok(()) } else { Err(Error::Outdated { differences }) }
    }

    fn differences(&self, now: &SavedPlan) -> Vec<String> {
        let mut found = Vec::new();
        if self.hoist != now.hoist {
            found.push(format!("it was made by hoist {}, this is {}", self.hoist, now.hoist));
        }
        if self.source.inventory_sha256 != now.source.inventory_sha256 {
            found.push(format!("{} has changed", self.source.inventory.display()));
        }
        if self.source.roles_sha256 != now.source.roles_sha256 {
            found.push("the roles or templates have changed".to_string());
        }
        for before in &self.hosts {
            match now.hosts.iter().find(|host| host.host == before.host) {
                Some(now) => before.differences(now, &mut found),
                None => found.push(format!("{}: cannot be read any more", before.host)),
            }
        }
        let known = |host: &&SavedHost| self.hosts.iter().any(|before| before.host == host.host);
        for host in now.hosts.iter().filter(|host| !known(host)) {
            found.push(format!("{}: is not in the plan, and answers now", host.host));
        }
        named(&self.nodes, &now.nodes, |node| format!("node {}: labels and taints", node.node), &mut found);
        named(&self.addons, &now.addons, |addon| format!("add-on {}", addon.addon), &mut found);
        found
    }
}

/// What differs between two lists of things that differ, each told apart by its name.
fn named<T: PartialEq>(before: &[T], now: &[T], name: impl Fn(&T) -> String, found: &mut Vec<String>) {
    let twin = |list: &[T], one: &T| list.iter().position(|other| name(other) == name(one));
    for one in before {
        match twin(now, one).map(|index| &now[index]) {
            None => found.push(format!("{}: holds by now", name(one))),
            Some(other) if other != one => found.push(format!("{}: differs otherwise", name(one))),
            Some(_) => {}
        }
    }
    for one in now.iter().filter(|one| twin(before, one).is_none()) {
        found.push(format!("{}: does not hold any more", name(one)));
    }
}

impl SavedHost {
    fn differences(&self, now: &SavedHost, found: &mut Vec<String>) {
        let place = |change: &PlannedChange| format!("{}: {}: {}", self.host, change.role, change.step);
        let twin = |host: &SavedHost, change: &PlannedChange| {
            let mut changes = host.changes.iter();
            changes.find(|other| (&other.role, &other.step) == (&change.role, &change.step)).cloned()
        };
        let before = found.len();
        for change in &self.changes {
            match twin(now, change) {
                None => found.push(format!("{}: holds by now", place(change))),
                Some(other) if other != *change => {
                    found.push(format!("{}: differs otherwise", place(change)))
                }
                Some(_) => {}
            }
        }
        for change in now.changes.iter().filter(|change| twin(self, change).is_none()) {
            found.push(format!("{}: does not hold any more", place(change)));
        }
        // Only where nothing says more: most of what was said above comes from other statements, too.
        if found.len() == before && self.statements_sha256 != now.statements_sha256 {
            found.push(format!("{}: what is stated about it has changed", self.host));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Change;

    fn change(step: &str, from: &str) -> PlannedChange {
        let change = Change::new(format!("write {step}")).attribute("content", from, "sha256 2");
        PlannedChange { role: "base".into(), step: step.into(), change }
    }

    fn saved(hosts: &[(&str, &str, &[PlannedChange])]) -> SavedPlan {
        let source = Source {
            inventory: "/office.yaml".into(),
            inventory_sha256: "1".into(),
            roles: None,
            roles_sha256: "1".into(),
            limit: None,
            only: None,
            contents: false,
        };
        let mut plan = SavedPlan::new(source, &[], &Plan::default());
        plan.unread = vec!["w9".into()];
        plan.hosts = hosts
            .iter()
            .map(|(host, digest, changes)| SavedHost {
                host: host.to_string(),
                statements: 2,
                statements_sha256: digest.to_string(),
                changes: changes.to_vec(),
            })
            .collect();
        plan
    }

    #[test]
    fn what_was_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let plan = saved(&[("w1", "1", &[change("a", "absent")]), ("w2", "1", &[])]);
        plan.write(&path).unwrap();
        assert_eq!(SavedPlan::read(&path).unwrap(), plan);
    }

    #[test]
    fn what_is_no_plan_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        for (text, reason) in [
            ("", "EOF"),
            ("hosts: []", "expected value"),
            ("{}", "it names no format"),
            ("[1]", "it names no format"),
            ("{\"format\": 2}", "it has format 2, expected 1"),
            ("{\"format\": 1}", "missing field `hoist`"),
        ] {
            fs::write(&path, text).unwrap();
            match SavedPlan::read(&path).unwrap_err() {
                Error::NoPlan { reason: found, .. } => assert!(found.contains(reason), "{text}: {found}"),
                other => panic!("{text}: {other}"),
            }
        }
        let missing = SavedPlan::read(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, Error::UnreadablePlan { .. }));
    }

    #[test]
    fn whatever_has_changed_since_is_named() {
        let (a, b) = (change("a", "sha256 1"), change("b", "sha256 1"));
        let plan = saved(&[("w1", "1", &[a.clone(), b.clone()]), ("w2", "1", &[])]);
        assert!(plan.still_fits(&SavedPlan { made: "later".into(), ..plan.clone() }).is_ok());
        let now =
            saved(&[("w1", "2", &[change("a", "sha256 3"), change("c", "sha256 1")]), ("w3", "1", &[])]);
        let mut now = SavedPlan { hoist: "9.9.9".into(), ..now };
        now.source.inventory_sha256 = "2".into();
        now.source.roles_sha256 = "2".into();
        let version = format!("it was made by hoist {}, this is 9.9.9", env!("CARGO_PKG_VERSION"));
        let expected = [
            version.as_str(),
            "/office.yaml has changed",
            "the roles or templates have changed",
            "w1: base: a: differs otherwise",
            "w1: base: b: holds by now",
            "w1: base: c: does not hold any more",
            "w2: cannot be read any more",
            "w3: is not in the plan, and answers now",
        ];
        assert_eq!(plan.differences(&now), expected);
        let other = saved(&[("w1", "2", &[a, b]), ("w2", "1", &[])]);
        assert_eq!(plan.differences(&other), ["w1: what is stated about it has changed"]);
    }

    #[test]
    fn addons_are_part_of_the_plan() {
        let addon =
            |name: &str, summary: &str| AddonPlan { addon: name.into(), changes: vec![Change::new(summary)] };
        let (mut plan, mut now) = (saved(&[]), saved(&[]));
        plan.addons = vec![addon("a", "x"), addon("b", "x")];
        now.addons = vec![addon("a", "y"), addon("c", "x")];
        assert!(plan.still_fits(&plan).is_ok());
        assert_eq!(
            plan.differences(&now),
            ["add-on a: differs otherwise", "add-on b: holds by now", "add-on c: does not hold any more"]
        );
    }

    #[test]
    fn nodes_are_part_of_the_plan() {
        let (mut plan, now) = (saved(&[]), saved(&[]));
        plan.nodes = vec![NodePlan { node: "w1".into(), change: Change::new("x") }];
        assert!(plan.still_fits(&plan).is_ok());
        assert_eq!(plan.differences(&now), ["node w1: labels and taints: holds by now"]);
        assert_eq!(now.differences(&plan), ["node w1: labels and taints: does not hold any more"]);
    }

    #[test]
    fn a_fleet_of_differences_is_cut_short() {
        let names: Vec<String> = (0..30).map(|index| format!("w{index}")).collect();
        let hosts: Vec<(&str, &str, &[PlannedChange])> =
            names.iter().map(|name| (name.as_str(), "1", &[][..])).collect();
        match saved(&hosts).still_fits(&saved(&[])).unwrap_err() {
            Error::Outdated { differences } => {
                assert_eq!(differences.len(), TOLD + 1);
                assert_eq!(differences[TOLD], "and 20 more");
            }
            other => panic!("{other}"),
        }
    }
}
