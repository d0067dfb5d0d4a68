//! What each add-on shall be: pure, from the inventory, the artifacts and the library.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{
    Definition, Error, KEEP, SecretObject, chart::Chart, crds, definition::ManifestFile, order, saved::Saved,
    secret, values,
};
use crate::{
    artifact::{self, Index},
    cluster,
    engine::{Context, Library, Templates},
    inventory::{Inventory, Own, Wanted, expand_home},
    kube::{Declared, documents},
    task::sha256,
    yaml::{self, Source},
};

/// An add-on as it shall be.
#[derive(Debug, Clone)]
pub struct Desired {
    pub name: String,
    pub definition: Definition,
    /// The add-ons that it cannot work without: where one of these fails, it is not begun.
    pub needs: Vec<String>,
    /// What the inventory says of it, with defaults.
    pub settings: Map<String, Value>,
    pub release: Option<Release>,
    pub secrets: Vec<Secret>,
    /// Applied before the chart.
    pub before: Declared,
    /// Applied after it.
    pub manifests: Declared,
    /// The inventory's hosts: what is proven of each node is proven of these. Rented nodes come and go.
    pub hosts: BTreeSet<String>,
    /// What outlives the cluster.
    pub saved: Option<Saved>,
}

/// A chart and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    pub chart: artifact::Chart,
    pub values: Map<String, Value>,
    /// The CustomResourceDefinitions that Helm makes once and never changes.
    pub crds: Vec<Value>,
}

/// A Secret with what is in it, which no message shows.
#[derive(Debug, Clone)]
pub struct Secret {
    pub name: String,
    pub namespace: String,
    /// Its type, as Kubernetes has it.
    pub kind: String,
    pub data: BTreeMap<String, SecretString>,
    /// Keys that are made up where the cluster has none, each with its length.
    pub generate: BTreeMap<String, u32>,
    /// Keys whose values are not where the inventory says, each with why: they are not compared.
    pub missing: BTreeMap<String, String>,
    /// Whether it stays when its add-on is removed.
    pub kept: bool,
}

/// What everything is made from.
pub struct Sources<'a> {
    pub inventory: &'a Inventory,
    /// The artifacts; without them no chart can be told.
    pub index: Option<&'a Index>,
    pub library: &'a Library,
    /// What `~` means.
    pub home: &'a Path,
    /// Whether a secret that is not where the inventory says is a mistake. For those who only look it is none.
    pub needs_secrets: bool,
}

/// What all wanted add-ons shall be, in an order in which they can be installed.
///
/// # Errors
/// Every mistake in what is asked for, at once.
pub fn desired(sources: &Sources<'_>) -> Result<Vec<Desired>, Error> {
    let wanted = sources.inventory.wanted();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut definitions = Vec::new();
    for wanted in &wanted {
        definitions.push(match &wanted.own {
            Some(own) => of_own(own),
            None => definition(sources.library, &wanted.name)?,
        });
    }
    let templates = Templates::new(sources.library.clone());
    let mut common = cluster::surroundings(sources.inventory, sources.index);
    let all = wanted.iter().map(|wanted| (wanted.name.clone(), Value::Object(wanted.settings.clone())));
    common.set("addons", all.collect::<Map<String, Value>>());
    let (mut contexts, mut needs) = (Vec::new(), Vec::new());
    for (wanted, definition) in wanted.iter().zip(&definitions) {
        let mut context = common.clone();
        context.set("settings", &wanted.settings);
        context.set("storage", order::storage(sources.inventory, &wanted.settings));
        needs.push(order::needs(wanted, definition, &templates, &context)?);
        contexts.push(context);
    }
    let mut mistakes = order::mistakes(sources.inventory, &wanted, &definitions, &needs);
    let mut made = Vec::new();
    for (((wanted, definition), needs), context) in wanted.iter().zip(definitions).zip(needs).zip(contexts) {
        let maker = Maker { sources, templates: &templates, wanted, definition, needs, context };
        made.extend(maker.make(&mut mistakes)?);
    }
    if mistakes.is_empty() { Ok(order::sorted(made)) } else { Err(Error::Mistakes { mistakes }) }
}

/// The definition of an add-on of the library.
///
/// # Errors
/// When there is none, or every mistake in it.
pub fn definition(library: &Library, name: &str) -> Result<Definition, Error> {
    let unknown = || Error::Unknown { name: name.to_owned(), known: library.addons() };
    let text = library.addon_text(name, "addon.yaml")?.ok_or_else(unknown)?;
    Ok(yaml::read(&Source::new(format!("roles/addons/{name}/addon.yaml"), text))?.value)
}

fn of_own(own: &Own) -> Definition {
    Definition {
        about: String::from("your own"),
        namespace: own.namespace.clone(),
        chart: own.chart.as_ref().map(|chart| chart.name.clone()),
        values: None,
        before: Vec::new(),
        artifacts: Vec::new(),
        manifests: Vec::new(),
        folders: Vec::new(),
        secrets: Vec::new(),
        more_secrets: None,
        network: false,
        after: own.after.clone(),
        requires: Vec::new(),
        hosts: None,
        gates: Vec::new(),
        timeout: own.timeout,
        rollback: true,
        minor_by_minor: false,
        kept: Vec::new(),
        inside: Vec::new(),
    }
}

struct Maker<'a> {
    sources: &'a Sources<'a>,
    templates: &'a Templates,
    wanted: &'a Wanted,
    definition: Definition,
    needs: Vec<String>,
    context: Context,
}

impl Maker<'_> {
    fn make(mut self, mistakes: &mut Vec<String>) -> Result<Option<Desired>, Error> {
        let name = &self.wanted.name;
        let applies =
            |name: &String| super::gate::gate(name).is_none_or(|gate| gate.applies(&self.wanted.settings));
        self.definition.gates.retain(applies);
        let before = mistakes.len();
        for gate in self.definition.gates.iter().filter(|gate| super::gate::gate(gate).is_none()) {
            mistakes.push(format!("{name}: there is no gate `{gate}`"));
        }
        let release = self.release(mistakes)?;
        let mut secrets = Vec::new();
        for wanted in self.definition.secrets.iter().chain(&self.more_secrets()?) {
            let plain = |text: &str| self.templates.text(&self.place("addon.yaml"), text, &self.context);
            let (settings, namespace) = (&self.wanted.settings, &self.definition.namespace);
            match secret::read(wanted, settings, namespace, self.sources.home, &plain)? {
                Ok(secret) => {
                    let missing = secret.iter().flat_map(|secret| secret.missing.values());
                    if self.sources.needs_secrets {
                        mistakes.extend(missing.map(|reason| format!("{name}: {reason}")));
                    }
                    secrets.extend(secret);
                }
                Err(reasons) => {
                    mistakes.extend(reasons.into_iter().map(|reason| format!("{name}: {reason}")))
                }
            }
        }
        let mut first = self.objects(&self.definition.before)?;
        first.objects.extend(self.brought_by_artifacts()?);
        let mut after = self.objects(&self.definition.manifests)?;
        let own = self.wanted.own.as_ref().and_then(|own| own.manifests.as_deref());
        let said = self.definition.folders.iter().filter_map(|key| self.wanted.settings.get(key)?.as_str());
        for folder in own.into_iter().chain(said.map(Path::new)) {
            match folder_objects(&expand_home(folder, self.sources.home)) {
                Ok(objects) => after.objects.extend(objects),
                Err(reason) => mistakes.push(format!("{name}: {reason}")),
            }
        }
        let saved = match self.saved() {
            Ok(saved) => saved,
            Err(reasons) => {
                mistakes.extend(reasons.into_iter().map(|reason| format!("{name}: {reason}")));
                None
            }
        };
        let whole = mistakes.len() == before;
        Ok(whole.then(|| Desired {
            name: name.clone(),
            settings: self.wanted.settings.clone(),
            release,
            secrets,
            before: first,
            manifests: after,
            definition: self.definition,
            needs: self.needs,
            saved,
            hosts: self.sources.inventory.hosts.keys().cloned().collect(),
        }))
    }

    /// What the administrator's machine keeps of it.
    fn saved(&self) -> Result<Option<Saved>, Vec<String>> {
        let said = self.wanted.settings.get("keep").and_then(Value::as_str);
        let Some(said) = said.filter(|_| self.wanted.name == "cert-manager") else { return Ok(None) };
        let folder = expand_home(Path::new(said), self.sources.home);
        let folder = folder.join(&self.sources.inventory.cluster.name);
        let own = !self.wanted.settings.contains_key("ca");
        Saved::read(&folder, &self.definition.namespace, own).map(Some)
    }

    fn release(&self, mistakes: &mut Vec<String>) -> Result<Option<Release>, Error> {
        let (name, user) = (&self.wanted.name, &self.wanted.values);
        let Some(chart) = &self.definition.chart else {
            if !user.is_empty() {
                mistakes.push(format!("addons.{name}.values: it has no chart that takes values"));
            }
            return Ok(None);
        };
        let known =
            self.sources.index.and_then(|index| index.charts.iter().find(|known| known.name == *chart));
        let mut values = Value::Object(Map::new());
        if let Some(file) = &self.definition.values {
            let place = self.place(file);
            let text = self.render(file)?;
            values = yaml_value(&text).map_err(|reason| Error::Rendered { place, reason })?;
            if values.is_null() {
                values = Value::Object(Map::new());
            }
        }
        values::merge(&mut values, &Value::Object(user.clone()));
        let Value::Object(values) = values else {
            let reason = String::from("it is no map");
            return Err(Error::Rendered { place: self.place("values"), reason });
        };
        let Some(packed) = known else {
            mistakes.push(format!(
                "{name}: its chart `{chart}` is not among the artifacts: `hoist lock --fetch` gets it; where there is no \
                 internet it belongs into the bundle"
            ));
            return Ok(None);
        };
        let loaded = Chart::load(&packed.path)?;
        for mistake in values::mistakes(&loaded, &values) {
            // The nearest of the two that said something there.
            let theirs = said(user, &mistake.path);
            let keys = mistake.path.join(".");
            let place = match (theirs, &self.wanted.own) {
                (true, Some(_)) => format!("addons.own.{name}.values.{keys}"),
                (true, None) => format!("addons.{name}.values.{keys}"),
                (false, _) => {
                    format!("{name}: the value `{keys}` that hoist gives {chart} {}", packed.version)
                }
            };
            mistakes.push(format!("{place}: {}", mistake.what));
        }
        let crds = crds::of(&loaded, &values);
        Ok(Some(Release { chart: packed.clone(), values, crds }))
    }

    fn place(&self, file: &str) -> String {
        format!("roles/addons/{}/{file}", self.wanted.name)
    }

    fn render(&self, file: &str) -> Result<String, Error> {
        let place = self.place(file);
        let missing =
            || Error::Rendered { place: place.clone(), reason: String::from("there is no such file") };
        let text = self.sources.library.addon_text(&self.wanted.name, file)?.ok_or_else(missing)?;
        Ok(self.templates.text(&place, &text, &self.context)?)
    }

    fn more_secrets(&self) -> Result<Vec<SecretObject>, Error> {
        let Some(file) = &self.definition.more_secrets else { return Ok(Vec::new()) };
        let made: Value = yaml_value(&self.render(file)?)
            .map_err(|reason| Error::Rendered { place: self.place(file), reason })?;
        let list = serde_json::from_value::<Option<Vec<SecretObject>>>(made);
        let list =
            list.map_err(|error| Error::Rendered { place: self.place(file), reason: error.to_string() })?;
        Ok(list.unwrap_or_default())
    }

    /// What is in files among the artifacts. Of one that is not there nothing is known: who needs it says so.
    fn brought_by_artifacts(&self) -> Result<Vec<Value>, Error> {
        let is_on =
            |file: &&ManifestFile| self.wanted.settings.get(&file.setting) == Some(&Value::Bool(true));
        let mut objects = Vec::new();
        for wanted in self.definition.artifacts.iter().filter(is_on) {
            let Some(file) = self.sources.index.and_then(|index| index.extra(&wanted.name)) else { continue };
            let wrong = |reason: String| Error::Manifests { path: file.path.clone(), reason };
            let bytes = std::fs::read(&file.path).map_err(|error| wrong(error.to_string()))?;
            let found = sha256(&bytes);
            if found != file.sha256 {
                return Err(wrong(format!("its SHA-256 is {found}, expected {}", file.sha256)));
            }
            let all =
                documents(&String::from_utf8_lossy(&bytes)).map_err(|error| wrong(error.to_string()))?;
            objects.extend(all.into_iter().map(kept));
        }
        Ok(objects)
    }

    fn objects(&self, files: &[String]) -> Result<Declared, Error> {
        let mut declared = Declared { namespace: self.definition.namespace.clone(), objects: Vec::new() };
        for file in files {
            let wrong = |error: crate::kube::Error| Error::Rendered {
                place: self.place(file),
                reason: error.to_string(),
            };
            declared.objects.extend(documents(&self.render(file)?).map_err(wrong)?);
        }
        Ok(declared)
    }
}

/// The objects in the files of a folder, by the files' names.
fn folder_objects(folder: &Path) -> Result<Vec<Value>, String> {
    let failed = |path: &Path, reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let files: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    if files.is_empty() {
        return Err(failed(folder, &"there is no file *.yaml or *.yml in it"));
    }
    let mut objects = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        objects.extend(documents(&text).map_err(|error| failed(&path, &error))?);
    }
    Ok(objects)
}

/// An object with the mark that it stays, whatever becomes of its add-on.
fn kept(mut object: Value) -> Value {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = Value::Object(Map::new());
    }
    object["metadata"]["annotations"][KEEP] = Value::from("true");
    object
}

/// Whether there is something at this path, or ends on the way.
fn said(values: &Map<String, Value>, path: &[String]) -> bool {
    match path {
        [] => true,
        [key, rest @ ..] => match values.get(key) {
            Some(Value::Object(inner)) => rest.is_empty() || said(inner, rest),
            Some(_) => true,
            None => false,
        },
    }
}

/// A text as the values of a chart are read.
pub(super) fn yaml_value(text: &str) -> Result<Value, String> {
    let options = serde_yaml::options! { with_snippet: false };
    serde_yaml::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "desired_tests.rs"]
pub(super) mod tests;
