//! Container images.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Delivery, Kind, Mode, Observations, Probe, quote};

/// A container image in containerd, imported from an archive when it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The name that pods use.
    pub reference: String,
    /// Digest of the image's manifest, as `ctr images ls` shows it.
    pub digest: String,
    /// The local archive.
    pub source: String,
    /// Where each host can fetch the archive itself; what it cannot comes from the installer.
    #[serde(default)]
    pub url: String,
    /// Lower-case hex SHA-256 of the archive.
    pub sha256: String,
}

impl Image {
    fn archive(&self) -> String {
        format!("/var/lib/hoist/image-{}.tar", self.sha256)
    }

    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            source: self.source.clone(),
            destination: self.archive(),
            sha256: self.sha256.clone(),
            mode: Mode(0o600),
            url: (!self.url.is_empty()).then(|| self.url.clone()),
            public: true,
            // The layers as they are in the archive, and unpacked. Those that are compressed take more.
            beside: Some(("/var/lib/containerd".to_string(), 2)),
        }
    }
}

impl Kind for Image {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Images]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let change = Change::new(format!("import image {}", self.reference));
        match seen.images.get(&self.reference) {
            None => Some(change),
            Some(digest) if *digest == self.digest => None,
            Some(digest) => Some(change.attribute("digest", digest, &self.digest)),
        }
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let (file, reference) = (quote(&self.archive()), quote(&self.reference));
        // The pinned label keeps the kubelet's garbage collection away from what a site without a registry
        // could not pull again (honoured by containerd 1.7 and newer, harmless before).
        let text = format!(
            "ctr -n k8s.io images import --digests=false {file} >/dev/null && \
             ctr -n k8s.io images label {reference} io.cri-containerd.pinned=pinned >/dev/null; s=$?\n\
             rm -f {file}; rmdir /var/lib/hoist 2>/dev/null\n\
             [ $s = 0 ] || df -h /var/lib/containerd >&2; exit $s"
        );
        vec![Act::Send(self.delivery()), Act::Script { text, stdin: None, timeout: Duration::from_secs(900) }]
    }
}
