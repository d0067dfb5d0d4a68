//! What runs containers on a host: where containerd comes from, how its configuration is written, and how it reaches
//! registries.

use serde_json::{Value, json};

use super::files::url;
use crate::{
    artifact::{File, Index},
    facts::Facts,
    inventory::{Inventory, Mirror, Plugin},
};

/// What templates see as `host.containerd`.
pub(super) fn containerd(inventory: &Inventory, index: Option<&Index>, facts: &Facts) -> Value {
    let archive = index.and_then(|index| index.extra("containerd"));
    let version = archive.map_or(facts.containerd.version.as_str(), |file| file.version.as_str());
    let (major, minor) = release(version);
    let plugins = index.and_then(|index| index.extra("cni-plugins"));
    let sent = |file: &File| {
        let url = index.map(|index| url(inventory, index, &file.path, &file.sha256));
        json!({"source": file.path, "url": url.unwrap_or_default(), "sha256": file.sha256})
    };
    json!({
        "archive": archive.map(sent),
        "runc": index.and_then(|index| index.extra("runc")).map(sent),
        "cni_plugins": plugins.map(sent),
        "package": package(facts),
        // Version 3 of the format came with containerd 2.0, which still reads version 2; 1.x reads no other.
        "format": if major >= 2 { 3 } else { 2 },
        // 2.1 took `bin_dirs` in place of `bin_dir`, which 2.3 does not know any more.
        "bin_dirs": (major, minor) >= (2, 1),
        // Cilium's agent puts its own plugin, and the one for loopback, into one folder on all hosts.
        "cni": match inventory.cluster.network.plugin {
            Plugin::Bridge if plugins.is_none() => packaged_plugins(facts),
            _ => "/opt/cni/bin",
        },
    })
}

/// The package that brings containerd. Nothing but Fedora of the Red Hat family has one of its own: there it is Docker's,
/// which stays wherever it is installed.
fn package(facts: &Facts) -> &'static str {
    let docker = facts.containerd.name == "containerd.io";
    if docker || (facts.os.family == "redhat" && facts.os.id != "fedora") {
        "containerd.io"
    } else {
        "containerd"
    }
}

/// Where the package with the network plugins puts them.
fn packaged_plugins(facts: &Facts) -> &'static str {
    if facts.os.family == "redhat" { "/usr/libexec/cni" } else { "/usr/lib/cni" }
}

/// Major and minor number of `2.1.5` and of packages' versions such as `1:1.7.24~ds1-6+b4`; zeros where they are not
/// known, which is as old as possible: every containerd reads the older format.
fn release(version: &str) -> (u32, u32) {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What templates see as `cluster.proxy`: null where there is none.
pub(super) fn proxy(inventory: &Inventory) -> Value {
    let Some(proxy) = &inventory.cluster.proxy else { return Value::Null };
    let (http, https) = proxy.addresses();
    // apt takes single servers only: no networks and no domains.
    let servers =
        proxy.no_proxy.iter().filter(|entry| !entry.contains(['/', '*', ':']) && !entry.starts_with('.'));
    json!({
        "http": http,
        "https": https,
        "no_proxy": inventory.reached_directly().join(","),
        "servers": servers.collect::<Vec<_>>(),
    })
}

/// What templates see as `cluster.registries`: each with its mirrors, in the order of the inventory.
pub(super) fn registries(inventory: &Inventory) -> Value {
    let all = inventory.cluster.registries.iter();
    all.map(|(name, mirrors)| json!({"name": name, "folder": folder(name), "mirrors": shown(name, mirrors)}))
        .collect()
}

/// What templates see as `cluster.authorities`: the mirrors with a certificate that has to be on the host.
pub(super) fn authorities(inventory: &Inventory) -> Value {
    let all = inventory.cluster.registries.iter();
    all.flat_map(|(name, mirrors)| shown(name, mirrors)).filter(|mirror| !mirror["ca"].is_null()).collect()
}

fn folder(registry: &str) -> String {
    format!("/etc/containerd/certs.d/{registry}")
}

fn shown(registry: &str, mirrors: &[Mirror]) -> Vec<Value> {
    let one = |(index, mirror): (usize, &Mirror)| {
        json!({
            "url": mirror.url.trim_end_matches('/'),
            "capabilities": mirror.capabilities,
            "ca": mirror.ca.as_ref().map(|text| format!("{}\n", text.trim())),
            "ca_path": format!("{}/ca-{index}.crt", folder(registry)),
            "skip_verify": mirror.skip_verify,
            "override_path": mirror.override_path,
        })
    };
    mirrors.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn lab() -> Inventory {
        inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory
    }

    #[test]
    fn with_cilium_plugins_are_in_one_folder_on_all_hosts() {
        let mut inventory = lab();
        inventory.cluster.network.plugin = Plugin::Cilium;
        for facts in ["os.id=debian\n", "os.id=rhel\nos.like=fedora\n"] {
            assert_eq!(containerd(&inventory, None, &Facts::parse(facts))["cni"], "/opt/cni/bin", "{facts}");
        }
    }

    #[test]
    fn the_format_follows_from_the_version() {
        for (version, expected) in [
            ("1.7.24~ds1-6+b4", (2, false)),
            ("1.6.20~ds1-1+deb12u3", (2, false)),
            ("", (2, false)),
            ("(none)", (2, false)),
            ("2.0.7", (3, false)),
            ("2.1.5", (3, true)),
            ("2.3.5", (3, true)),
            ("0:2.1.4-1.el9", (3, true)),
            ("3.0.0", (3, true)),
        ] {
            let facts = Facts::parse(&format!("containerd=containerd {version}\n"));
            let context = containerd(&lab(), None, &facts);
            assert_eq!(
                (&context["format"], &context["bin_dirs"]),
                (&json!(expected.0), &json!(expected.1)),
                "{version}"
            );
        }
    }

    #[test]
    fn an_archive_decides_before_any_package() {
        let file = |name: &str, version: &str| File {
            name: name.into(),
            path: format!("/a/{name}").into(),
            sha256: "00".into(),
            size: 1,
            version: version.into(),
        };
        let index = Index {
            extras: vec![file("containerd", "2.1.5"), file("cni-plugins", "1.9.1")],
            ..Index::default()
        };
        let facts = Facts::parse("containerd=containerd 1.7.24~ds1-6\nos.id=debian\n");
        let with = containerd(&lab(), Some(&index), &facts);
        assert_eq!((&with["format"], &with["cni"]), (&json!(3), &json!("/opt/cni/bin")));
        assert_eq!(with["archive"]["source"], "/a/containerd");
        assert_eq!(with["runc"], Value::Null);
        let without = containerd(&lab(), Some(&Index::default()), &facts);
        assert_eq!((&without["format"], &without["cni"]), (&json!(2), &json!("/usr/lib/cni")));
    }

    #[test]
    fn packages_have_other_names_elsewhere() {
        for (facts, package, plugins) in [
            ("os.id=debian\n", "containerd", "/usr/lib/cni"),
            ("os.id=ubuntu\nos.like=debian\n", "containerd", "/usr/lib/cni"),
            (
                "os.id=ubuntu\nos.like=debian\ncontainerd=containerd.io 1.7.27-1\n",
                "containerd.io",
                "/usr/lib/cni",
            ),
            ("os.id=rhel\nos.like=fedora\n", "containerd.io", "/usr/libexec/cni"),
            ("os.id=fedora\n", "containerd", "/usr/libexec/cni"),
        ] {
            let context = containerd(&lab(), None, &Facts::parse(facts));
            assert_eq!((&context["package"], &context["cni"]), (&json!(package), &json!(plugins)), "{facts}");
        }
    }

    #[test]
    fn what_is_near_is_not_asked_for_through_the_proxy() {
        let text = "cluster:\n  name: a\n  kubernetes: 1.20.2\n  endpoint: {address: api.office.lan}\n  proxy: {http: 'http://proxy.office.lan:3128', no_proxy: [.office.lan, 10.9.0.0/16, mirror.office.lan]}\n\
                    hosts: {a: {address: 10.0.0.1, roles: [control-plane]}, b: {address: 10.0.0.2, roles: [worker]}}\n";
        let inventory = inventory::parse("test", text).unwrap().inventory;
        let context = proxy(&inventory);
        assert_eq!(context["https"], "http://proxy.office.lan:3128", "as for http");
        insta::assert_snapshot!(context["no_proxy"].as_str().unwrap(), @"localhost,127.0.0.0/8,::1,.svc,.cluster.local,10.244.0.0/16,10.96.0.0/12,api.office.lan,10.0.0.1,a,10.0.0.2,b,.office.lan,10.9.0.0/16,mirror.office.lan");
        assert_eq!(context["servers"], json!(["mirror.office.lan"]));
        let none = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        assert_eq!(proxy(&none), Value::Null);
    }
}
