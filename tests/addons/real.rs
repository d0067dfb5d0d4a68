//! Rendered values against the real charts' own files, where the folder named by `HOIST_CHART_VALUES` has them as
//! `NAME/values.yaml` and `NAME/values.schema.json`: packed as a chart, and judged by what `plan` judges values with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use hoist::{
    addon::{self, Error, Sources},
    artifact::{self, Index},
    engine::Library,
    inventory,
};
use serde_json::Value;

use crate::{render, type_of, walk};

/// Charts inside of others, whose values have a file of their own; `null` lets in all that is below.
const INSIDE: [(&str, &str, &str); 1] = [("metallb", "frr-k8s", "frrk8s: null\n")];

/// Checks what `plan` says of the values that an add-on gets by these inventories, and that the file of its keys has what
/// the chart has. With `UPDATE=1` that file is written.
pub fn assert_real(addon: &str, inventories: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index { charts: vec![packed(addon, folder.path())], ..Index::default() };
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let policy =
        "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a, namespace: default}}";
    fs::write(policies.join("a.yaml"), policy).unwrap();
    let policies = format!("policies: {}", policies.display());
    for text in inventories {
        let text = text.replace("policies: policies", &policies);
        let inventory = inventory::parse("test", &text).unwrap_or_else(|error| panic!("{error:?}")).inventory;
        let (library, home) = (Library::default(), folder.path());
        let sources = Sources {
            inventory: &inventory,
            index: Some(&index),
            library: &library,
            home,
            needs_secrets: false,
        };
        let mistakes = match addon::desired(&sources) {
            Err(Error::Mistakes { mistakes }) => mistakes,
            Err(error) => panic!("{addon}: {error}"),
            Ok(_) => Vec::new(),
        };
        // Other add-ons have no chart here.
        let about = |mistake: &&String| mistake.starts_with(&format!("{addon}: "));
        let wrong: Vec<&String> = mistakes.iter().filter(about).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{text}");
    }
    let keys = keys(addon, inventories);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/addons").join(format!("{addon}.keys"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &keys).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), keys, "{}: UPDATE=1 writes it", file.display());
}

fn real(addon: &str, name: &str) -> Option<String> {
    let folder = std::env::var_os("HOIST_CHART_VALUES")
        .expect("HOIST_CHART_VALUES: the folder with charts' own values");
    fs::read_to_string(PathBuf::from(folder).join(addon).join(name)).ok()
}

/// A chart with the real files.
fn packed(addon: &str, folder: &Path) -> artifact::Chart {
    let mut files = vec![
        ("Chart.yaml".to_owned(), format!("name: {addon}\nversion: 1.0.0\n")),
        ("values.yaml".to_owned(), real(addon, "values.yaml").expect("the chart's values.yaml")),
    ];
    files.extend(real(addon, "values.schema.json").map(|text| ("values.schema.json".to_owned(), text)));
    for (_, inner, values) in INSIDE.iter().filter(|(outer, ..)| *outer == addon) {
        files.push((format!("charts/{inner}/Chart.yaml"), format!("name: {inner}\n")));
        files.push((format!("charts/{inner}/values.yaml"), values.to_string()));
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{addon}/{name}"), text.as_bytes()).unwrap();
    }
    let packed = archive.into_inner().unwrap().finish().unwrap();
    let path = folder.join("chart.tgz");
    fs::write(&path, &packed).unwrap();
    let (version, sha256) = ("1.0.0".to_owned(), "a".repeat(64));
    artifact::Chart { name: addon.to_owned(), version, path, sha256, size: packed.len() as u64 }
}

/// The keys that hoist gives values, each with the type that the chart's own value or else its schema has.
fn keys(addon: &str, inventories: &[String]) -> String {
    let values: Value = serde_yaml::from_str(&real(addon, "values.yaml").unwrap()).unwrap();
    let schema: Value =
        real(addon, "values.schema.json").map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    let mut lines: Vec<String> = Vec::new();
    for inventory in inventories {
        walk("", &render(inventory, addon).values, &mut |path, given| {
            let keys: Vec<String> = path.split('.').map(|key| key.replace('/', "~1")).collect();
            let kind = match values.pointer(&format!("/{}", keys.join("/"))) {
                Some(Value::Object(own)) if own.is_empty() => "any",
                Some(Value::String(own)) if own.is_empty() && !given.is_string() => "any",
                None | Some(Value::Null) => declared(&schema, &keys),
                Some(own) => type_of(own),
            };
            // The schema has the last word where it takes several.
            let kind = if kind == "object" || kind == type_of(given) { kind } else { "any" };
            let line = format!("{path} {kind}\n");
            if !lines.contains(&line) {
                lines.push(line);
            }
            kind == "object"
        });
    }
    format!(
        "# The keys of {addon}'s chart that hoist gives values, each with its type there; `any` is open. Made from the chart's own\n\
         # files: UPDATE=1 HOIST_CHART_VALUES=FOLDER cargo test --test addons the_real_chart -- --ignored\n{}",
        lines.concat()
    )
}

/// The only type that a schema has for what is at these keys; `any` where it says none, or several.
fn declared(schema: &Value, keys: &[String]) -> &'static str {
    let path: Vec<String> = keys.iter().map(|key| format!("/properties/{key}")).collect();
    let said = schema.pointer(&path.concat()).map_or("", |said| said["type"].as_str().unwrap_or_default());
    match said {
        "string" => "string",
        "boolean" => "boolean",
        "array" => "array",
        "object" => "object",
        "number" | "integer" => "number",
        _ => "any",
    }
}
