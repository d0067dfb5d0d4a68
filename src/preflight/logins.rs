//! What a host's SSH server and its sudo do to those who log in.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};

const SERVER: Check = Check {
    name: "ssh-server",
    checked: "what the SSH server's settings make refused or slow (MaxStartups, MaxSessions, UseDNS)",
    expected: "as OpenSSH has them by default, or more: 10 logins at a time, 10 sessions a connection, no lookup of names",
};
const PATH: Check = Check {
    name: "sudo-path",
    checked: "where sudo looks for programs (secure_path)",
    expected: "/usr/local/bin among them, where kubectl, kubeadm and etcdctl are",
};

/// OpenSSH's default: below this many connections that are still logging in, none is refused.
const STARTUPS: u32 = 10;
/// The shell that hoist works in, another one in the place of one that hangs, and a conversation beside them.
const SESSIONS: u32 = 3;

/// Where hoist puts programs.
const FOLDER: &str = "/usr/local/bin";

/// Both.
pub fn from_survey(host: &Subject, survey: &Survey) -> Vec<Finding> {
    vec![server(host, survey), path(host, survey)]
}

fn server(host: &Subject, survey: &Survey) -> Finding {
    let server = &survey.sshd;
    let (Some(startups), Some(sessions), Some(looks_up)) =
        (server.startups, server.sessions, server.looks_up)
    else {
        return SERVER.skipped(host.name, "`sshd -T` does not tell");
    };
    let mut seen = Vec::new();
    // 0 is none at all, and nobody who is logged in sees that.
    if startups < STARTUPS {
        seen.push(format!("MaxStartups {startups}: beside so many logins at a time, others are refused"));
    }
    if sessions < SESSIONS {
        seen.push(format!("MaxSessions {sessions}: hoist needs up to {SESSIONS} in its one connection"));
    }
    if looks_up {
        seen.push("UseDNS yes: each login waits for the name of the client's address".to_owned());
    }
    if seen.is_empty() {
        let observed = format!("MaxStartups {startups}, MaxSessions {sessions}, UseDNS no");
        return SERVER.ok(host.name, observed);
    }
    SERVER.warning(
        host.name,
        seen.join("; "),
        "`MaxStartups 10:30:100`, `MaxSessions 10` and `UseDNS no` in /etc/ssh/sshd_config (a file of sshd_config.d may come \
         first, and the first counts), then `systemctl reload ssh` (or sshd)",
    )
}

/// hoist itself sets the path of what it runs; people who type `sudo kubectl` have sudo's.
fn path(host: &Subject, survey: &Survey) -> Finding {
    match survey.sudo_path.as_deref() {
        None => PATH.skipped(host.name, "there is no sudo, or it does not tell"),
        Some("") => PATH.ok(host.name, "that of the user"),
        Some(path) if path.split(':').any(|folder| folder.trim_end_matches('/') == FOLDER) => {
            PATH.ok(host.name, path)
        }
        Some(path) => PATH.warning(
            host.name,
            format!("{path}: `sudo kubectl` is not found, though hoist's own work is"),
            format!(
                "`visudo -f /etc/sudoers.d/path` with the line `Defaults secure_path=\"/usr/local/sbin:{FOLDER}:{path}\"`, or \
                 type the whole path: `sudo {FOLDER}/kubectl`"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Ok, Skipped, Warning},
        survey::SshServer,
        tests::Fleet,
    };

    fn say(check: &str, change: impl FnOnce(&mut Survey)) -> (Severity, String) {
        let mut fleet = Fleet::three();
        change(fleet.survey("w1"));
        let hosts = fleet.subjects();
        let all = from_survey(&hosts[1], hosts[1].survey.unwrap());
        let finding = all.into_iter().find(|finding| finding.check == check).unwrap();
        (finding.severity, finding.observed)
    }

    #[test]
    fn what_makes_logins_refused_or_slow() {
        for (answer, severity, says) in [
            ("sshd_maxstartups=10:30:100\nsshd_maxsessions=10\nsshd_usedns=no", Ok, "MaxStartups 10,"),
            ("sshd_maxstartups=100\nsshd_maxsessions=3\nsshd_usedns=no", Ok, "MaxSessions 3,"),
            ("sshd_maxstartups=2:30:10\nsshd_maxsessions=10\nsshd_usedns=no", Warning, "MaxStartups 2:"),
            ("sshd_maxstartups=10:30:100\nsshd_maxsessions=1\nsshd_usedns=no", Warning, "MaxSessions 1:"),
            ("sshd_maxstartups=10:30:100\nsshd_maxsessions=10\nsshd_usedns=yes", Warning, "UseDNS yes:"),
            ("sshd_maxstartups=4:30:60\nsshd_maxsessions=4\nsshd_usedns=yes", Warning, "; UseDNS"),
            ("sshd_maxstartups=10:30:100", Skipped, "sshd -T"),
            ("", Skipped, "sshd -T"),
        ] {
            let found = say("ssh-server", |survey| survey.sshd = Survey::parse(answer).sshd);
            assert!(found.0 == severity && found.1.contains(says), "{answer}: {found:?}");
        }
        assert_eq!(Survey::parse("").sshd, SshServer::default());
    }

    #[test]
    fn where_sudo_looks() {
        for (answer, severity) in [
            ("sudo_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", Ok),
            ("sudo_path=/usr/local/bin/:/bin", Ok),
            ("sudo_path=", Ok),
            // Red Hat's own.
            ("sudo_path=/sbin:/bin:/usr/sbin:/usr/bin", Warning),
            ("", Skipped),
        ] {
            let found = say("sudo-path", |survey| survey.sudo_path = Survey::parse(answer).sudo_path);
            assert_eq!(found.0, severity, "{answer}: {found:?}");
        }
    }
}
