//! What on a host itself drops packets or takes interfaces away: firewalls, reverse path filters, NetworkManager.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
    ways::{udp, used_of},
};
use crate::inventory::{Inventory, Plugin, Role};

const FIREWALL: Check = Check {
    name: "firewall",
    checked: "firewalls that could drop what nodes and pods send",
    expected: "none, or rules that let the cluster's networks and ports through",
};
const REVERSE_PATH: Check = Check {
    name: "rp-filter",
    checked: "whether packets are dropped whose answer would take another way (rp_filter)",
    expected: "off or loose, where pods or several networks bring such packets",
};
const MANAGED: Check = Check {
    name: "network-manager",
    checked: "whether NetworkManager leaves the interfaces of pods alone",
    expected: "it does not run, or is told which ones are not its own",
};

/// All of them.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    vec![
        firewall(inventory, host, survey),
        reverse_path(inventory, host, survey),
        managed(inventory, host, survey),
    ]
}

/// What drops packets on a host, as far as its survey tells: the program that manages the rules, or else the rules.
fn drops(survey: &Survey) -> Vec<String> {
    let mut seen = survey.firewalls.clone();
    seen.extend(survey.is_active("firewalld").then(|| "firewalld".to_owned()));
    // Their own rules say the same once more, at length.
    if seen.is_empty() {
        seen.extend(survey.drops.iter().cloned());
    }
    seen
}

/// What on a host is likely to be why nobody reaches this port there: a rule that names it, or else what drops
/// everything that is not named.
pub fn blocks(survey: &Survey, port: u16) -> Option<String> {
    let names = |rule: &&String| {
        let mut words = rule.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.any(|word| word == port.to_string())
    };
    let general = |rule: &&String| !rule.contains("port");
    let rule = survey.rules.iter().find(names);
    rule.cloned()
        .or_else(|| drops(survey).into_iter().next())
        .or_else(|| survey.rules.iter().find(general).cloned())
}

/// Firewalls on a host.
pub fn firewall(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let seen = drops(survey);
    if !seen.is_empty() {
        let ports: Vec<String> = used_of(inventory, host.name).iter().map(u16::to_string).collect();
        let overlay: String = udp(inventory).iter().map(|port| format!(", {port}/udp")).collect();
        let vrrp = match inventory.cluster.endpoint.vip {
            Some(_) if host.host.has(Role::ControlPlane) => ", protocol 112 (VRRP)",
            _ => "",
        };
        let networks = &inventory.cluster.network;
        let fix = format!(
            "let through: {}/tcp{overlay}{vrrp}, 30000-32767 for node ports, and everything from and to {} and {}; or turn it off \
             inside the cluster's network",
            ports.join(", "),
            networks.pods,
            networks.services
        );
        return FIREWALL.warning(host.name, seen.join("; "), fix);
    }
    if !survey.unread.is_empty() {
        let why = format!("the host has no program that reads the rules of {}", survey.unread.join(", "));
        return FIREWALL.skipped(host.name, why);
    }
    match survey.active {
        Some(_) => FIREWALL.ok(host.name, "none was found"),
        None => FIREWALL.skipped(host.name, "systemd does not answer"),
    }
}

fn reverse_path(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let mode = |name: &str| survey.reverse_path.iter().find(|(own, _)| own == name).map(|(_, mode)| *mode);
    let Some(all) = mode("all") else { return REVERSE_PATH.skipped(host.name, "the host did not tell") };
    // The larger of the two counts (ip-sysctl in the kernel's documentation).
    let strict: Vec<&str> = host
        .facts
        .interfaces
        .iter()
        .map(|interface| interface.name.as_str())
        .filter(|name| mode(name).unwrap_or_default().max(all) == 1)
        .collect();
    let matters = inventory.cluster.network.plugin == Plugin::Cilium || host.facts.interfaces.len() > 1;
    match strict.is_empty() || !matters {
        true if strict.is_empty() => REVERSE_PATH.ok(host.name, "off or loose"),
        true => REVERSE_PATH.ok(host.name, "strict, with one network, where every answer takes the same way"),
        false => REVERSE_PATH.warning(
            host.name,
            format!("strict on {}", strict.join(", ")),
            "`net.ipv4.conf.all.rp_filter = 2` in /etc/sysctl.d/90-rp-filter.conf, then `sysctl --system`: the larger of the \
             value for all and that of the interface counts",
        ),
    }
}

fn managed(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let interfaces = match inventory.cluster.network.plugin {
        Plugin::Bridge => ["cni0", "veth*"],
        Plugin::Cilium => ["cilium*", "lxc*"],
    };
    if survey.active.is_none() {
        return MANAGED.skipped(host.name, "systemd does not answer");
    }
    if !survey.is_active("NetworkManager") {
        return MANAGED.ok(host.name, "it does not run");
    }
    let stem = interfaces[0].trim_end_matches('*');
    if survey.unmanaged.iter().any(|line| line.contains(stem)) {
        return MANAGED.ok(host.name, survey.unmanaged.join("; "));
    }
    let names: Vec<String> = interfaces.iter().map(|name| format!("interface-name:{name}")).collect();
    let fix = format!(
        "write `[keyfile]` and below it `unmanaged-devices={}` to /etc/NetworkManager/conf.d/pods.conf, then `systemctl \
         reload NetworkManager`: it may take addresses and routes of pods away",
        names.join(";")
    );
    MANAGED.warning(
        host.name,
        format!("it runs, and nothing tells it to leave {} alone", interfaces.join(" and ")),
        fix,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(check: &str, change: impl FnOnce(&mut Fleet)) -> (Severity, String) {
        let mut fleet = Fleet::three();
        change(&mut fleet);
        let hosts = fleet.subjects();
        let all = from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap());
        let finding = all.into_iter().find(|finding| finding.check == check).unwrap();
        (finding.severity, finding.observed + " " + &finding.fix)
    }

    fn active(units: &[&str]) -> Option<Vec<String>> {
        Some(units.iter().map(|unit| unit.to_string()).collect())
    }

    #[test]
    fn firewalls() {
        assert_eq!(say("firewall", |_| {}).0, Ok);
        assert_eq!(say("firewall", |fleet| fleet.survey("w1").active = None).0, Skipped);
        assert_eq!(say("firewall", |fleet| fleet.survey("w1").unread = vec!["nftables".into()]).0, Skipped);
        let found = say("firewall", |fleet| {
            fleet.survey("w1").active = active(&["firewalld"]);
            fleet.survey("w1").drops = vec!["iptables: -P INPUT DROP".into()];
        });
        assert!(found.0 == Warning && found.1.starts_with("firewalld let through: 10250/tcp"), "{}", found.1);
        let found = say("firewall", |fleet| fleet.survey("w1").firewalls = vec!["ufw".into()]);
        assert!(found.0 == Warning && found.1.starts_with("ufw let through"), "{}", found.1);
        let found = say("firewall", |fleet| {
            fleet.survey("w1").firewalls = vec!["ufw".into()];
            fleet.inventory.cluster.network.plugin = Plugin::Cilium;
            let cilium = serde_json::from_str(r#"{"encryption": true}"#).unwrap();
            fleet.inventory.addons.cilium = Some(cilium);
            fleet.inventory.addons.metallb = Some(Default::default());
        });
        assert!(found.1.contains("/tcp, 8472/udp, 51871/udp, 7946/udp, 30000-32767"), "{}", found.1);
        let drop = "nft: table inet filter, chain input: policy drop";
        let found = say("firewall", |fleet| fleet.survey("w1").drops = vec![drop.into()]);
        assert!(
            found.0 == Warning && found.1.starts_with(drop) && found.1.contains("10.244.0.0/16"),
            "{}",
            found.1
        );
    }

    #[test]
    fn the_rule_that_blocks_is_named() {
        let rule =
            |port: u16| format!("nft: table inet filter, chain input: tcp dport {{ 22, {port} }} drop");
        let mut survey = Survey { rules: vec![rule(80), rule(10250)], ..Survey::default() };
        assert_eq!(blocks(&survey, 10250), Some(rule(10250)));
        assert_eq!(blocks(&survey, 1025), None, "rules for other ports do not block this one");
        survey.drops = vec!["iptables: -P INPUT DROP".into()];
        assert_eq!(blocks(&survey, 10250), Some(rule(10250)), "what names the port says more");
        assert_eq!(blocks(&survey, 6443).as_deref(), Some("iptables: -P INPUT DROP"));
        let all =
            Survey { rules: vec!["iptables: -A INPUT -s 10.0.0.0/8 -j DROP".into()], ..Survey::default() };
        assert!(blocks(&all, 6443).is_some());
        assert_eq!(blocks(&Survey::default(), 6443), None);
    }

    #[test]
    fn strict_filters_matter_where_answers_take_other_ways() {
        let set = |modes: &'static [(&str, u8)], plugin, interfaces: usize| {
            move |fleet: &mut Fleet| {
                fleet.survey("w1").reverse_path =
                    modes.iter().map(|(name, mode)| (name.to_string(), *mode)).collect();
                fleet.inventory.cluster.network.plugin = plugin;
                let eth0 = fleet.facts("w1").interfaces[0].clone();
                fleet.facts("w1").interfaces = vec![eth0; interfaces];
            }
        };
        for (modes, plugin, interfaces, severity) in [
            (&[][..], Plugin::Bridge, 1, Skipped),
            (&[("all", 0), ("eth0", 0)], Plugin::Cilium, 2, Ok),
            (&[("all", 2), ("eth0", 1)], Plugin::Cilium, 2, Ok),
            (&[("all", 1), ("eth0", 2)], Plugin::Cilium, 2, Ok),
            (&[("all", 0), ("eth0", 1)], Plugin::Cilium, 1, Warning),
            (&[("all", 1), ("eth0", 0)], Plugin::Bridge, 2, Warning),
            (&[("all", 1), ("eth0", 1)], Plugin::Bridge, 1, Ok),
        ] {
            assert_eq!(
                say("rp-filter", set(modes, plugin, interfaces)).0,
                severity,
                "{modes:?} {interfaces}"
            );
        }
    }

    #[test]
    fn network_manager_has_to_be_told() {
        let check = "network-manager";
        assert_eq!(say(check, |_| {}).0, Ok);
        assert_eq!(say(check, |fleet| fleet.survey("w1").active = None).0, Skipped);
        let runs = |fleet: &mut Fleet| fleet.survey("w1").active = active(&["NetworkManager"]);
        let found = say(check, runs);
        assert!(
            found.0 == Warning && found.1.contains("interface-name:cni0;interface-name:veth*"),
            "{}",
            found.1
        );
        let told = say(check, |fleet| {
            runs(fleet);
            fleet.survey("w1").unmanaged = vec!["unmanaged-devices=interface-name:cni0".into()];
        });
        assert_eq!(told.0, Ok);
        let other = say(check, |fleet| {
            runs(fleet);
            fleet.survey("w1").unmanaged = vec!["unmanaged-devices=interface-name:eth9".into()];
        });
        assert_eq!(other.0, Warning);
    }
}
