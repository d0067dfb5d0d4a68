//! The whole of a control plane behind a virtual address, with etcd on hosts of its own: hardened and not, for every release
//! with the newest form of kubeadm's configuration.

use std::{collections::BTreeMap, fmt::Write as _};

use hoist::{
    artifact::catalogue::{self, Minor},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};
use serde_json::json;

use super::bed::{METAL, index, written};

/// Everything that is on unless it is switched off.
const OFF: &str = "security: {encryption: false, audit: {enabled: false}, kubelet_certificates: false, kernel_defaults: false, \
                   benchmark: false}, ";

/// The control planes as the first run finds them: one begins the cluster, one joins it.
fn control_planes(release: &str, security: &str) -> Vec<Vec<RoleSteps>> {
    let text = format!(
        "cluster: {{name: golden, kubernetes: \"{release}\", etcd: external, {security}endpoint: {{vip: 10.0.0.9}}}}\n\
         hosts:\n  cp1: {{address: 10.0.0.1, roles: [control-plane]}}\n  cp2: {{address: 10.0.0.2, roles: [control-plane]}}\n  \
         e1: {{address: 10.0.0.3, roles: [etcd]}}\n  w1: {{address: 10.0.0.4, roles: [worker]}}\n"
    );
    let inventory = inventory::parse("golden.yaml", &text).unwrap().inventory;
    let facts: Observed = inventory
        .hosts
        .iter()
        .map(|(name, host)| {
            (name.clone(), Facts::parse(&format!("{METAL}address=ens192 {}/24\n", host.address)))
        })
        .collect();
    let library = Library::default();
    let templates = Templates::new(library.clone());
    let targets = targets(&inventory, &facts, Some(&index()), None);
    targets[..2].iter().map(|target| compile(&library, &templates, target).unwrap()).collect()
}

/// The files that are there only where a control plane is, by path.
fn files(roles: &[RoleSteps]) -> BTreeMap<String, String> {
    let shared = ["base", "containerd", "fetch", "bridge", "kubernetes"];
    let steps =
        roles.iter().filter(|role| !shared.contains(&role.role.as_str())).flat_map(|role| &role.steps);
    let files = steps.filter_map(|step| match &step.task {
        Task::File(file) => Some((format!("{} {}", file.path, file.mode), file.content.clone())),
        _ => None,
    });
    files.collect()
}

fn readable(files: &BTreeMap<String, String>) -> String {
    files.iter().fold(String::new(), |mut text, (path, content)| {
        write!(text, "--- {path}\n{content}").unwrap();
        text
    })
}

fn newest_form() -> Vec<Minor> {
    let minors = catalogue::minors().unwrap();
    let newest = minors.last().unwrap().kubeadm_api;
    minors.into_iter().filter(|minor| minor.kubeadm_api == newest).collect()
}

#[test]
fn what_a_control_plane_gets_with_all_defences_and_with_none() {
    let oldest = newest_form()[0].defaults[0].seen.to_string();
    let hardened = files(&control_planes(&oldest, "")[0]);
    insta::assert_snapshot!("control-plane", readable(&hardened));
    // The rest is as above.
    let mut open = files(&control_planes(&oldest, OFF)[0]);
    let gone: Vec<&String> = hardened.keys().filter(|path| !open.contains_key(*path)).collect();
    let gone = format!("not there: {gone:#?}\n");
    open.retain(|path, content| hardened.get(path) != Some(content));
    insta::assert_snapshot!("control-plane-open", gone + &readable(&open));
}

#[test]
fn what_pods_may_ask_for_is_what_the_inventory_says() {
    let release = newest_form()[0].defaults[0].seen.to_string();
    for (said, enforce, warn, exempt) in [
        ("{}", "baseline", "restricted", &["kube-system"][..]),
        ("{enforce: restricted, warn: privileged}", "restricted", "privileged", &["kube-system"]),
        // The API server does not start with one that is there twice.
        (
            "{enforce: privileged, warn: baseline, exempt: [ci, kube-system]}",
            "privileged",
            "baseline",
            &["kube-system", "ci"],
        ),
    ] {
        let roles = &control_planes(&release, &format!("security: {{pod_security: {said}}}, "))[0];
        let files = files(roles);
        let file =
            files.iter().find(|(path, _)| path.starts_with("/etc/kubernetes/security/admission.yaml "));
        let file: serde_json::Value = serde_yaml::from_str(file.unwrap().1).unwrap();
        let configuration = &file["plugins"][0]["configuration"];
        let defaults = json!({
            "enforce": enforce, "enforce-version": "latest",
            "audit": warn, "audit-version": "latest",
            "warn": warn, "warn-version": "latest",
        });
        assert_eq!(configuration["defaults"], defaults, "{said}");
        assert_eq!(configuration["exemptions"]["namespaces"], json!(exempt), "{said}");
    }
}

#[test]
fn an_api_server_that_reads_nothing_of_hoists_has_nothing_to_read_anew() {
    let release = newest_form()[0].defaults[0].seen.to_string();
    for (release, security, reads) in
        [(release.as_str(), "", true), (&release, OFF, true), ("1.20.2", "", true), ("1.20.2", OFF, false)]
    {
        let roles = &control_planes(release, security)[0];
        let steps = roles.iter().flat_map(|role| &role.steps);
        let stamp = Some("/etc/kubernetes/security.applied");
        let mut stamps = steps.filter_map(|step| match &step.task {
            Task::Command(command) => Some(command.stamp.as_deref()),
            _ => None,
        });
        assert_eq!(stamps.any(|own| own == stamp), reads, "{release} {security}");
    }
}

/// So that one golden file is enough for all of them.
#[test]
fn releases_differ_in_nothing_but_their_versions() {
    let of = |minor: &Minor, security| {
        let defaults = &minor.defaults[0];
        let hosts = control_planes(&defaults.seen.to_string(), security);
        let text: String = hosts.iter().map(|roles| written(roles)).collect();
        let versions = [format!("v{}", defaults.seen), format!("\"imageTag\": \"{}\"", defaults.coredns)];
        for version in &versions {
            assert!(text.contains(version), "{version}: {text}");
        }
        versions.iter().fold(text, |text, version| text.replace(version, "VERSION"))
    };
    let minors = newest_form();
    assert!(minors.len() >= 7, "{}", minors.len());
    for security in ["", OFF] {
        let first = of(&minors[0], security);
        for minor in &minors[1..] {
            let text = of(minor, security);
            let differs = text.lines().zip(first.lines()).find(|(own, first)| own != first);
            assert_eq!(differs, None, "{}", minor.kubernetes);
            assert_eq!(text.len(), first.len(), "{}", minor.kubernetes);
        }
    }
}
