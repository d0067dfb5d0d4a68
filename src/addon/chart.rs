//! What a packed Helm chart says of itself: its own values and their schema, its folder `crds/`, and the charts in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Error;

/// Values, schema or list of dependencies of a chart; the largest in use have some hundred kilobytes.
const MAX_FILE: u64 = 16 << 20;
/// Charts in charts in charts.
const MAX_DEPTH: usize = 5;

/// A chart as far as values and its folder `crds/` are concerned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// The values that it comes with.
    pub values: Map<String, Value>,
    /// `values.schema.json`, where it has one.
    pub schema: Option<Value>,
    /// The charts in it, by the keys that their values have.
    pub charts: BTreeMap<String, Chart>,
    /// Which values switch those charts on, by the same keys.
    pub conditions: BTreeMap<String, String>,
    /// The tags by which values switch several of those charts at once, by the same keys.
    pub tags: BTreeMap<String, Vec<String>>,
    /// The objects in its own folder `crds/`.
    pub crds: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Chart {
    /// Reads a packed chart.
    ///
    /// # Errors
    /// [`Error::Chart`].
    pub fn load(path: &Path) -> Result<Chart, Error> {
        let failed = |reason: String| Error::Chart { path: path.to_path_buf(), reason };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        Chart::unpack(file, 0).map_err(failed)
    }

    fn unpack(packed: impl Read, depth: usize) -> Result<Chart, String> {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(GzDecoder::new(packed));
        for entry in archive.entries().map_err(|error| error.to_string())? {
            let mut entry = entry.map_err(|error| error.to_string())?;
            let path = entry.path().map_err(|error| error.to_string())?.into_owned();
            // The first folder is the chart's name.
            let inner: PathBuf = path.components().skip(1).collect();
            if !matters(&inner) {
                continue;
            }
            let mut content = Vec::new();
            entry.by_ref().take(MAX_FILE).read_to_end(&mut content).map_err(|error| error.to_string())?;
            files.insert(inner, content);
        }
        if !files.contains_key(Path::new("Chart.yaml")) {
            return Err(String::from("it has no Chart.yaml"));
        }
        Chart::of(&files, Path::new(""), depth)
    }

    /// Whether one of the charts in it is on, as Helm decides: by the first of its conditions that there is among its values,
    /// or else by its tags, one of which must be on where one is off. `tags` are those of the outermost chart's values.
    pub fn is_on(&self, key: &str, values: &Value, tags: &Value) -> bool {
        let conditions = self.conditions.get(key).map_or("", String::as_str);
        let at = |path: Vec<&str>| values.pointer(&format!("/{}", path.join("/")))?.as_bool();
        if let Some(said) = paths(conditions).find_map(at) {
            return said;
        }
        let said: Vec<bool> =
            self.tags.get(key).into_iter().flatten().filter_map(|tag| tags[tag.as_str()].as_bool()).collect();
        said.is_empty() || said.contains(&true)
    }

    /// The tags of the charts in it, and of those in these.
    pub fn all_tags(&self) -> BTreeSet<&str> {
        let own = self.tags.values().flatten().map(String::as_str);
        own.chain(self.charts.values().flat_map(Chart::all_tags)).collect()
    }

    fn of(files: &BTreeMap<PathBuf, Vec<u8>>, at: &Path, depth: usize) -> Result<Chart, String> {
        if depth > MAX_DEPTH {
            return Err(String::from("charts lie in each other deeper than any should"));
        }
        let text = |name: &str| files.get(&at.join(name)).map(|bytes| String::from_utf8_lossy(bytes));
        let wrong = |name: &str, reason: String| format!("{}: {reason}", at.join(name).display());
        let mut chart = Chart::default();
        if let Some(text) = text("values.yaml").filter(|text| !text.trim().is_empty()) {
            let values: Value = super::yaml_value(&text).map_err(|reason| wrong("values.yaml", reason))?;
            chart.values = match values {
                Value::Object(values) => values,
                _ => Map::new(),
            };
        }
        if let Some(text) = text("values.schema.json") {
            let schema = serde_json::from_str(&text);
            chart.schema = Some(schema.map_err(|error| wrong("values.schema.json", error.to_string()))?);
        }
        let metadata = match text("Chart.yaml") {
            Some(text) => {
                serde_yaml::from_str(&text).map_err(|error| wrong("Chart.yaml", error.to_string()))?
            }
            None => Metadata::default(),
        };
        for (path, content) in files.iter().filter(|(path, _)| path.starts_with(at.join("crds"))) {
            let text = String::from_utf8_lossy(content);
            let objects = serde_yaml::from_multiple::<Value>(&text)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            chart.crds.extend(objects.into_iter().filter(|object| object["kind"].is_string()));
        }
        for dependency in &metadata.dependencies {
            let key = dependency.alias.as_ref().unwrap_or(&dependency.name);
            if let Some(condition) = &dependency.condition {
                chart.conditions.insert(key.clone(), condition.clone());
            }
            if !dependency.tags.is_empty() {
                chart.tags.insert(key.clone(), dependency.tags.clone());
            }
        }
        for (name, inner) in Chart::inner(files, &at.join("charts"), depth)? {
            let mut keys: Vec<&str> = Vec::new();
            for dependency in metadata.dependencies.iter().filter(|dependency| dependency.name == name) {
                keys.push(dependency.alias.as_deref().unwrap_or(&name));
            }
            if keys.is_empty() {
                keys.push(&name);
            }
            for key in keys {
                chart.charts.insert(key.to_owned(), inner.clone());
            }
        }
        Ok(chart)
    }

    /// The charts in a folder `charts/`, unpacked or packed, by their names.
    fn inner(
        files: &BTreeMap<PathBuf, Vec<u8>>,
        folder: &Path,
        depth: usize,
    ) -> Result<Vec<(String, Chart)>, String> {
        let mut found = Vec::new();
        for (path, content) in files {
            let Ok(below) = path.strip_prefix(folder) else { continue };
            let parts: Vec<&str> = below.iter().filter_map(|part| part.to_str()).collect();
            match parts[..] {
                [name, "Chart.yaml"] => {
                    found.push((name.to_owned(), Chart::of(files, &folder.join(name), depth + 1)?));
                }
                [packed] if packed.ends_with(".tgz") => {
                    let stem = packed.trim_end_matches(".tgz");
                    let digit = |(index, _): &(usize, &str)| {
                        stem[index + 1..].trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
                    };
                    let end = stem.match_indices('-').find(digit).map_or(stem.len(), |(index, _)| index);
                    found.push((stem[..end].to_owned(), Chart::unpack(&content[..], depth + 1)?));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The keys of each path in a condition.
pub fn paths(condition: &str) -> impl Iterator<Item = Vec<&str>> {
    let paths = condition.split(',').map(str::trim).filter(|path| !path.is_empty());
    paths.map(|path| path.split('.').collect())
}

fn matters(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    matches!(name, "Chart.yaml" | "values.yaml" | "values.schema.json")
        || is_definition(path)
        || name.ends_with(".tgz") && path.parent().is_some_and(|folder| folder.ends_with("charts"))
}

/// Whether Helm takes it for a manifest of a folder `crds/`, of the chart or of one in it.
fn is_definition(path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let mut inner = &parts[..];
    while let ["charts", _, rest @ ..] = inner {
        inner = rest;
    }
    let manifest =
        path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|it| ending == *it));
    manifest && inner.len() > 1 && inner[0] == "crds"
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// Packs files as Helm does.
    pub fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *content).unwrap();
        }
        let mut packer = archive.into_inner().unwrap();
        packer.flush().unwrap();
        packer.finish().unwrap()
    }

    pub fn unpacked(packed: &[u8]) -> Chart {
        Chart::unpack(packed, 0).unwrap()
    }

    #[test]
    fn charts_in_charts_have_the_keys_of_their_values() {
        let packed = pack(&[("crds/Chart.yaml", b"name: crds\n"), ("crds/values.yaml", b"on: true\n")]);
        let outer = pack(&[
            ("web/Chart.yaml", b"name: web\ndependencies: [{name: db, alias: store}, {name: db}]\n"),
            ("web/values.yaml", b"replicas: 1\n"),
            ("web/values.schema.json", b"{\"type\": \"object\"}"),
            ("web/charts/db/Chart.yaml", b"name: db\n"),
            ("web/charts/db/values.yaml", b"size: 1Gi\n"),
            ("web/charts/crds-1.2.3.tgz", &packed),
            ("web/templates/values.yaml", b"{{ no yaml"),
        ]);
        let chart = Chart::unpack(&outer[..], 0).unwrap();
        assert_eq!(chart.values["replicas"], 1);
        assert!(chart.schema.is_some());
        assert_eq!(chart.charts.keys().collect::<Vec<_>>(), ["crds", "db", "store"]);
        assert_eq!(chart.charts["store"].values["size"], "1Gi");
        assert_eq!(chart.charts["crds"].values["on"], true);
    }

    #[test]
    fn what_is_no_chart_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.tgz");
        std::fs::write(&path, "<html>").unwrap();
        assert!(matches!(Chart::load(&path), Err(Error::Chart { .. })));
        std::fs::write(&path, pack(&[("web/values.yaml", b"a: 1\n")])).unwrap();
        assert!(Chart::load(&path).unwrap_err().to_string().contains("no Chart.yaml"));
    }
}
