//! The CustomResourceDefinitions in a chart's folder `crds/`. Helm makes them when it installs a release, where there are
//! none of the name, and never touches them again: what comes with a new version of the chart is brought here.

use serde_json::{Map, Value};

use super::{Error, Release, chart::Chart, upgrade::with_diff, values};
use crate::{
    kube::{self, Api, Declared},
    task::Change,
};

/// Those of a chart and of the charts in it that these values switch on.
pub(super) fn of(chart: &Chart, given: &Map<String, Value>) -> Vec<Value> {
    let mut found = Vec::new();
    let mut all = Value::Object(chart.values.clone());
    values::merge(&mut all, &Value::Object(given.clone()));
    collect(chart, &Value::Object(given.clone()), &all["tags"], &mut found);
    found
}

fn collect(chart: &Chart, given: &Value, tags: &Value, found: &mut Vec<Value>) {
    let mut all = Value::Object(chart.values.clone());
    if given.is_object() {
        values::merge(&mut all, given);
    }
    let is_known = |known: &[Value], object: &Value| known.iter().any(|it| same_name(it, object));
    for object in &chart.crds {
        if !is_known(found, object) {
            found.push(object.clone());
        }
    }
    for (key, inner) in &chart.charts {
        if chart.is_on(key, &all, tags) {
            collect(inner, &all[key], tags, found);
        }
    }
}

fn same_name(a: &Value, b: &Value) -> bool {
    a["metadata"]["name"] == b["metadata"]["name"]
}

/// What differs in the cluster. Of a release that is not `installed` only what was left of an earlier one: Helm makes the
/// others.
///
/// # Errors
/// When the API server does not answer, or refuses to say.
pub(super) async fn changes(api: &Api, release: &Release, installed: bool) -> Result<Vec<Change>, Error> {
    let found = api.drift(&declared(release)).await?;
    let says = |found: &kube::Difference| {
        let name = &found.object;
        let summary = match found.change {
            kube::Change::Created if !installed => return None,
            kube::Change::Created => format!("make {name}: Helm does not after the installation"),
            _ => format!("change {name} to that of the chart: Helm does not"),
        };
        Some(with_diff(summary, found.diff.clone()))
    };
    Ok(found.iter().filter_map(says).collect())
}

/// As the API server takes them.
pub(super) fn declared(release: &Release) -> Declared {
    // They are in no namespace.
    Declared { namespace: String::new(), objects: release.crds.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        Difference, Observed, State,
        chart::tests::{pack, unpacked},
        desired::tests::nothing,
        gate::testing::Cluster,
        upgrade::tests::{installed, wanted},
    };

    /// A definition with these fields in its only version.
    fn definition(name: &str, fields: &[&str]) -> String {
        let fields: Vec<String> = fields.iter().map(|field| format!("{field}: {{type: string}}")).collect();
        format!(
            "# Made by a generator.\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: {name}.example.com}}\nspec:\n  group: example.com\n  scope: Cluster\n  versions:\n  \
             - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{{}}}}}}}}}\n",
            fields.join(", ")
        )
    }

    /// A chart with definitions of its own, and charts in it that have some.
    fn chart() -> Chart {
        let (pools, hidden) = (definition("pools", &["size", "kind"]), definition("hidden", &["a"]));
        unpacked(&pack(&[
            (
                "web/Chart.yaml",
                b"name: web\ndependencies:\n- {name: more, condition: more.enabled}\n- {name: less, condition: 'less.no,less.enabled', tags: [extras, rare]}\n\
                  - {name: tagged, tags: [extras, rare]}\n",
            ),
            ("web/values.yaml", b"more: {enabled: true}\nless: {enabled: false}\n"),
            ("web/crds/pools.yaml", pools.as_bytes()),
            ("web/crds/README.md", b"{{ no yaml"),
            ("web/templates/crds/other.yaml", b"{{ no yaml"),
            ("web/charts/more/Chart.yaml", b"name: more\n"),
            ("web/charts/more/crds/v1/more.yaml", definition("more", &["a"]).as_bytes()),
            ("web/charts/tagged/Chart.yaml", b"name: tagged\n"),
            ("web/charts/tagged/crds/tagged.yaml", definition("tagged", &["a"]).as_bytes()),
            ("web/charts/less/Chart.yaml", b"name: less\n"),
            ("web/charts/less/crds/hidden.yaml", hidden.as_bytes()),
        ]))
    }

    #[test]
    fn charts_that_values_switch_off_bring_none() {
        for (given, expected) in [
            (json!({}), "pools more tagged"),
            (json!({"more": {"enabled": false}}), "pools tagged"),
            (json!({"less": {"enabled": true}}), "pools hidden more tagged"),
            (json!({"less": {"enabled": true, "no": false}}), "pools more tagged"),
            (json!({"tags": {"extras": false}}), "pools more"),
            // One that is on is enough, and a condition is stronger.
            (json!({"tags": {"extras": false, "rare": true}}), "pools more tagged"),
            (json!({"tags": {"extras": false}, "less": {"enabled": true}}), "pools hidden more"),
        ] {
            let found = of(&chart(), given.as_object().unwrap());
            let names: Vec<_> =
                found.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
            assert_eq!(names.join(" ").replace(".example.com", ""), expected, "{given}");
        }
    }

    #[tokio::test]
    async fn what_a_new_chart_brings_is_a_change_until_the_cluster_has_it() {
        let cluster = Cluster::new(&[]).await;
        let api = cluster.bench("site").api;
        let mut desired = nothing("web", "site");
        let mut release = wanted("1.0.0", json!({}));
        let Value::Object(given) = json!({"tags": {"extras": false}}) else { panic!() };
        release.crds = of(&chart(), &given);
        let crds = declared(&release);
        desired.release = Some(release);
        let find = async |there: bool| {
            let mut release = installed("deployed", json!({}));
            release.objects.clear();
            let releases = Vec::from_iter(there.then_some(release));
            let observed = Observed { releases, ..Observed::default() };
            let found = Difference::find(api, &desired, &observed).await.unwrap();
            let says: Vec<String> = found.changes.into_iter().map(|change| change.summary).collect();
            (found.release, found.state, says)
        };
        // Where it is installed for the first time, Helm makes them.
        let install = "install chart web 1.0.0 into site".to_owned();
        assert_eq!(find(false).await, (true, State::Missing, vec![install.clone()]));
        // The chart's content is the same, and the cluster has the definitions of an older one: a field is missing, and
        // one definition.
        let old: Value = serde_yaml::from_multiple(&definition("pools", &["size"])).unwrap().remove(0);
        api.apply_declared(&Declared { namespace: String::new(), objects: vec![old] }).await.unwrap();
        let change = "change CustomResourceDefinition pools.example.com to that of the chart: Helm does not"
            .to_owned();
        let make =
            "make CustomResourceDefinition more.example.com: Helm does not after the installation".to_owned();
        assert_eq!(find(true).await, (true, State::Different, vec![change.clone(), make]));
        assert_eq!(find(false).await, (true, State::Missing, vec![change, install]));
        api.mend(&crds).await.unwrap();
        assert_eq!(find(true).await, (false, State::Installed, vec![]));
    }
}
