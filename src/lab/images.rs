//! Makes the artifacts of a cluster out of what was built: binaries for hosts and images for containerd.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    cache::{Cache, create_folder, remove},
    error::LabError,
    index, kubernetes,
    oci::{self, Spec, Tree},
    process,
    step::Workshop,
};
use crate::artifact::{self, Index};

const COLLECT: &str = include_str!("scripts/collect.sh");
const CRICTL: &str = include_str!("scripts/crictl.sh");

/// Programs that hosts get.
const HOST_BINARIES: &[&str] = &["kubeadm", "kubectl", "kubelet"];

/// What kube-proxy runs, from the node's own distribution, so that both sides speak the same rules.
/// iptables loads its extensions by name: they are no libraries that ldd would find.
const PROXY_FILES: &str = "/usr/sbin/iptables /usr/sbin/iptables-save /usr/sbin/iptables-restore \
    /usr/sbin/ip6tables /usr/sbin/ip6tables-save /usr/sbin/ip6tables-restore /usr/sbin/conntrack \
    /usr/lib/*/xtables/*.so";

/// Where an image's content comes from.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// `/usr/local/bin/NAME` from the build.
    Binary,
    /// The same and [`PROXY_FILES`].
    BinaryAndIptables,
    /// etcd as Debian packaged it, with its libraries.
    Etcd,
    /// One static file in the root.
    Pause,
    StaticServer,
}

#[derive(Debug)]
struct Image {
    name: &'static str,
    reference: &'static str,
    entrypoint: &'static [&'static str],
    content: Content,
}

/// Names and tags are those that kubeadm prints for the version; set-up compares them.
/// etcd is Debian bookworm's 3.4.23, the same minor as the 3.4.13 that the tag names.
const IMAGES: &[Image] = &[
    image("kube-apiserver", "k8s.gcr.io/kube-apiserver:v1.20.2", &["kube-apiserver"], Content::Binary),
    image(
        "kube-controller-manager",
        "k8s.gcr.io/kube-controller-manager:v1.20.2",
        &["kube-controller-manager"],
        Content::Binary,
    ),
    image("kube-scheduler", "k8s.gcr.io/kube-scheduler:v1.20.2", &["kube-scheduler"], Content::Binary),
    image("kube-proxy", "k8s.gcr.io/kube-proxy:v1.20.2", &["kube-proxy"], Content::BinaryAndIptables),
    image("pause", "k8s.gcr.io/pause:3.2", &["/pause"], Content::Pause),
    image("etcd", "k8s.gcr.io/etcd:3.4.13-0", &["etcd"], Content::Etcd),
    image("static-server", "hoist.local/static-server:1", &["/static-server"], Content::StaticServer),
];

/// CoreDNS is in no Debian archive; the lab's clusters run without it.
const NOT_MADE: &str = "k8s.gcr.io/coredns:";

const fn image(
    name: &'static str,
    reference: &'static str,
    entrypoint: &'static [&'static str],
    content: Content,
) -> Image {
    Image { name, reference, entrypoint, content }
}

/// Everything in this file that the artifacts depend on.
pub(crate) fn inputs() -> Vec<String> {
    vec![
        COLLECT.into(),
        CRICTL.into(),
        PROXY_FILES.into(),
        format!("{HOST_BINARIES:?} {IMAGES:?}"),
        oci::FORMAT.into(),
    ]
}

/// Makes the artifact folder at `folder`.
pub(crate) fn make(workshop: &mut Workshop<'_>, folder: &Path) -> Result<(), LabError> {
    let cache = workshop.cache().clone();
    let build = cache.build();
    create_folder(&folder.join("images"))?;
    for name in HOST_BINARIES {
        let source = build.join(name);
        fs::copy(&source, folder.join(name)).map_err(LabError::io("copy", &source))?;
    }
    let crictl = folder.join("crictl");
    fs::write(&crictl, CRICTL)
        .and_then(|()| fs::set_permissions(&crictl, fs::Permissions::from_mode(0o755)))
        .map_err(LabError::io("write", &crictl))?;
    compare_names(&folder.join("kubeadm"))?;

    let iptables = iptables_root(workshop)?;
    let mut images = Vec::new();
    for image in IMAGES {
        workshop.say(&format!("image {}", image.reference));
        let path = format!("images/{}.tar", image.name);
        let archive = folder.join(&path);
        let digest = tree(image, &cache, &iptables)
            .and_then(|tree| {
                oci::write(
                    &archive,
                    &Spec { reference: image.reference, entrypoint: image.entrypoint },
                    &tree,
                )
            })
            .map_err(LabError::io("write", &archive))?;
        let artifact::File { name, path, sha256, size, .. } = index::file(folder, image.name, &path)?;
        images.push(artifact::Image {
            name,
            reference: image.reference.to_owned(),
            path,
            sha256,
            size,
            digest,
            everywhere: false,
        });
    }
    let mut files = Vec::new();
    for name in HOST_BINARIES.iter().chain(&["crictl"]) {
        files.push(index::file(folder, name, name)?);
    }
    index::write(
        &Index {
            kubernetes: kubernetes::VERSION.to_owned(),
            origin: kubernetes::origin(),
            files,
            images,
            ..Index::default()
        },
        folder,
    )
}

fn tree(image: &Image, cache: &Cache, iptables: &Path) -> std::io::Result<Tree> {
    let build = cache.build();
    let program = format!("usr/local/bin/{}", image.name);
    let binary = |tree: Tree| tree.file(&program, &build.join(image.name), 0o755);
    Ok(match image.content {
        Content::Binary => binary(Tree::default()),
        Content::BinaryAndIptables => binary(Tree::default().folder(iptables)?),
        Content::Etcd => Tree::default().folder(&build.join("etcd"))?,
        Content::Pause => Tree::default().file("pause", &build.join("pause"), 0o755),
        Content::StaticServer => Tree::default().file("static-server", &cache.static_server(), 0o755),
    })
}

/// A root with iptables and conntrack, out of an unpacked node root file system.
fn iptables_root(workshop: &mut Workshop<'_>) -> Result<PathBuf, LabError> {
    workshop.say("unpacking the node root file system for iptables");
    let root = workshop.work().join("node");
    remove(&root)?;
    create_folder(&root)?;
    let mut unpack = Command::new("tar");
    // Only what iptables needs: programs, libraries and the links of alternatives.
    unpack.arg("--extract").arg("--file").arg(workshop.cache().node_tar()).arg("--directory").arg(&root);
    unpack.args(["./usr", "./etc/alternatives", "./dev", "./bin", "./sbin", "./lib", "./lib64"]);
    workshop.run(unpack)?;
    let script = root.join("collect.sh");
    fs::write(&script, COLLECT).map_err(LabError::io("write", &script))?;
    let mut collect = Command::new("chroot");
    collect.arg(&root).args(["sh", "-c", &format!("exec sh /collect.sh /collected {PROXY_FILES}")]);
    workshop.run(collect)?;
    let collected = root.join("collected");
    // A library that was missed shows here, and not weeks later in a cluster without services.
    for program in ["/usr/sbin/iptables", "/usr/sbin/ip6tables-restore", "/usr/sbin/conntrack"] {
        let mut test = Command::new("chroot");
        test.arg(&collected).args([program, "--version"]);
        workshop.run(test)?;
    }
    Ok(collected)
}

/// The table above against what kubeadm itself says.
fn compare_names(kubeadm: &Path) -> Result<(), LabError> {
    let mut command = Command::new(kubeadm);
    command.args(["config", "images", "list", "--kubernetes-version", &format!("v{}", kubernetes::VERSION)]);
    let names = unknown_names(&process::output(command)?);
    if names.is_empty() { Ok(()) } else { Err(LabError::ImageNames { names }) }
}

fn unknown_names(wanted: &str) -> Vec<String> {
    wanted
        .lines()
        .filter(|name| !name.is_empty() && !name.starts_with(NOT_MADE))
        .filter(|name| IMAGES.iter().all(|image| image.reference != *name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_what_kubeadm_prints() {
        let printed = "k8s.gcr.io/kube-apiserver:v1.20.2\nk8s.gcr.io/pause:3.2\nk8s.gcr.io/coredns:1.7.0\n";
        assert!(unknown_names(printed).is_empty());
        assert_eq!(unknown_names("k8s.gcr.io/pause:3.5\n"), ["k8s.gcr.io/pause:3.5"]);
    }

    #[test]
    fn names_and_references_are_unique() {
        for (position, image) in IMAGES.iter().enumerate() {
            assert!(IMAGES[..position].iter().all(|other| other.name != image.name));
            assert!(IMAGES[..position].iter().all(|other| other.reference != image.reference));
        }
    }
}
