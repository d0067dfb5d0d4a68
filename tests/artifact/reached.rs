//! Whether a release can be reached: asked of each server once, and without patience.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use hoist::{
    artifact::{self, Architecture, Error, Files, Http, Patience, Registry, Source, Wanted},
    inventory,
};

use super::{commands::Site, server::Fault, source};

const KUBEADM: &str = "/dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubeadm";
const CRICTL: &str =
    "/github.com/kubernetes-sigs/cri-tools/releases/download/v1.20.0/crictl-v1.20.0-linux-amd64.tar.gz";

/// A mirror with a release, the way to it, and what is wanted.
async fn bed() -> Option<(Site, Source, Wanted)> {
    let site = Site::new().await?;
    let inventory = inventory::load(&site.path("site.yaml")).unwrap().inventory;
    let wanted = artifact::wanted(&inventory, &[Architecture::Amd64]).unwrap();
    let way = source(site.folder.path(), &site.mirror.url(), Some(&site.registry.url()));
    Some((site, Source { http: Http::new(Patience::BRIEF).unwrap(), ..way }, wanted))
}

#[tokio::test]
async fn each_server_is_asked_for_one_thing() {
    let Some((site, source, wanted)) = bed().await else { return };
    artifact::reach(&source, &wanted).await.unwrap();
    let mut log = site.mirror.log();
    log.sort();
    assert_eq!(log, [format!("HEAD {KUBEADM}"), format!("HEAD {CRICTL}")]);
    assert!(!site.path("store").exists(), "nothing is kept");
}

#[tokio::test]
async fn one_server_that_does_not_answer_is_enough() {
    for (path, fault) in [(KUBEADM, Fault::Status(503)), (CRICTL, Fault::Status(404))] {
        // Its own each time: what the other question was answered may come when nobody waits for it any more.
        let Some((site, source, wanted)) = bed().await else { return };
        site.mirror.faults(path, [fault.clone()]);
        let error = artifact::reach(&source, &wanted).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { url, .. } if url.ends_with(path)), "{fault:?}: {error}");
    }
    let Some((_site, source, wanted)) = bed().await else { return };
    let nobody = Registry::parse("http://127.0.0.1:9").unwrap();
    let error = artifact::reach(&Source { registry: nobody, ..source }, &wanted).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_is_silent() {
    let Some((_site, source, wanted)) = bed().await else { return };
    // The kernel takes the connection, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let files = Files::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let begun = Instant::now();
    let error = artifact::reach(&Source { files, ..source }, &wanted).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
