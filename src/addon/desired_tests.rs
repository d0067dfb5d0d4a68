use super::*;

/// A release of a chart that is not read.
pub fn chart(name: &str, version: &str, values: Value) -> Release {
    let chart = artifact::Chart {
        name: name.into(),
        version: version.into(),
        path: PathBuf::new(),
        sha256: "a".repeat(64),
        size: 1,
    };
    let Value::Object(values) = values else { panic!() };
    Release { chart, values, crds: Vec::new() }
}

/// An add-on that installs nothing.
pub fn nothing(name: &str, namespace: &str) -> Desired {
    let text = format!("about: A test.\nnamespace: {namespace}\n");
    let definition = yaml::read::<Definition>(&Source::new("addon.yaml", text)).unwrap().value;
    let none = Declared { namespace: namespace.to_owned(), objects: Vec::new() };
    Desired {
        name: name.to_owned(),
        definition,
        needs: Vec::new(),
        settings: Map::new(),
        release: None,
        secrets: Vec::new(),
        before: none.clone(),
        manifests: none,
        hosts: BTreeSet::new(),
        saved: None,
    }
}

#[test]
fn who_only_looks_needs_no_secrets() {
    let text = "cluster: {name: a, kubernetes: 1.36.2}\nhosts: {a: {address: 10.0.0.1, roles: [control-plane, worker]}}\n\
                addons: {registry: {host: r.lan, storage_class: fast, tls: false, users: {env: HOIST_TEST_NOT_SET}}}\n";
    let inventory = crate::inventory::parse("test", text).unwrap().inventory;
    let library = Library::default();
    let made = |needs_secrets| {
        let home = Path::new("/nonexistent");
        super::desired(&Sources {
            inventory: &inventory,
            index: None,
            library: &library,
            home,
            needs_secrets,
        })
    };
    let refused = made(true).unwrap_err().to_string();
    assert!(refused.contains("registry: users: the environment variable HOIST_TEST_NOT_SET"), "{refused}");
    let looked = made(false).unwrap();
    assert_eq!(looked[0].secrets[0].missing.keys().collect::<Vec<_>>(), ["htpasswd"]);
    // What was proven is proven with it or without.
    let mut given = looked[0].clone();
    given.secrets[0].data = [("htpasswd".to_owned(), "ada:x".into())].into();
    given.secrets[0].missing.clear();
    assert_eq!(crate::addon::identity::digest(&given), crate::addon::identity::digest(&looked[0]));
}

#[test]
fn manifests_among_the_artifacts_come_before_the_chart_where_their_setting_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let (file, addon) = (folder.path().join("gateway-api"), folder.path().join("roles/addons/cilium"));
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n# Nothing.\n---\napiVersion: v1\nkind: ConfigMap\n\
                metadata: {name: two, annotations: {a: b}}\n";
    std::fs::write(&file, text).unwrap();
    std::fs::create_dir_all(&addon).unwrap();
    let definition =
        "about: A test.\nnamespace: kube-system\nartifacts: [{name: gateway-api, setting: gateway_api}]\n";
    std::fs::write(addon.join("addon.yaml"), definition).unwrap();
    let library = Library::new(Some(folder.path().to_owned()));
    let made = |on: bool, sha256: &str, names: &[&str]| {
        let text = format!(
            "cluster: {{name: a, kubernetes: 1.36.2, network: {{plugin: cilium}}}}\nhosts: {{a: {{address: 10.0.0.1, roles: \
             [control-plane, worker]}}}}\naddons: {{cilium: {{gateway_api: {on}}}}}\n"
        );
        let inventory = crate::inventory::parse("test", &text).unwrap().inventory;
        let file = |name: &&str| artifact::File {
            name: (*name).to_owned(),
            path: file.clone(),
            sha256: sha256.to_owned(),
            ..artifact::File::default()
        };
        let index = Index { extras: names.iter().map(file).collect(), ..Index::default() };
        let home = Path::new("/nonexistent");
        let (inventory, index, library) = (&inventory, Some(&index), &library);
        let made = super::desired(&Sources { inventory, index, library, home, needs_secrets: true })?;
        Ok::<_, Error>(made[0].before.objects.clone())
    };
    let right = sha256(text.as_bytes());
    let objects = made(true, &right, &["helm", "gateway-api"]).unwrap();
    let said = objects.iter().map(|object| object["metadata"].clone()).collect::<Vec<_>>();
    let one = serde_json::json!({"name": "one", "annotations": {"hoist.dev/keep": "true"}});
    let two = serde_json::json!({"name": "two", "annotations": {"a": "b", "hoist.dev/keep": "true"}});
    assert_eq!(said, [one, two]);
    assert!(made(false, &right, &["gateway-api"]).unwrap().is_empty());
    assert!(made(true, &right, &["helm"]).unwrap().is_empty(), "who needs it says that it is missing");
    let damaged = made(true, &"0".repeat(64), &["gateway-api"]).unwrap_err().to_string();
    assert!(damaged.contains("gateway-api cannot be used: its SHA-256 is "), "{damaged}");
}
