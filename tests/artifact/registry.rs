//! Debian's `docker-registry`, with images that tests push into it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{sha256, skip::skip, tar};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A running registry; it ends with this value.
pub struct Registry {
    folder: TempDir,
    child: Child,
    port: u16,
}

impl Registry {
    /// Starts a registry, or says why it cannot and returns nothing: then the test is skipped.
    pub fn start() -> Option<Registry> {
        if !Path::new("/usr/bin/docker-registry").exists() {
            skip("there is no docker-registry (Debian: docker-registry)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Some(Registry::serve(folder, &data, &json!({})))
    }

    /// Another registry with the same images, which wants to know who asks: `auth` of its configuration.
    pub fn guarded(&self, auth: &Value) -> Registry {
        Registry::serve(tempfile::tempdir().unwrap(), &self.folder.path().join("data"), auth)
    }

    fn serve(folder: TempDir, data: &Path, auth: &Value) -> Registry {
        // Somebody else may take the port between our choosing it and the registry's binding to it.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut config = json!({
                "version": 0.1,
                "log": {"level": "info"},
                "storage": {"filesystem": {"rootdirectory": data}},
                "http": {"addr": format!("127.0.0.1:{port}")},
            });
            if auth.as_object().is_some_and(|auth| !auth.is_empty()) {
                config["auth"] = auth.clone();
            }
            let file = folder.path().join("config.yml");
            fs::write(&file, config.to_string()).unwrap();
            let mut command = Command::new("/usr/bin/docker-registry");
            command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            if listening(&mut child) {
                return Registry { folder, child, port };
            }
            child.kill().ok();
            child.wait().unwrap();
        }
        panic!("docker-registry does not start");
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Overwrites a blob behind the registry's back.
    pub fn damage(&self, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        let data = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        let path = data.join(&hex[..2]).join(hex).join("data");
        let length = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![b'x'; length as usize]).unwrap();
    }

    /// Pushes a small image for these architectures under an index, as `registry.k8s.io` has them. Returns the
    /// digests of the manifests.
    pub async fn push(&self, reference: &str, architectures: &[&str]) -> Vec<String> {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        let mut entries = Vec::new();
        for architecture in architectures {
            let (digest, size) = self.push_manifest(repository, None, architecture).await;
            entries.push(json!({
                "mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": architecture},
            }));
        }
        let digests = entries.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect();
        self.put(
            repository,
            tag,
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}),
        )
        .await;
        digests
    }

    /// Pushes the manifest of a small image under a tag or under its digest. Returns its digest and size.
    pub async fn push_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        architecture: &str,
    ) -> (String, usize) {
        self.push_layer(repository, tag, architecture, &layer(repository, architecture)).await
    }

    /// Pushes an image for amd64 with this archive as its root, under its tag.
    #[allow(dead_code, reason = "the tests on nodes use it")]
    pub async fn push_root(&self, reference: &str, layer: &[u8]) {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        self.push_layer(repository, Some(tag), "amd64", layer).await;
    }

    async fn push_layer(
        &self,
        repository: &str,
        tag: Option<&str>,
        architecture: &str,
        layer: &[u8],
    ) -> (String, usize) {
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))]},
        });
        let config = config.to_string().into_bytes();
        let layer = json!({"mediaType": LAYER, "digest": self.push_blob(repository, layer).await, "size": layer.len()});
        let config = json!({"mediaType": CONFIG, "digest": self.push_blob(repository, &config).await, "size": config.len()});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let text = manifest.to_string();
        let digest = format!("sha256:{}", sha256(text.as_bytes()));
        self.put(repository, tag.unwrap_or(&digest), MANIFEST, &manifest).await;
        (digest, text.len())
    }

    /// Pushes a packed Helm chart as `helm push` does.
    pub async fn push_chart(&self, reference: &str, chart: &[u8]) {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        let config = self.push_blob(repository, b"{}").await;
        let layer = self.push_blob(repository, chart).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": config, "size": 2},
            "layers": [{
                "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                "digest": layer, "size": chart.len(),
            }],
        });
        self.put(repository, tag, MANIFEST, &manifest).await;
    }

    /// Pushes an image from an archive in the OCI layout, under its tag. The archive has one image, of one layer or more.
    #[allow(dead_code, reason = "the tests on nodes use it")]
    pub async fn push_archive(&self, reference: &str, archive: &Path) {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        let mut blobs = std::collections::HashMap::new();
        let mut tar = tar::Archive::new(fs::File::open(archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            blobs.insert(name, content);
        }
        let index: Value = serde_json::from_slice(&blobs["index.json"]).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let file = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
        let manifest: Value = serde_json::from_slice(&blobs[&file(digest)]).unwrap();
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            self.push_blob(repository, &blobs[&file(blob["digest"].as_str().unwrap())]).await;
        }
        let media_type = manifest["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        self.put(repository, tag, &media_type, &manifest).await;
    }

    async fn put(&self, repository: &str, name: &str, media_type: &str, manifest: &Value) {
        let url = format!("{}/v2/{repository}/manifests/{name}", self.url());
        let request = reqwest::Client::new().put(url).header("content-type", media_type);
        let response = request.body(manifest.to_string()).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }

    async fn push_blob(&self, repository: &str, content: &[u8]) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::new();
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let begun = client.post(url).send().await.unwrap();
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let digest = format!("sha256:{}", sha256(content));
        let response =
            client.put(format!("{location}&digest={digest}")).body(content.to_vec()).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        digest
    }
}

/// The one layer of a pushed image.
pub fn layer(repository: &str, architecture: &str) -> Vec<u8> {
    tar("program", format!("{repository} for {architecture}").as_bytes())
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits for the registry to say that it listens, and goes on reading its log so that it never blocks.
fn listening(child: &mut Child) -> bool {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if line.contains("listening on") {
                sender.send(()).ok();
            }
        }
    });
    receiver.recv_timeout(Duration::from_secs(20)).is_ok()
}
