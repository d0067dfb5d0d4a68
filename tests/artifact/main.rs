//! Artifacts against real servers on the loopback interface: a web server that misbehaves on demand, and Debian's
//! container registry. No official release is contacted: `--mirror` and `--registry` lead everything here.

#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;

mod bundles;
mod commands;
mod downloads;
mod images;
mod registry;
mod server;

use std::{path::Path, time::Duration};

use hoist::artifact::{Files, Http, Patience, Registry, Source, Store};

/// Lower-case hex SHA-256.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
