//! How a release of a chart differs from the one that is installed, in words for people.

use serde_json::{Map, Value};

use super::{Desired, Installed, Release, Status, remove, shown::values_change, values::strip_nulls};
use crate::{
    kube,
    task::{Change, Detail},
};

/// What a chart that is not there yet changes.
pub(super) fn install(desired: &Desired, release: &Release) -> Change {
    let Release { chart, values, .. } = release;
    let summary =
        format!("install chart {} {} into {}", chart.name, chart.version, desired.definition.namespace);
    values_change(Change::new(summary), &Map::new(), values)
}

/// What differs between a release that is wanted and the one that is installed.
pub(super) fn changes(wanted: &Release, installed: &Installed) -> Vec<Change> {
    let Release { chart, values, .. } = wanted;
    let mut changes = Vec::new();
    match installed.status {
        Status::Pending => changes.push(Change::new(format!(
            "repair the release {}: its helm was killed at revision {}",
            installed.name, installed.revision
        ))),
        Status::Failed => changes.push(Change::new(format!(
            "install chart {} {} again: revision {} failed",
            chart.name, chart.version, installed.revision
        ))),
        Status::Deployed | Status::Gone => {}
    }
    if (&installed.chart, &installed.version) != (&chart.name, &chart.version) {
        let from = format!("{} {}", installed.chart, installed.version);
        let to = format!("{} {}", chart.name, chart.version);
        changes.push(
            Change::new(format!("replace the chart of {}", installed.name)).attribute("chart", from, to),
        );
    } else if installed.digest.as_deref() != Some(short(&chart.sha256)) {
        let from = installed.digest.as_deref().unwrap_or("not installed by hoist");
        let change = Change::new(format!("install chart {} {} again", chart.name, chart.version));
        changes.push(change.attribute("digest", from, short(&chart.sha256)));
    }
    let plain = |values: &Map<String, Value>| {
        let mut values = Value::Object(values.clone());
        strip_nulls(&mut values);
        values
    };
    if !same(&plain(values), &plain(&installed.values)) {
        changes.push(values_change(
            Change::new(format!("change the values of {}", installed.name)),
            &installed.values,
            values,
        ));
    }
    changes
}

/// The part of a chart's digest that a label has room for.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..32).unwrap_or(sha256)
}

/// Helm reads all numbers as floating ones.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// What goes with a release that nobody declares any more.
pub(super) fn leave(left: &Installed) -> Vec<Change> {
    let Installed { name, chart, version, .. } = left;
    let summary =
        format!("remove the release {name} (chart {chart} {version}): its chart is not declared any more");
    let data = remove::data(left).map(|data| Change::new(format!("delete {data}: it goes with the release")));
    [Change::new(summary)].into_iter().chain(data).collect()
}

/// An object of a release that is not as its chart says.
pub(super) fn mend(found: &kube::Difference) -> Change {
    let what = if found.change == kube::Change::Created { "it is gone" } else { "somebody changed it" };
    with_diff(format!("mend {}: {what}", found.object), found.diff.clone())
}

/// A change with what it changes, where that is known.
pub(super) fn with_diff(summary: String, diff: String) -> Change {
    let mut change = Change::new(summary);
    if !diff.is_empty() {
        change.details.push(Detail::Text { diff });
    }
    change
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{desired::tests::chart, release};

    pub fn wanted(version: &str, values: Value) -> Release {
        chart("web", version, values)
    }

    pub fn installed(status: &str, values: Value) -> Installed {
        let mut found = release::releases(&[release::tests::stored("web", 3, status, values)]).unwrap();
        found[0].digest = Some("a".repeat(32));
        found.remove(0)
    }

    fn says(wanted: &Release, installed: &Installed) -> Vec<String> {
        changes(wanted, installed).into_iter().map(|change| change.summary).collect()
    }

    #[test]
    fn each_difference_of_a_release_is_a_change() {
        let one = wanted("1.0.0", json!({"port": 80, "none": null}));
        assert_eq!(says(&one, &installed("deployed", json!({"port": 80.0}))), Vec::<String>::new());
        assert_eq!(says(&one, &installed("deployed", json!({"port": 81}))), ["change the values of web"]);
        assert_eq!(
            says(&wanted("1.1.0", json!({})), &installed("deployed", json!({}))),
            ["replace the chart of web"]
        );
        assert!(
            says(&one, &installed("pending-upgrade", json!({"port": 80})))[0]
                .contains("killed at revision 3")
        );
        assert!(says(&one, &installed("failed", json!({"port": 80})))[0].contains("revision 3 failed"));
        let mut other = installed("deployed", json!({"port": 80}));
        other.digest = None;
        assert_eq!(says(&one, &other), ["install chart web 1.0.0 again"]);
    }
}
