//! Steps between versions that an add-on's own makers refuse: back, and over a minor version.

use semver::Version;

use crate::addon::{Desired, Error, Observed, Status};

/// Looks whether the charts that go up one minor version at a time would do anything else.
///
/// # Errors
/// [`Error::Mistakes`] with each that would.
pub fn steps(desired: &[Desired], observed: &Observed) -> Result<(), Error> {
    let mistakes: Vec<String> = desired.iter().filter_map(|desired| refused(desired, observed)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Error::Mistakes { mistakes }) }
}

fn refused(desired: &Desired, observed: &Observed) -> Option<String> {
    let wanted = desired.release.as_ref().filter(|_| desired.definition.minor_by_minor)?;
    let installed = observed.release(&desired.definition.namespace, &desired.name)?;
    let same = installed.status != Status::Gone && installed.chart == wanted.chart.name;
    let (from, to) = (&installed.version, &wanted.chart.version);
    let reason = step(from, to).filter(|_| same)?;
    Some(format!("{}: {reason}", desired.name))
}

/// Why a chart does not go from one version to another. Of versions that are no such ones nothing is known.
fn step(from: &str, to: &str) -> Option<String> {
    let read = |version: &str| Version::parse(version.trim_start_matches('v')).ok();
    let (old, new) = (read(from)?, read(to)?);
    if new < old {
        return Some(format!(
            "it runs {from}, and goes back to {to} never: what the newer one has stored the older one may not read; set the chart \
             under `artifacts.charts` to {from} or later"
        ));
    }
    let next = old.minor + 1;
    if new.major != old.major || new.minor > next {
        return Some(format!(
            "it runs {from}, and goes up one minor version at a time, not to {to} at once: first set the chart under \
             `artifacts.charts` to the newest {}.{next}",
            old.major
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        desired::tests::{chart, nothing},
        release,
    };

    #[test]
    fn a_chart_goes_up_one_minor_version_at_a_time_and_never_back() {
        for (from, to, word) in [
            ("1.9.0", "1.9.0", None),
            ("1.9.0", "1.9.2", None),
            ("1.9.2", "1.10.0", None),
            ("v1.9.2", "1.10.1", None),
            ("1.9.2", "1.9.1", Some("goes back to 1.9.1 never")),
            ("1.10.0", "1.9.2", Some("goes back to 1.9.2 never")),
            ("1.8.1", "1.10.0", Some("to the newest 1.9")),
            ("1.20.0", "2.0.0", Some("to the newest 1.21")),
            ("main", "1.9.0", None),
        ] {
            let said = step(from, to);
            assert_eq!(said.is_some(), word.is_some(), "{from} {to}: {said:?}");
            assert!(word.is_none_or(|word| said.unwrap().contains(word)), "{from} {to}");
        }
    }

    #[test]
    fn only_those_that_say_so_are_held_to_it_and_only_while_they_are_installed() {
        let observed = |status: &str| Observed {
            releases: release::releases(&[release::tests::stored("web", 1, status, json!({}))]).unwrap(),
            records: Vec::new(),
        };
        let mut web = nothing("web", "site");
        web.release = Some(chart("web", "1.2.0", json!({})));
        let said = |web: &Desired, status: &str| steps(std::slice::from_ref(web), &observed(status));
        assert!(said(&web, "deployed").is_ok(), "from 1.0.0 to 1.2.0");
        web.definition.minor_by_minor = true;
        assert!(said(&web, "deployed").unwrap_err().to_string().contains("web: it runs 1.0.0"));
        assert!(said(&web, "failed").is_err());
        assert!(said(&web, "uninstalled").is_ok());
    }
}
