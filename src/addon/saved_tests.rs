//! What is kept and given back, with folders that are damaged and clusters that have something else.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::addon::gate::testing::Cluster;

const PLACE: &str = "cert-manager";

/// A Secret as cert-manager makes it, with a certificate until the first day of a year.
pub fn issued(namespace: &str, name: &str, issuer: &str, year: i32) -> Value {
    let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace, "uid": "8b0d", "resourceVersion": "7",
            "labels": {"controller.cert-manager.io/fao": "true"},
            "annotations": {ISSUER: issuer, ISSUER_KIND: "ClusterIssuer", "cert-manager.io/certificate-name": name,
                "kubectl.kubernetes.io/last-applied-configuration": "a copy"}},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key.serialize_pem())}})
}

/// The key of an account with an authority.
pub fn account(name: &str) -> Value {
    let key = KeyPair::generate().unwrap().serialize_pem();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": PLACE},
           "data": {"tls.key": STANDARD.encode(key)}})
}

fn names(named: &[Named]) -> Vec<String> {
    named.iter().map(|named| format!("{}/{}", named.namespace, named.name)).collect()
}

/// A cluster with certificates, of which some are worth keeping.
async fn cluster() -> Cluster {
    let mut cluster = Cluster::new(&["cp1"]).await;
    for secret in [
        account("acme-production-account"),
        issued(PLACE, "own-ca", "self-signed", 2090),
        issued("shop", "www", PRODUCTION, 2090),
        issued("shop", "trial", "acme-staging", 2090),
        issued("shop", "inside", "own-ca", 2090),
    ] {
        cluster.put(secret);
    }
    cluster
}

fn read(folder: &Path) -> Saved {
    Saved::read(folder, PLACE, true).unwrap()
}

#[tokio::test]
async fn what_is_kept_is_given_back_to_a_cluster_that_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("kept/office");
    let first = cluster().await;
    let api = first.bench("").api;
    let expected = ["cert-manager/acme-production-account", "cert-manager/own-ca", "shop/www"];
    assert_eq!(names(&read(&folder).stale(api).await.unwrap()), expected);
    read(&folder).keep(api).await.unwrap().unwrap();
    assert_eq!(read(&folder).stale(api).await.unwrap(), []);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }

    let second = Cluster::new(&["cp1"]).await;
    let api = second.bench("").api;
    let saved = read(&folder);
    assert_eq!(names(&saved.missing(api).await.unwrap()), expected);
    saved.give_back(api).await.unwrap();
    let (old, new) = (first.object("Secret", "www"), second.object("Secret", "www"));
    assert_eq!((&old["data"], &old["type"]), (&new["data"], &new["type"]));
    // By these cert-manager knows that it is what the Certificate asks for.
    assert_eq!(new["metadata"]["annotations"][ISSUER], PRODUCTION);
    assert_eq!(new["metadata"]["labels"], old["metadata"]["labels"]);
    assert!(new["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].is_null());
    assert_eq!(saved.missing(api).await.unwrap(), []);
    assert_eq!(second.names("Namespace"), [PLACE, "shop"]);
}

#[tokio::test]
async fn what_the_cluster_has_stays_and_what_has_ended_is_not_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Cluster::new(&["cp1"]).await;
    first.put(issued("shop", "www", PRODUCTION, 2090));
    first.put(issued("shop", "ended", PRODUCTION, 2020));
    read(folder.path()).keep(first.bench("").api).await.unwrap().unwrap();
    let saved = read(folder.path());
    assert_eq!(names(&saved.usable()), ["shop/www"]);
    assert_eq!(
        saved.given(&saved.usable()[0]),
        format!("give back Secret shop/www (until 2090-01-01), kept in {}", folder.path().display())
    );
    let mut second = Cluster::new(&["cp1"]).await;
    let own = issued("shop", "www", PRODUCTION, 2089);
    second.put(own.clone());
    saved.give_back(second.bench("").api).await.unwrap();
    assert_eq!(second.object("Secret", "www")["data"], own["data"]);
    assert_eq!(second.names("Secret"), ["www"]);
}

#[tokio::test]
async fn a_renewed_one_takes_its_place_and_a_root_that_is_another_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = cluster().await;
    read(folder.path()).keep(cluster.bench("").api).await.unwrap().unwrap();
    let root = fs::read(folder.path().join("cert-manager.own-ca.json")).unwrap();
    cluster.put(issued("shop", "www", PRODUCTION, 2091));
    cluster.put(issued(PLACE, "own-ca", "self-signed", 2091));
    let saved = read(folder.path());
    assert_eq!(
        names(&saved.stale(cluster.bench("").api).await.unwrap()),
        ["cert-manager/own-ca", "shop/www"]
    );
    saved.keep(cluster.bench("").api).await.unwrap().unwrap();
    assert_eq!(fs::read(folder.path().join("cert-manager.own-ca.old")).unwrap(), root);
    assert!(!folder.path().join("shop.www.old").exists());
    assert_eq!(read(folder.path()).stale(cluster.bench("").api).await.unwrap(), []);
}

#[tokio::test]
async fn an_authority_that_the_inventory_gives_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster().await;
    let api = cluster.bench("").api;
    read(folder.path()).keep(api).await.unwrap().unwrap();
    let given = Saved::read(folder.path(), PLACE, false).unwrap();
    assert!(names(&given.usable()).iter().all(|name| !name.ends_with("own-ca")));
    fs::remove_file(folder.path().join("cert-manager.own-ca.json")).unwrap();
    assert_eq!(Saved::read(folder.path(), PLACE, false).unwrap().stale(api).await.unwrap(), []);
}

#[test]
fn a_file_that_cannot_be_used_is_named_without_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| write_private(&folder.path().join(name), text.as_bytes()).unwrap();
    let whole = issued("shop", "www", PRODUCTION, 2090);
    let key = whole["data"]["tls.key"].as_str().unwrap().to_owned();
    let mut torn = whole.clone();
    torn["data"]["tls.crt"] = json!("aHVudGVyMg==");
    let mut keyless = whole.clone();
    keyless["data"].as_object_mut().unwrap().shift_remove("tls.key");
    write("shop.half.json", &whole.to_string()[..400]);
    write("shop.other.json", &whole.to_string());
    write("shop.torn.json", &torn.to_string());
    write("shop.keyless.json", &keyless.to_string());
    write("shop.www.json", &whole.to_string());
    fs::set_permissions(folder.path().join("shop.www.json"), fs::Permissions::from_mode(0o644)).unwrap();
    // None of these is one of hoist's.
    write("notes.txt", "x");
    write(".shop.www.json.77", "x");
    let told = Saved::read(folder.path(), PLACE, true).unwrap_err();
    assert_eq!(told.len(), 5, "{told:?}");
    let of = |name: &str| told.iter().find(|line| line.contains(name)).unwrap();
    for name in ["half", "torn", "keyless"] {
        assert!(of(name).contains("it is no Secret that hoist has kept"), "{told:?}");
    }
    assert!(of("shop.other.json").contains("name it shop.www.json"), "{told:?}");
    assert!(told.iter().any(|line| line.contains("others may read it (mode 0644)")), "{told:?}");
    assert!(!told.concat().contains(&key[..40]) && !told.concat().contains("aHVudGVy"), "{told:?}");
}

#[test]
fn a_name_never_leads_out_of_the_folder() {
    for (namespace, name) in
        [("shop", "../../.ssh/authorized_keys"), ("..", "www"), ("a.b", "www"), ("a/b", "www")]
    {
        assert!(Kept::of(&issued(namespace, name, PRODUCTION, 2090)).is_none(), "{namespace} {name}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = home.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    let cluster = cluster().await;
    let folder = taken.join("office");
    let saved = Saved { folder: folder.clone(), namespace: PLACE.into(), own: true, files: BTreeMap::new() };
    let told = saved.keep(cluster.bench("").api).await.unwrap().unwrap_err();
    assert!(told.starts_with(&folder.display().to_string()), "{told}");
}

#[tokio::test]
async fn nothing_that_is_kept_is_ever_printed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster().await;
    read(folder.path()).keep(cluster.bench("").api).await.unwrap().unwrap();
    let saved = read(folder.path());
    let key = cluster.object("Secret", "www")["data"]["tls.key"].as_str().unwrap().to_owned();
    let told: Vec<String> = saved.usable().iter().map(|named| saved.given(named)).collect();
    assert!(!format!("{saved:?} {told:?}").contains(&key[..40]));
}
