//! Members of etcd: how many, and where.

use miette::Severity;

use crate::{
    inventory::{Etcd, Inventory, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    if inventory.cluster.etcd == Etcd::Stacked && document.is_whole(&["cluster", "etcd"]) {
        unused_role(document, problems);
    }
    // Roles that were left out for a mistake would be missed.
    if !document.is_whole(&["cluster", "etcd"]) || !document.is_whole(&["hosts", "*", "roles"]) {
        return;
    }
    let members: Vec<&str> = inventory.with_role(inventory.etcd_role()).map(|(name, _)| name).collect();
    if inventory.cluster.etcd == Etcd::External && members.is_empty() {
        problems.push(
            Problem::new(document.tree.at(&["cluster", "etcd"]), "no host has the role `etcd`")
                .label("on hosts of that role")
                .help("add `etcd` to the roles of one or three hosts, or write `stacked`"),
        );
    }
    let even_number = members.len().is_multiple_of(2) && !inventory.cluster.even_etcd;
    if let Some(last) = members.last().filter(|_| even_number && document.is_whole(&["cluster", "even_etcd"]))
    {
        even(document, members.len(), last, problems);
    }
    if document.is_whole(&["sites"]) && document.is_whole(&["hosts", "*", "site"]) {
        sites(document, &members, problems);
        control_planes(document, problems);
    }
}

fn unused_role(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    for (name, _) in document.value.with_role(Role::Etcd) {
        problems.push(
            Problem::new(
                document.tree.at(&["hosts", name, "roles"]),
                format!("`{name}` has the role `etcd`, but etcd runs on the control planes"),
            )
            .label("`etcd` has no meaning here")
            .also(document.tree.at(&["cluster", "etcd"]), "`stacked`, which is the default")
            .help("set `cluster.etcd` to `external`, or take the role away"),
        );
    }
}

/// https://etcd.io/docs/v3.6/faq/#why-an-odd-number-of-cluster-members
fn even(document: &Document<Inventory>, count: usize, last: &str, problems: &mut Vec<Problem>) {
    let role = document.value.etcd_role().name();
    problems.push(
        Problem::new(
            document.tree.at(&["hosts", last, "roles"]),
            format!("etcd would have {count} members, an even number"),
        )
        .label(format!("member {count}"))
        .help(format!(
            "{count} members survive no more losses than {}: take the role `{role}` from one host or give it to one \
             more; or write `even_etcd: true` below `cluster` until another takes the place of one that was lost",
            count - 1
        )),
    );
}

/// What the loss of a site means.
fn sites(document: &Document<Inventory>, members: &[&str], problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let total = members.len();
    // A single member survives nothing wherever it is.
    if total < 3 {
        return;
    }
    if let [_, _] = inventory.sites.as_slice() {
        problems.push(
            Problem::new(
                document.tree.key_at(&["sites"]),
                "with two sites, the loss of the one with more members of etcd stops the cluster",
            )
            .label("two sites")
            .severity(Severity::Warning)
            .help(
                "add a third site with one member of etcd, a witness: a small machine anywhere else will do",
            ),
        );
        return;
    }
    for site in inventory.sites.iter().filter(|_| inventory.sites.len() > 2) {
        let is_here =
            |name: &&&str| inventory.hosts.get(**name).is_some_and(|host| host.site.as_ref() == Some(site));
        let here: Vec<&str> = members.iter().filter(is_here).copied().collect();
        if here.len() * 2 <= total {
            continue;
        }
        let [first, others @ ..] = here.as_slice() else { continue };
        let mut problem = Problem::new(
            document.tree.at(&["hosts", first, "site"]),
            format!("{} of {total} members of etcd are at `{site}`: its loss stops the cluster", here.len()),
        )
        .label("one")
        .help(format!("spread them so that no site has more than {}", total / 2));
        for other in others {
            problem = problem.also(document.tree.at(&["hosts", other, "site"]), "another");
        }
        problems.push(problem);
    }
}

/// With etcd on hosts of its own, the sites of control planes are a question of their own: a cluster whose etcd survives
/// the loss of a site has no API server then, when all were there.
fn control_planes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let planes: Vec<_> = inventory.with_role(Role::ControlPlane).collect();
    let [(_, first), (last, _), ..] = planes.as_slice() else { return };
    let Some(site) = first.site.as_ref().filter(|_| inventory.cluster.etcd == Etcd::External) else { return };
    if inventory.sites.len() > 1 && planes.iter().all(|(_, host)| host.site.as_ref() == Some(site)) {
        problems.push(
            Problem::new(
                document.tree.at(&["hosts", last, "site"]),
                format!("all control planes are at `{site}`: its loss leaves no API server"),
            )
            .label("as the first")
            .severity(Severity::Warning)
            .help("put one of them at another site, other than one that is only a witness"),
        );
    }
}
