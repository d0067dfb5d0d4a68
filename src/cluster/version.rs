//! Which version the cluster runs, and that no other is brought to its hosts unasked.

use semver::Version;

use super::{Observed, living};
use crate::{artifact::skew, inventory::Inventory};

/// The inventory names another version than the cluster runs. New kubelets beside old API servers are no upgrade: a
/// kubelet must never be newer (version skew policy).
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the API server on {host} is {runs}, and the inventory says {wanted}")]
#[diagnostic(help(
    "nothing was changed, and this version of hoist upgrades no cluster: set `cluster.kubernetes` back to {runs}{}",
    also(runs, wanted)
))]
pub struct OtherVersion {
    pub host: String,
    pub runs: Version,
    pub wanted: Version,
}

/// What would stand in the way even if somebody did it by hand.
fn also(runs: &Version, wanted: &Version) -> String {
    skew::upgrade(runs, wanted).err().map(|skew| format!("; besides, {skew}")).unwrap_or_default()
}

/// Compares the inventory with every control plane that lives. One that does not say its version is passed over.
///
/// # Errors
/// The first that runs another.
pub fn same_version(inventory: &Inventory, facts: &Observed) -> Result<(), OtherVersion> {
    let wanted = &inventory.cluster.kubernetes;
    for host in living(inventory, facts) {
        let runs = facts.get(host).and_then(|facts| facts.kubernetes.version.parse::<Version>().ok());
        if let Some(runs) = runs.filter(|runs| runs != wanted) {
            return Err(OtherVersion { host: host.to_owned(), runs, wanted: wanted.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;
    use crate::{
        facts::{Facts, Kubernetes},
        inventory,
    };

    fn answer(runs: &str) -> Result<(), OtherVersion> {
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        let kubernetes =
            Kubernetes { control_plane: true, version: runs.to_owned(), ..Kubernetes::default() };
        same_version(
            &lab,
            &[("cp1".to_owned(), Facts { kubernetes, ..Facts::default() })].into_iter().collect(),
        )
    }

    #[test]
    fn another_version_is_refused_with_what_to_do() {
        for same in ["1.20.2", "", "unknown"] {
            assert_eq!(answer(same), Ok(()), "{same}");
        }
        for (runs, help) in [
            ("1.20.1", "set `cluster.kubernetes` back to 1.20.1"),
            ("1.20.3", "besides, Kubernetes 1.20.3 cannot become 1.20.2: that is a way back"),
            ("1.18.0", "besides, Kubernetes 1.18.0 cannot become 1.20.2 in one step"),
        ] {
            let error = answer(runs).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the API server on cp1 is {runs}, and the inventory says 1.20.2")
            );
            let said = error.help().unwrap().to_string();
            assert!(said.ends_with(help), "{said}");
        }
    }
}
