//! Hosts that keep volumes.

use hoist::{engine::RoleSteps, task::Task};

use super::{
    bed::{compiled, index, written},
    families::{DEBIAN_13, of_family},
};

/// Longhorn is told the disks of storage hosts, and other nodes have no label that asks for some.
#[test]
fn longhorn_keeps_replicas_on_storage_hosts_alone() {
    let own = |(host, roles): (String, Vec<RoleSteps>)| {
        let names: Vec<String> = roles.iter().map(|role| role.role.clone()).collect();
        let own: Vec<RoleSteps> = roles.into_iter().filter(|role| role.role == "longhorn").collect();
        (host, names.contains(&"storage".to_string()), written(&own))
    };
    let hosts: Vec<_> = compiled("volumes.yaml").into_iter().map(own).collect();
    let attach: Vec<bool> = hosts.iter().map(|(_, storage, _)| *storage).collect();
    assert_eq!(attach, [false, true, true, true]);
    assert!(hosts[0].2.is_empty() && hosts[1].2.is_empty());
    insta::assert_snapshot!("longhorn-folder", hosts[2].2);
    insta::assert_snapshot!("longhorn-disks", hosts[3].2);
}

/// The iSCSI name is made where there is none and where another host has the same, and stays otherwise. In a mount
/// namespace with files of its own; the program that makes up names is not on every machine.
#[test]
fn a_host_gets_an_iscsi_name_of_its_own_and_keeps_it() {
    if std::process::Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|it| !it.success())
    {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI");
        eprintln!("skipped: no namespaces here");
        return;
    }
    let roles = of_family(DEBIAN_13, &index());
    let steps = roles.iter().flat_map(|role| &role.steps);
    let command =
        steps.filter(|step| step.name.starts_with("the iSCSI initiator has a name")).find_map(|step| {
            if let Task::Command(command) = &step.task { Some(command.clone()) } else { None }
        });
    let command = command.unwrap();
    let bed = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/iscsi /mnt/bin && cp -a /etc/. /mnt/ && mount --bind /mnt /etc && \
               printf '#!/bin/sh\\necho iqn.2016-04.com.open-iscsi:new\\n' > /mnt/bin/iscsi-iname && chmod +x /mnt/bin/iscsi-iname && \
               PATH=/mnt/bin:$PATH && file=/etc/iscsi/initiatorname.iscsi";
    let made =
        "# Written by hoist: a name of its own, once.\nInitiatorName=iqn.2016-04.com.open-iscsi:new\n600\n";
    for (before, then) in [
        ("", made),
        ("GenerateName=yes\n", made),
        ("InitiatorName=\n", made),
        // The name that the other host has.
        ("InitiatorName=iqn.1993-08.org.debian:01:template\n", made),
        (
            "InitiatorName=iqn.1993-08.org.debian:01:own\n",
            "InitiatorName=iqn.1993-08.org.debian:01:own\n644\n",
        ),
    ] {
        let script = format!(
            "{bed} && printf '{}' > $file || exit 9\n(\n{}\n) || (\n{}\n) || exit 8\n(\n{}\n) || exit 7\ncat $file; stat -c %a $file",
            before.replace('\n', "\\n"),
            command.unless.as_deref().unwrap(),
            command.run,
            command.unless.as_deref().unwrap(),
        );
        let output =
            std::process::Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{before}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), then, "{before}");
    }
}
