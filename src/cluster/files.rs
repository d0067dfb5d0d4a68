//! Where hosts get files from, as the inventory says.

use std::{collections::BTreeMap, path::Path};

use crate::{
    artifact::Index,
    engine::Place,
    inventory::{ArtifactsFrom, Inventory},
};

/// Where the hosts are that pass files on to each other: none of them where everything comes from the installer.
pub fn places(inventory: &Inventory) -> BTreeMap<String, Place> {
    let hosts = inventory.hosts.iter().filter(|_| inventory.artifacts.from != ArtifactsFrom::Installer);
    hosts
        .map(|(name, host)| (name.clone(), Place { site: host.site.clone(), address: host.address }))
        .collect()
}

/// The variables of the environment in which hosts fetch files for themselves. Servers that the inventory names
/// (`artifacts.url`) are its own: they need no way to the internet.
pub fn environment(inventory: &Inventory) -> Vec<(String, String)> {
    let proxy = inventory.cluster.proxy.as_ref();
    let Some(proxy) = proxy.filter(|_| inventory.artifacts.from == ArtifactsFrom::Origin) else {
        return Vec::new();
    };
    let (http, https) = proxy.addresses();
    let variables = [("http_proxy", http), ("https_proxy", https)];
    let variables = variables.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    let directly = ("no_proxy", inventory.reached_directly().join(","));
    variables.chain([directly]).map(|(name, value)| (name.to_string(), value)).collect()
}

/// Where hosts fetch a file themselves; empty where they do not.
pub(super) fn url(inventory: &Inventory, index: &Index, file: &Path, sha256: &str) -> String {
    if let Some(origin) = index.origins.get(sha256) {
        return origin.clone();
    }
    let folder = format!("kubernetes-{}", index.kubernetes);
    let below = file.ancestors().find(|above| above.ends_with(&folder)).and_then(|above| above.parent());
    match (&inventory.artifacts.url, below.and_then(|below| file.strip_prefix(below).ok())) {
        (Some(url), Some(path)) => format!("{}/{}", url.trim_end_matches('/'), path.display()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        artifact::{File, Image},
        cluster::targets::targets,
        facts::Facts,
        inventory::{self, Proxy},
    };

    fn lab() -> Inventory {
        inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory
    }

    #[test]
    fn hosts_fetch_files_by_the_paths_of_the_folder() {
        let mut lab = lab();
        let index = Index { kubernetes: "1.20.2".into(), ..Index::default() };
        let file = Path::new("/cache/kubernetes-1.20.2/images/pause.tar");
        assert_eq!(url(&lab, &index, file, "aa"), "");
        lab.artifacts.url = Some("http://files:8080/hoist/".into());
        assert_eq!(
            url(&lab, &index, file, "aa"),
            "http://files:8080/hoist/kubernetes-1.20.2/images/pause.tar"
        );
        assert_eq!(url(&lab, &index, Path::new("/elsewhere/pause.tar"), "aa"), "");
    }

    #[test]
    fn files_that_have_an_origin_are_fetched_there_and_images_are_not() {
        let (mut lab, facts) = (lab(), [("w1".to_string(), Facts::default())].into());
        lab.artifacts.from = ArtifactsFrom::Origin;
        let path = PathBuf::from("/cache/kubernetes-1.20.2/kubelet");
        let file = |name: &str, sha256: &str| File {
            name: name.into(),
            path: path.clone(),
            sha256: sha256.into(),
            ..File::default()
        };
        let (kubelet, containerd) = ("https://dl.k8s.io/kubelet", "https://github.com/containerd.tar.gz");
        let index = Index {
            kubernetes: "1.20.2".into(),
            files: vec![file("kubelet", "aa")],
            extras: vec![file("containerd", "bb"), file("etcd", "dd")],
            images: vec![Image {
                name: "pause".into(),
                reference: "k8s.gcr.io/pause:3.2".into(),
                path: path.clone(),
                sha256: "cc".into(),
                size: 1,
                digest: "sha256:11".into(),
                everywhere: false,
            }],
            origins: [("aa", kubelet), ("bb", containerd)].map(|(of, at)| (of.into(), at.into())).into(),
            ..Index::default()
        };
        let context = &targets(&lab, &facts, Some(&index), None)[0].context;
        let host = context.get("host");
        assert_eq!(host["binaries"][0]["url"], kubelet);
        assert_eq!(host["containerd"]["archive"]["url"], containerd);
        assert_eq!(host["images"][0]["url"], "");
        assert_eq!(context.get("cluster")["extras"]["etcd"]["url"], "", "it has no address");
        assert_eq!(places(&lab).len(), 3, "what they cannot fetch they pass on");
    }

    #[test]
    fn releases_are_fetched_by_the_proxy_and_files_nearby_are_not() {
        let mut lab = lab();
        lab.artifacts.from = ArtifactsFrom::Origin;
        assert_eq!(environment(&lab), []);
        let http = Some("http://proxy:3128".to_string());
        lab.cluster.proxy = Some(Proxy { http, no_proxy: vec![".lan".into()], ..Proxy::default() });
        let variables = environment(&lab);
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http_proxy", "https_proxy", "no_proxy"]);
        assert_eq!(variables[1].1, "http://proxy:3128");
        assert!(variables[2].1.contains("127.0.0.0/8") && variables[2].1.ends_with(",.lan"), "{variables:?}");
        lab.artifacts.from = ArtifactsFrom::Peers;
        assert_eq!(environment(&lab), []);
    }

    #[test]
    fn hosts_pass_files_on_unless_the_inventory_says_otherwise() {
        let mut lab = lab();
        let address = lab.hosts["w1"].address;
        assert_eq!(places(&lab)["w1"], Place { site: None, address });
        assert_eq!(places(&lab).len(), 3);
        let sites = inventory::parse("ha.yaml", include_str!("../../inventory/ha.yaml")).unwrap().inventory;
        assert!(sites.hosts.values().any(|host| host.site.is_some()));
        for (name, place) in places(&sites) {
            assert_eq!(place.site, sites.hosts[&name].site, "{name}: between sites each byte goes once");
        }
        lab.artifacts.from = ArtifactsFrom::Installer;
        assert_eq!(places(&lab), BTreeMap::new());
    }
}
