//! Swap, which a kubelet does not start with.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Kind, Observations, Probe,
    edit::{Edit, comment_out},
    mount::FSTAB,
    quote_all, sha256,
};

/// No swap, now and after every boot: not from fstab, not from systemd's units and generators (those of partitions
/// and zram included), not from the services that distributions have for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapOff {}

/// What is swapped out is read back, which takes its time on a slow disk.
const SWAPOFF: Duration = Duration::from_secs(1800);

/// Whether a line of fstab(5) activates swap.
fn is_swap(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [source, _, "swap", ..] if !source.starts_with('#'))
}

fn fstab(seen: &Observations) -> Edit<'_> {
    // Commented out, not deleted: the administrator sees what was there.
    Edit::new(FSTAB, seen, |text| Ok(comment_out(text, is_swap, "# hoist: no swap on a node: ")))
}

impl Kind for SwapOff {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Swap, Probe::Text(FSTAB.to_string())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let mut change = Change::new("turn swap off for good");
        if !seen.swaps.is_empty() {
            change = change.attribute("active", seen.swaps.join(" "), "none");
        }
        if !seen.swap_masked {
            change = change.attribute("swap.target", "not masked", "masked");
        }
        if !seen.swap_units.is_empty() {
            change = change.attribute("started at boot", seen.swap_units.join(" "), "none");
        }
        if let Some(edit) = fstab(seen).change(String::new(), false) {
            change.details.extend(edit.details);
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let mut acts = fstab(seen).acts();
        if !seen.swap_units.is_empty() {
            let units = quote_all(seen.swap_units.iter().map(String::as_str));
            let text = format!("systemctl -q disable --now {units}");
            acts.push(Act::Script { text, stdin: None, timeout: SWAPOFF });
        }
        if !seen.swap_masked {
            // Everything that systemd itself activates, from whatever source, is wanted by this target.
            acts.push(Act::quick("systemctl -q mask swap.target".to_string()));
        }
        if !seen.swaps.is_empty() {
            acts.push(Act::Script { text: "swapoff -a".to_string(), stdin: None, timeout: SWAPOFF });
        }
        acts
    }

    fn foresee(&self, seen: &mut Observations) {
        if let Some(text) = fstab(seen).foreseen() {
            seen.will_write(FSTAB, &sha256(text.as_bytes()), Some(&text));
        }
    }
}
