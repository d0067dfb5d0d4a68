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
