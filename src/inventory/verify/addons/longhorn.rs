//! Longhorn.

use miette::Severity;

use super::asked;
use crate::{
    inventory::{
        Host, Inventory, Role,
        addons::{Backup, RecurringTask},
    },
    yaml::{Document, Problem},
};

/// Kubernetes gives the pods of a job its name and eleven characters; Longhorn takes no longer ones.
const LONGEST_NAME: usize = 40;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let Some(longhorn) = &inventory.addons.longhorn else { return };
    let at = |path: &[&str]| document.tree.at(&[&["addons", "longhorn"], path].concat());
    let stores = inventory.with_role(Role::Storage).count();
    let known = document.is_whole(&["hosts", "*", "roles"]);
    if stores == 0 && known {
        problems.push(
            Problem::new(asked(document, "longhorn"), "Longhorn has no host to keep volumes on")
                .label("needs hosts with the role `storage`")
                .help("add `storage` to the roles of the hosts with the disks, three for three replicas"),
        );
    }
    if let Some(replicas) = longhorn.replicas
        && stores > 0
        && known
        && replicas as usize > stores
    {
        problems.push(
            Problem::new(
                at(&["replicas"]),
                format!("there are more replicas ({replicas}) than storage hosts ({stores})"),
            )
            .label("each on a host of its own")
            .help("ask for fewer, or give more hosts the role `storage`"),
        );
    }
    hosts(document, problems);
    rented(document, problems);
    if let Some(backup) = &longhorn.backup {
        target(document, backup, problems);
    }
    for (name, job) in &longhorn.recurring_jobs {
        let place = document.tree.key_at(&["addons", "longhorn", "recurring_jobs", name]);
        if job.task == RecurringTask::Backup && longhorn.backup.is_none() {
            problems.push(
                Problem::new(place, format!("the recurring job `{name}` has nowhere to put backups"))
                    .label("needs a backup target")
                    .help("set `backup.target`, or let it make snapshots"),
            );
        }
        if name.len() > LONGEST_NAME {
            problems.push(
                Problem::new(place, format!("the recurring job `{name}` has too long a name"))
                    .label(format!("{} characters", name.len()))
                    .help(format!("use at most {LONGEST_NAME}")),
            );
        }
    }
}

/// The chart can name nodes that Longhorn is for, and none that it is not for. So what keeps it off a rented node, which would
/// end with replicas and with volumes attached, is a taint that it does not tolerate.
fn rented(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let keeps_off = |taint: &String| {
        let own = inventory.hosts.values().any(|host| host.taints.contains(taint));
        !own && [":NoSchedule", ":NoExecute"].iter().any(|effect| taint.ends_with(effect))
    };
    if inventory.burst.is_wanted() && !inventory.burst.taints.iter().any(keeps_off) {
        problems.push(
            Problem::new(asked(document, "longhorn"), "nothing keeps Longhorn off rented nodes")
                .label("runs on every node that it tolerates")
                .also(document.tree.at(&["burst", "taints"]), "no taint that it does not tolerate")
                .help(
                    "keep a taint with NoSchedule or NoExecute in `burst.taints` that no host has, such as \
                     `hoist.dev/burst=true:NoSchedule`, and let pods for rented nodes tolerate it; or leave Longhorn out",
                ),
        );
    }
}

/// What hosts say that keeps volumes from working.
fn hosts(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let common = storage(&inventory.vars, "path");
    let nodes = inventory.hosts.iter().filter(|(_, host)| host.has(Role::Worker) || host.has(Role::Storage));
    let mut told = false;
    for (name, host) in nodes {
        let own = ["hosts", name.as_str(), "vars", "storage"];
        let iscsi = |vars| storage(vars, "iscsi").and_then(serde_json::Value::as_bool);
        let place = match (iscsi(&host.vars), iscsi(&inventory.vars)) {
            (Some(false), _) => Some([&own[..], &["iscsi"]].concat()),
            (None, Some(false)) if !told => {
                told = true;
                Some(vec!["vars", "storage", "iscsi"])
            }
            _ => None,
        };
        if let Some(place) = place {
            problems.push(
                Problem::new(document.tree.at(&place), "Longhorn attaches volumes over iSCSI, which is off")
                    .label("no volume can be attached")
                    .also(asked(document, "longhorn"), "asked for here")
                    .help("remove it, or leave Longhorn out"),
            );
        }
        if alone(host) && storage(&host.vars, "path").is_some_and(|path| Some(path) != common) {
            problems.push(
                Problem::new(
                    document.tree.at(&[&own[..], &["path"]].concat()),
                    format!("Longhorn does not look for replicas at a path of `{name}`'s own"),
                )
                .label("not used")
                .help("name the disk with `disks` on the host, or set the path for all hosts in `vars.storage.path`"),
            );
        }
    }
}

/// A storage host whose replicas are not on disks of their own.
fn alone(host: &Host) -> bool {
    host.has(Role::Storage) && host.disks.is_empty()
}

fn storage<'a>(
    vars: &'a serde_json::Map<String, serde_json::Value>,
    key: &str,
) -> Option<&'a serde_json::Value> {
    vars.get("storage")?.get(key)
}

fn target(document: &Document<Inventory>, backup: &Backup, problems: &mut Vec<Problem>) {
    let path = |key| ["addons", "longhorn", "backup", key];
    let at = |key| document.tree.at(&path(key));
    // With a mistake or without.
    let said = |key: &&str| document.tree.get(&["addons", "longhorn", "backup", key]).is_some();
    if !document.is_whole(&path("target")) {
        return;
    }
    if let Some(help) = target_mistake(&backup.target) {
        problems.push(
            Problem::new(at("target"), format!("`{}` is no backup target", backup.target))
                .label("should be s3://BUCKET@REGION/PATH or nfs://SERVER:/PATH")
                .help(help),
        );
    }
    if backup.target.starts_with("nfs://") {
        for key in ["access_key", "secret_key", "certificate", "endpoint"].into_iter().filter(|key| said(key))
        {
            problems.push(
                Problem::new(at(key), format!("`{key}` has no effect with NFS"))
                    .label("only for S3")
                    .severity(Severity::Warning)
                    .help("remove it"),
            );
        }
        return;
    }
    for key in ["access_key", "secret_key"].into_iter().filter(|key| !said(key)) {
        problems.push(
            Problem::new(at("target"), format!("the backup target lacks `{key}`"))
                .label("S3 needs a key")
                .help(format!("add `{key}: {{env: NAME}}` or `{key}: {{file: PATH}}` beside it")),
        );
    }
}

/// What to change of an address that Longhorn does not take:
/// https://longhorn.io/docs/1.12.1/snapshots-and-backups/backup-and-restore/set-backup-target/
fn target_mistake(target: &str) -> Option<String> {
    if let Some(rest) = target.strip_prefix("nfs://") {
        let fits = rest.split_once(":/").is_some_and(|(server, path)| !server.is_empty() && !path.is_empty());
        return (!fits).then(|| String::from("write it as nfs://nas.office.lan:/srv/backups"));
    }
    let Some(rest) = target.strip_prefix("s3://") else {
        return Some(String::from("an S3 service other than AWS' is named by `endpoint`, not in the target"));
    };
    let (place, path) = rest.split_once('/').unzip();
    let place = place.unwrap_or(rest);
    let word = |text: &str, more: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
        !text.is_empty() && text.chars().all(known)
    };
    match place.split_once('@') {
        None => Some(format!("say the region: s3://{place}@eu-central-1/ (MinIO takes us-east-1)")),
        Some((bucket, region)) if !word(bucket, "-.") || !word(region, "-") => {
            Some(String::from("names of buckets and regions have lower-case letters, digits and hyphens"))
        }
        Some(_) if path.is_none() => Some(format!("a slash must end it: s3://{place}/")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_targets() {
        for good in
            ["s3://b.c@eu-central-1/", "s3://backups@us-east-1/a/b", "nfs://nas:/srv", "nfs://10.0.0.1:/a/b"]
        {
            assert_eq!(target_mistake(good), None, "{good}");
        }
        for (bad, help) in [
            ("s3://backups", "s3://backups@eu-central-1/"),
            ("s3://backups/longhorn", "s3://backups@eu-central-1/"),
            ("s3://backups@eu-central-1", "s3://backups@eu-central-1/"),
            ("s3://Backups@eu-central-1/", "lower-case"),
            ("s3://@eu-central-1/", "lower-case"),
            ("https://minio.office.lan/backups", "`endpoint`"),
            ("nfs://nas/srv", "nfs://nas.office.lan:/srv"),
            ("nfs://:/srv", "nfs://nas.office.lan:/srv"),
        ] {
            let said = target_mistake(bad).unwrap_or_default();
            assert!(said.contains(help), "{bad}: {said}");
        }
    }
}
