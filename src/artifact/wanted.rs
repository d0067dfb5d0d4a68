//! What the hosts of an inventory need, by name and version: pure, from the catalogue.

use super::{
    Error,
    catalogue::{Place, Release, downloads},
    charts,
    lock::Architecture,
};
use crate::inventory::{Chart, Inventory, KubeadmAddon};

/// What is to be pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub kubernetes: String,
    /// The hosts have the first.
    pub architectures: Vec<Architecture>,
    pub files: Vec<File>,
    pub images: Vec<Image>,
    pub charts: Vec<Chart>,
}

/// A file that is to be pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub version: String,
    pub architecture: Architecture,
    pub place: Place,
    pub url: String,
    /// Where its SHA-256 is published.
    pub sums: Option<String>,
    pub member: Option<String>,
}

/// An image that is to be pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    pub reference: String,
    pub architecture: Architecture,
    /// Every node may run it, not only workers.
    pub everywhere: bool,
}

/// Everything that the hosts need, for each of the architectures.
///
/// # Errors
/// [`Error::UnknownRelease`] when the catalogue does not have the inventory's Kubernetes.
pub fn wanted(inventory: &Inventory, architectures: &[Architecture]) -> Result<Wanted, Error> {
    let release = Release::find(&inventory.cluster.kubernetes)?;
    let skipped: Vec<&str> = inventory.skipped_addons().into_iter().map(KubeadmAddon::name).collect();
    let downloads = downloads()?;
    let mut wanted = Wanted {
        kubernetes: release.version.to_string(),
        architectures: Vec::new(),
        files: Vec::new(),
        images: Vec::new(),
        charts: Vec::new(),
    };
    let extra = charts::extra(inventory)?;
    wanted.charts = extra.charts;
    // They are the same for every architecture, and laid out for the first.
    let files = architectures.first().into_iter().flat_map(|&architecture| {
        extra.files.iter().map(move |file| File {
            name: file.name.clone(),
            version: file.version.clone(),
            architecture,
            place: Place::Installer,
            url: file.url.clone(),
            sums: None,
            member: None,
        })
    });
    wanted.files.extend(files);
    for &architecture in architectures {
        if wanted.architectures.contains(&architecture) {
            continue;
        }
        wanted.architectures.push(architecture);
        for download in &downloads {
            let Some(version) = release.tool(&download.name) else { continue };
            let name = architecture.name();
            wanted.files.push(File {
                name: download.name.clone(),
                architecture,
                place: download.place,
                url: download.url(&version, name),
                sums: download.sums(&version, name),
                member: download.member(&version, name),
                version,
            });
        }
        for (name, reference) in release.images() {
            if !skipped.contains(&name) {
                let name = name.to_owned();
                wanted.images.push(Image { name, reference, architecture, everywhere: false });
            }
        }
        wanted.images.extend(extra.images.iter().map(|(name, reference, everywhere)| Image {
            name: name.clone(),
            reference: reference.clone(),
            architecture,
            everywhere: *everywhere,
        }));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn names(version: &str, cluster: &str, architectures: &[Architecture]) -> String {
        let text = format!(
            "cluster: {{name: a, kubernetes: {version}{cluster}}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}}}\n"
        );
        let inventory = inventory::parse("test", &text).unwrap().inventory;
        let wanted = wanted(&inventory, architectures).unwrap();
        let files = wanted.files.iter().map(|file| format!("{} {}", file.name, file.url));
        let images = wanted.images.iter().map(|image| format!("{} {}", image.name, image.reference));
        files.chain(images).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_release_of_the_catalogue_is_listed() {
        insta::assert_snapshot!(names("1.20.2", "", &[Architecture::Amd64]), @"
        kubeadm https://dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubeadm
        kubelet https://dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubelet
        kubectl https://dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubectl
        crictl https://github.com/kubernetes-sigs/cri-tools/releases/download/v1.20.0/crictl-v1.20.0-linux-amd64.tar.gz
        etcd https://github.com/etcd-io/etcd/releases/download/v3.4.13/etcd-v3.4.13-linux-amd64.tar.gz
        kube-apiserver k8s.gcr.io/kube-apiserver:v1.20.2
        kube-controller-manager k8s.gcr.io/kube-controller-manager:v1.20.2
        kube-scheduler k8s.gcr.io/kube-scheduler:v1.20.2
        kube-proxy k8s.gcr.io/kube-proxy:v1.20.2
        coredns k8s.gcr.io/coredns:1.7.0
        etcd k8s.gcr.io/etcd:3.4.13-0
        pause k8s.gcr.io/pause:3.2
        ");
    }

    #[test]
    fn a_current_release_brings_what_goes_with_it() {
        insta::assert_snapshot!(names("1.36.5", "", &[Architecture::Arm64]), @"
        kubeadm https://dl.k8s.io/release/v1.36.5/bin/linux/arm64/kubeadm
        kubelet https://dl.k8s.io/release/v1.36.5/bin/linux/arm64/kubelet
        kubectl https://dl.k8s.io/release/v1.36.5/bin/linux/arm64/kubectl
        crictl https://github.com/kubernetes-sigs/cri-tools/releases/download/v1.36.0/crictl-v1.36.0-linux-arm64.tar.gz
        containerd https://github.com/containerd/containerd/releases/download/v2.3.5/containerd-static-2.3.5-linux-arm64.tar.gz
        runc https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.arm64
        cni-plugins https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz
        etcd https://github.com/etcd-io/etcd/releases/download/v3.6.8/etcd-v3.6.8-linux-arm64.tar.gz
        helm https://get.helm.sh/helm-v4.3.0-linux-arm64.tar.gz
        kube-apiserver registry.k8s.io/kube-apiserver:v1.36.5
        kube-controller-manager registry.k8s.io/kube-controller-manager:v1.36.5
        kube-scheduler registry.k8s.io/kube-scheduler:v1.36.5
        kube-proxy registry.k8s.io/kube-proxy:v1.36.5
        coredns registry.k8s.io/coredns/coredns:v1.14.2
        etcd registry.k8s.io/etcd:3.6.8-0
        pause registry.k8s.io/pause:3.10.2
        ");
    }

    #[test]
    fn addons_that_are_left_out_need_no_image() {
        let all = names("1.20.2", ", skip_addons: [coredns, kube-proxy]", &[Architecture::Amd64]);
        assert!(!all.contains("coredns") && !all.contains("kube-proxy"), "{all}");
    }

    #[test]
    fn manifests_are_pinned_once_for_all_architectures() {
        let network = ", network: {plugin: cilium}}\naddons: {cilium: {gateway_api: true}";
        let all = names("1.36.5", network, &[Architecture::Amd64, Architecture::Arm64]);
        assert_eq!(all.matches("gateway-api https://").count(), 1, "{all}");
        assert!(
            !names("1.36.5", ", network: {plugin: cilium}", &[Architecture::Amd64]).contains("gateway-api")
        );
    }

    #[test]
    fn every_architecture_has_its_own_files() {
        let all = names("1.20.2", "", &[Architecture::Amd64, Architecture::Arm64, Architecture::Amd64]);
        assert_eq!(all.matches("/arm64/").count(), 3);
        assert_eq!(all.matches("/amd64/").count(), 3);
    }
}
