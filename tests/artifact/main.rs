//! Artifacts against real servers on the loopback interface: a web server that misbehaves on demand, and Debian's
//! container registry. No official release is contacted: `--mirror` and `--registry` lead everything here.

#[path = "../support/archive.rs"]
mod archive;
#[path = "../support/skip.rs"]
mod skip;

mod bundles;
mod charts;
mod commands;
mod containerd;
mod downloads;
mod images;
mod limits;
mod logins;
mod reached;
mod registry;
mod server;

use std::{io::Write as _, path::Path, time::Duration};

use archive::{sha256, tar};

use hoist::artifact::{Files, Http, Patience, Registry, Source, Store};

/// The same as `.tar.gz`. Nothing is compressed in it, so that its digest does not depend on a library's version.
fn tar_gz(name: &str, content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&tar(name, content)).unwrap();
    encoder.finish().unwrap()
}

/// A source with little patience and its cache in `folder`.
fn source(folder: &Path, files: &str, registry: Option<&str>) -> Source {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(500),
        pause: Duration::from_millis(1),
        retries: 3,
    };
    Source {
        http: Http::new(patience).unwrap(),
        files: Files::parse(files).unwrap(),
        registry: registry.map_or(Registry::Official, |url| Registry::parse(url).unwrap()),
        store: Store::at(folder.join("store")),
    }
}
