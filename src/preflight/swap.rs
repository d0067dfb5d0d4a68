//! Swap, which a kubelet does not start with.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};

const SWAP: Check = Check { name: "swap", checked: "swap, now and at the next boot", expected: "none" };

/// Whether there is any, and what would bring it back.
pub fn from_survey(host: &Subject, survey: &Survey) -> Finding {
    let mut seen: Vec<String> = host.facts.swap.iter().map(|device| format!("{device} is in use")).collect();
    // What systemd itself starts, from whatever file, is wanted by swap.target; services are not.
    let brings = survey.swap_in.iter().filter(|what| !survey.swap_masked || is_service(what));
    seen.extend(brings.map(|what| format!("{what} brings it at boot")));
    if seen.is_empty() {
        let masked = survey.swap_masked && !survey.swap_in.is_empty();
        return SWAP.ok(host.name, if masked { "none: swap.target is masked" } else { "none" });
    }
    let zram = |text: &String| text.contains("zram-generator") || text.contains("/dev/zram");
    let fix = if host.facts.container {
        "this is the machine's own, which a container cannot turn off: turn it off there"
    } else if seen.iter().any(zram) {
        "`hoist apply` turns it off and masks swap.target, which starts it at boot; an empty /etc/systemd/zram-generator.conf \
         keeps the device away, too"
    } else {
        "`hoist apply` turns it off: what it finds in /etc/fstab, units and services of swap; see that the memory suffices \
         without it"
    };
    SWAP.warning(host.name, seen.join("; "), fix)
}

fn is_service(what: &str) -> bool {
    what.ends_with(".service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{Ok, Warning},
        tests::Fleet,
    };

    #[test]
    fn swap_now_and_at_boot() {
        const ZRAM: &str = "/usr/lib/systemd/zram-generator.conf";
        const UNIT: &str = "/etc/systemd/system/swap.img.swap";
        const GPT: &str = "/run/systemd/generator.late/dev-disk-by\\x2dpartuuid-1.swap";
        for (active, at_boot, masked, container, severity, hint) in [
            (&[][..], &[][..], false, false, Ok, ""),
            (&["/dev/sda2"][..], &[][..], false, false, Warning, "hoist apply"),
            (&[], &["fstab"], false, false, Warning, "hoist apply"),
            (&[], &["fstab"], true, false, Ok, ""),
            (&[], &[UNIT], false, false, Warning, "hoist apply"),
            (&[], &[UNIT, GPT], true, false, Ok, ""),
            (&[], &[GPT], false, false, Warning, "hoist apply"),
            (&[], &["zramswap.service"], true, false, Warning, "hoist apply"),
            (&["/dev/zram0"], &[], false, false, Warning, "zram-generator.conf"),
            (&["/dev/zram0"], &[], true, false, Warning, "zram-generator.conf"),
            (&[], &[ZRAM], false, false, Warning, "zram-generator.conf"),
            (&[], &[ZRAM], true, false, Ok, ""),
            (&["/dev/sda2"], &[], false, true, Warning, "turn it off there"),
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").swap = active.iter().map(|text| text.to_string()).collect();
            fleet.facts("w1").container = container;
            fleet.survey("w1").swap_in = at_boot.iter().map(|text| text.to_string()).collect();
            fleet.survey("w1").swap_masked = masked;
            let hosts = fleet.subjects();
            let finding = from_survey(&hosts[1], hosts[1].survey.unwrap());
            assert_eq!(finding.severity, severity, "{active:?} {at_boot:?} {masked}");
            assert!(finding.fix.contains(hint), "{}", finding.fix);
        }
    }
}
