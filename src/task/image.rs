//! Container images.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Delivery, Kind, Mode, Observations, Probe, quote};

/// What keeps an image from the kubelet's garbage collection, and so from being lost on a site without a registry. containerd
/// 1.7 and newer honour it (`internal/cri/labels`), it does no harm before, and none takes it off an image again.
pub(super) const PINNED_LABEL: &str = "io.cri-containerd.pinned=pinned";

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
            Some(own) if own.digest != self.digest => {
                Some(change.attribute("digest", &own.digest, &self.digest))
            }
            Some(own) if own.pinned => None,
            // Pulled by somebody else, or an import that was cut off.
            Some(_) => Some(Change::new(format!("keep image {} from being removed", self.reference))),
        }
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let (file, reference) = (quote(&self.archive()), quote(&self.reference));
        let label = format!("ctr -n k8s.io images label {reference} {PINNED_LABEL} >/dev/null");
        if seen.images.get(&self.reference).is_some_and(|own| own.digest == self.digest) {
            return vec![Act::quick(label)];
        }
        let text = format!(
            "ctr -n k8s.io images import --digests=false {file} >/dev/null && {label}; s=$?\n\
             rm -f {file}; rmdir /var/lib/hoist 2>/dev/null\n\
             [ $s = 0 ] || df -h /var/lib/containerd >&2; exit $s"
        );
        vec![Act::Send(self.delivery()), Act::Script { text, stdin: None, timeout: Duration::from_secs(900) }]
    }
}
