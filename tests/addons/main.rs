//! What each add-on's templates make of inventories, and whether its chart knows every key of it.

mod cert_manager;
mod cilium;
mod ingress_nginx;
mod longhorn;
mod metallb;
mod metrics_server;
mod monitoring;
mod nfs_provisioner;
mod objects;
mod operators;
mod prometheus;
mod real;
mod registry;

use std::{collections::BTreeMap, fs, path::Path};

use hoist::{
    addon::{Definition, SecretObject},
    artifact::catalogue,
    cluster::surroundings,
    engine::{Library, Templates},
    inventory,
    yaml::{self, Source},
};
use serde_json::{Map, Value};

/// An add-on as it would be installed, before the user's own values are merged in.
pub struct Rendered {
    pub definition: Definition,
    /// The values for its chart; null without a template of values.
    pub values: Value,
    /// Its manifests by their templates' names: those before the chart, then those after it.
    pub manifests: Vec<(String, String)>,
    /// What is in its Secrets and is none, by key.
    pub plain: BTreeMap<String, String>,
    /// Its Secrets: those of its definition, then those of its template.
    pub secrets: Vec<SecretObject>,
}

/// Renders an add-on as the text of an inventory asks for it.
pub fn render(inventory: &str, addon: &str) -> Rendered {
    let inventory = inventory::parse("test", inventory).unwrap_or_else(|error| panic!("{error:?}")).inventory;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles/addons").join(addon);
    let read =
        |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let source = Source::new("addon.yaml", read("addon.yaml"));
    let definition = yaml::read::<Definition>(&source).unwrap_or_else(|error| panic!("{error:?}")).value;

    let wanted = inventory.wanted();
    let settings: Map<String, Value> =
        wanted.iter().map(|wanted| (wanted.name.clone(), Value::Object(wanted.settings.clone()))).collect();
    let mut context = surroundings(&inventory, None);
    context.set("settings", settings.get(addon).unwrap_or_else(|| panic!("{addon} is not asked for")));
    context.set("addons", settings);

    let templates = Templates::new(Library::default());
    let render = |name: &String| {
        templates.text(name, &read(name), &context).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    };
    let values = definition.values.as_ref().map_or(Value::Null, |name| {
        serde_yaml::from_str(&render(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    let manifests = definition.before.iter().chain(&definition.manifests);
    let manifests = manifests.map(|name| (name.clone(), render(name))).collect();
    let plain = definition.secrets.iter().flat_map(|secret| &secret.plain);
    let plain =
        plain.map(|(key, text)| (key.clone(), templates.text(key, text, &context).unwrap())).collect();
    let more = definition.more_secrets.iter().flat_map(|name| {
        serde_yaml::from_str::<Vec<SecretObject>>(&render(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    let secrets = definition.secrets.iter().cloned().chain(more).collect();
    Rendered { definition, values, manifests, plain, secrets }
}

impl Rendered {
    /// Everything as one text, for golden files.
    pub fn golden(&self) -> String {
        let values = serde_yaml::to_string(&self.values).unwrap();
        let manifests = self.manifests.iter().map(|(name, text)| format!("# {name}\n{text}"));
        format!("# values\n{values}{}", manifests.collect::<String>())
    }
}

impl Rendered {
    /// The objects of its manifests.
    pub fn objects(&self) -> Vec<Value> {
        let documents = self.manifests.iter().flat_map(|(name, text)| {
            serde_yaml::from_multiple::<Value>(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
        });
        documents.filter(|document| !document.is_null()).collect()
    }

    /// The object of this kind, namespace and name.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Value {
        let fits = |object: &Value| {
            let metadata = &object["metadata"];
            object["kind"] == kind && metadata["namespace"] == namespace && metadata["name"] == name
        };
        let found = self.objects().into_iter().find(fits);
        found.unwrap_or_else(|| panic!("no {kind} {namespace}/{name}"))
    }
}

/// The inventory of an office, as it comes with hoist.
pub fn office() -> String {
    include_str!("../../inventory/ha.yaml").to_owned()
}

/// The images that the catalogue has for the newest version of an add-on's chart.
pub fn catalogue_images(addon: &str) -> Vec<String> {
    let charts = catalogue::charts().unwrap_or_else(|error| panic!("{error:?}"));
    let chart = charts.into_iter().find(|chart| chart.name == addon).expect("a chart of this name");
    chart.versions[0].images.clone()
}

/// Checks the values for a chart against `tests/fixtures/addons/NAME.keys`: lines `PATH TYPE`, the paths of the real
/// chart's values that hoist uses. `TYPE` is that of a JSON value, or `any`; below a path of type `any` nothing is checked. Those of
/// charts whose own files are at hand are made from them ([`real`]), the others were written by hand after them.
pub fn assert_keys(addon: &str, values: &Value) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/addons").join(format!("{addon}.keys"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known: Vec<(&str, &str)> = lines.map(|line| line.split_once(' ').expect("PATH TYPE")).collect();
    let mut wrong = Vec::new();
    walk("", values, &mut |path, value| {
        let kind = known.iter().find(|(name, _)| *name == path).map(|(_, kind)| *kind);
        match kind {
            Some("any") => {}
            Some(kind) if kind == type_of(value) => {}
            Some(kind) => wrong.push(format!("{path} is {} instead of {kind}", type_of(value))),
            None => wrong.push(format!("{path} is no key of the chart")),
        }
        kind == Some("object")
    });
    assert!(wrong.is_empty(), "{addon}:\n{}", wrong.join("\n"));
}

/// Calls `visit` with every key below an object and its value; it says whether to go on below.
fn walk(above: &str, value: &Value, visit: &mut dyn FnMut(&str, &Value) -> bool) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if visit(&path, value) {
            walk(&path, value, visit);
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
