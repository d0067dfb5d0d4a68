//! What runs on a host beside hoist: time, other runtimes, the package manager, proxies.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};

const TIME: Check = Check {
    name: "time-sync",
    checked: "whether the clock is kept right",
    expected: "synchronised, by chrony or systemd-timesyncd",
};
const RUNTIME: Check = Check {
    name: "runtime",
    checked: "other programs that run containers",
    expected: "none beside hoist's containerd",
};
const PACKAGES: Check = Check {
    name: "packages",
    checked: "whether the package manager can install something",
    expected: "no half-installed packages, nobody at work",
};
const PROXY: Check = Check {
    name: "proxy",
    checked: "whether containers' images take the same way out as packages",
    expected: "a proxy for both, or for none",
};

const NO_SYSTEMD: &str = "systemd does not answer";

/// All of them.
pub fn from_survey(host: &Subject, survey: &Survey) -> Vec<Finding> {
    vec![time(host, survey), runtime(host, survey), packages(host, survey), proxy(host, survey)]
}

fn time(host: &Subject, survey: &Survey) -> Finding {
    if host.facts.container {
        return TIME.skipped(host.name, "a container has the clock of its machine");
    }
    match survey.synchronized {
        Some(true) => TIME.ok(host.name, "synchronised"),
        Some(false) => {
            let daemons =
                ["chronyd", "chrony", "systemd-timesyncd", "ntpd", "ntp", "ntpsec", "openntpd"].into_iter();
            let (observed, fix) = match daemons.clone().find(|daemon| survey.is_active(daemon)) {
                Some(daemon) => (
                    format!("not synchronised, though {daemon} runs"),
                    "see that it reaches its servers: `chronyc sources` or `timedatectl timesync-status`",
                ),
                None => (
                    "not synchronised: no program for it runs".to_owned(),
                    "install chrony, or `systemctl enable --now systemd-timesyncd`",
                ),
            };
            TIME.warning(host.name, observed, fix)
        }
        None => TIME.skipped(host.name, NO_SYSTEMD),
    }
}

fn runtime(host: &Subject, survey: &Survey) -> Finding {
    if survey.is_active("docker") {
        return RUNTIME.warning(
            host.name,
            "docker runs",
            "Docker drops forwarded packets by default, those of pods too, and its package containerd.io and the \
             distribution's containerd exclude each other: remove Docker, or expect both",
        );
    }
    if survey.is_active("crio") {
        return RUNTIME.warning(
            host.name,
            "crio runs",
            "hoist uses containerd: `systemctl disable --now crio`",
        );
    }
    match survey.active {
        Some(_) => RUNTIME.ok(host.name, "none"),
        None => RUNTIME.skipped(host.name, NO_SYSTEMD),
    }
}

pub fn packages(host: &Subject, survey: &Survey) -> Finding {
    if !survey.broken.is_empty() {
        let fix =
            "`dpkg --configure -a`, then `apt-get -f install`: until then apt refuses to install anything";
        return PACKAGES.error(host.name, format!("half installed: {}", survey.broken.join(", ")), fix);
    }
    if !survey.locked.is_empty() {
        let fix = "wait until it is done (automatic updates, usually); a lock goes away with its process";
        return PACKAGES.warning(host.name, format!("locked: {}", survey.locked.join("; ")), fix);
    }
    match host.facts.packages.as_str() {
        "" => PACKAGES.skipped(host.name, "there is neither apt nor dnf"),
        manager => PACKAGES.ok(host.name, manager),
    }
}

/// Only whether there are proxies; their addresses may hold passwords and are not asked for.
fn proxy(host: &Subject, survey: &Survey) -> Finding {
    let set = |what: &str| survey.proxies.iter().any(|proxy| proxy == what);
    match (set("packages") || set("environment"), set("containerd")) {
        (true, false) => PROXY.warning(
            host.name,
            "packages come through a proxy, images do not",
            "if nothing but the proxy leads out, set HTTPS_PROXY and NO_PROXY (with the networks of hosts, pods and \
             services) in /etc/systemd/system/containerd.service.d/proxy.conf",
        ),
        (_, true) => PROXY.ok(host.name, "containerd has one"),
        (false, false) => PROXY.ok(host.name, "none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(check: &str, change: impl FnOnce(&mut Fleet)) -> (Severity, String) {
        let mut fleet = Fleet::three();
        change(&mut fleet);
        let hosts = fleet.subjects();
        let all = from_survey(&hosts[1], hosts[1].survey.unwrap());
        let finding = all.into_iter().find(|finding| finding.check == check).unwrap();
        (finding.severity, finding.observed + " " + &finding.fix)
    }

    fn active(units: &[&str]) -> Option<Vec<String>> {
        Some(units.iter().map(|unit| unit.to_string()).collect())
    }

    #[test]
    fn clocks_that_are_kept_right() {
        for (synchronized, daemons, severity, says) in [
            (Some(true), &["chronyd"][..], Ok, "synchronised"),
            (Some(false), &[], Warning, "install chrony"),
            (Some(false), &["chronyd"], Warning, "chronyc sources"),
            (None, &[], Skipped, "systemd"),
        ] {
            let found = say("time-sync", |fleet| {
                fleet.survey("w1").synchronized = synchronized;
                fleet.survey("w1").active = active(daemons);
            });
            assert_eq!(found.0, severity);
            assert!(found.1.contains(says), "{}", found.1);
        }
        let container = say("time-sync", |fleet| fleet.facts("w1").container = true);
        assert_eq!(container.0, Skipped);
    }

    #[test]
    fn other_runtimes() {
        for (active, severity) in
            [(active(&[]), Ok), (active(&["docker"]), Warning), (active(&["crio"]), Warning), (None, Skipped)]
        {
            assert_eq!(say("runtime", |fleet| fleet.survey("w1").active = active).0, severity);
        }
    }

    #[test]
    fn the_package_manager() {
        assert_eq!(say("packages", |_| {}).0, Ok);
        assert_eq!(say("packages", |fleet| fleet.facts("w1").packages.clear()).0, Skipped);
        let locked = "/var/lib/dpkg/lock-frontend unattended-upgr";
        let found = say("packages", |fleet| fleet.survey("w1").locked = vec![locked.into()]);
        assert!(found.0 == Warning && found.1.contains("unattended-upgr"), "{}", found.1);
        let found = say("packages", |fleet| {
            fleet.survey("w1").locked = vec![locked.into()];
            fleet.survey("w1").broken = vec!["grub-pc".into()];
        });
        assert!(found.0 == Error && found.1.contains("grub-pc"), "{}", found.1);
    }

    #[test]
    fn proxies() {
        for (proxies, severity) in [
            (&[][..], Ok),
            (&["packages"], Warning),
            (&["environment"], Warning),
            (&["packages", "containerd"], Ok),
            (&["containerd"], Ok),
        ] {
            let set = |fleet: &mut Fleet| {
                fleet.survey("w1").proxies = proxies.iter().map(|text| text.to_string()).collect();
            };
            assert_eq!(say("proxy", set).0, severity, "{proxies:?}");
        }
    }
}
