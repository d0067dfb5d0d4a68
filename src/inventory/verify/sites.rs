//! Which host stands where.

use indexmap::IndexSet;
use miette::Severity;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, listed, nearest},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    // One that is mistaken there may be meant.
    let listed_well = document.is_whole(&["sites"]);
    let known = || inventory.sites.iter().map(String::as_str).collect::<IndexSet<_>>();
    for (name, host) in &inventory.hosts {
        match &host.site {
            Some(site) if listed_well && !inventory.sites.contains(site) => {
                let help = match nearest(site, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if inventory.sites.is_empty() => format!("add `sites: [{site}]` above the hosts"),
                    None => format!("the sites are {}; add it there if it is one", listed(known(), "and")),
                };
                problems.push(
                    Problem::new(
                        document.tree.at(&["hosts", name, "site"]),
                        format!("there is no site `{site}`"),
                    )
                    .label("not one of `sites`")
                    .help(help),
                );
            }
            None if !inventory.sites.is_empty() && document.tree.get(&["hosts", name, "site"]).is_none() => {
                problems.push(
                    Problem::new(document.tree.key_at(&["hosts", name]), format!("`{name}` has no site"))
                        .label("`site` is missing here")
                        .help(format!("add `site:`, one of {}", listed(known(), "or"))),
                );
            }
            _ => {}
        }
    }
    let sited = document.is_whole(&["hosts", "*", "site"]);
    for (index, site) in inventory.sites.iter().enumerate() {
        let span = document.tree.at(&["sites", &index.to_string()]);
        if site == "all" {
            problems.push(
                Problem::new(span, "a site cannot be called `all`")
                    .label("it stands for every host where hosts are selected")
                    .help("choose another name"),
            );
        } else if sited && inventory.hosts.values().all(|host| host.site.as_ref() != Some(site)) {
            problems.push(
                Problem::new(span, format!("no host is at the site `{site}`"))
                    .label("not used")
                    .severity(Severity::Warning)
                    .help("remove it, or set `site` of the hosts that are there"),
            );
        }
    }
}
