//! Findings in words: what is wrong first, what is fine as a count.

use std::fmt::Write;

use console::style;

use crate::preflight::{Finding, Severity};

/// How many hosts are named before the others are only counted.
const NAMED: usize = 8;

/// What people read. `all` also lists what is fine.
pub fn findings(findings: &[Finding], all: bool) -> String {
    let mut text = String::new();
    let of = |severity| findings.iter().filter(move |finding| finding.severity == severity);
    for finding in of(Severity::Error) {
        let _ = writeln!(text, "{} {}", style("error").red().bold(), headline(finding));
        details(&mut text, finding);
    }
    text.push_str(&warnings(findings));
    for finding in of(Severity::Skipped) {
        let _ = writeln!(text, "{} {}", style("not checked").bold(), headline(finding));
        let _ = writeln!(text, "  because    {}", finding.observed);
    }
    for finding in of(Severity::Ok).filter(|_| all) {
        let _ = writeln!(text, "{} {}", style("ok").green().bold(), headline(finding));
        let _ = writeln!(text, "  observed   {}", finding.observed);
    }
    text.push_str(&summary(findings));
    text
}

/// The warnings alone.
pub fn warnings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        let _ = writeln!(text, "{} {}", style("warning").yellow().bold(), headline(finding));
        details(&mut text, finding);
    }
    text
}

fn headline(finding: &Finding) -> String {
    format!("{}: {} ({})", hosts(&finding.hosts), finding.checked, finding.check)
}

fn details(text: &mut String, finding: &Finding) {
    for (key, value) in
        [("observed", &finding.observed), ("expected", &finding.expected), ("fix", &finding.fix)]
    {
        if !value.is_empty() {
            // What a host's own error says may have several lines.
            let _ = writeln!(text, "  {key:<10} {}", value.replace('\n', "\n             "));
        }
    }
}

fn hosts(hosts: &[String]) -> String {
    match hosts.len() {
        0..=NAMED => hosts.join(", "),
        all => format!("{} and {} more", hosts[..NAMED].join(", "), all - NAMED),
    }
}

/// The last line: how much of each. A check counts as fine when it found nothing else on any host.
fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let mut checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    checks.sort_unstable();
    checks.dedup();
    let bad = |check: &&&str| findings.iter().any(|of| of.check == **check && of.severity != Severity::Ok);
    let fine = checks.len() - checks.iter().filter(bad).count();
    let mut hosts: Vec<&str> =
        findings.iter().flat_map(|finding| finding.hosts.iter().map(String::as_str)).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let number = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    };
    format!(
        "{}, {}, {} not checked; {fine} of {} found nothing wrong on {}.\n",
        number(count(Severity::Error), "error", "errors"),
        number(count(Severity::Warning), "warning", "warnings"),
        count(Severity::Skipped),
        number(checks.len(), "check", "checks"),
        number(hosts.len(), "host", "hosts"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Check;

    const SWAP: Check = Check { name: "swap", checked: "swap, now and at the next boot", expected: "none" };
    const MTU: Check = Check { name: "path-mtu", checked: "large packets", expected: "they arrive" };
    const KERNEL: Check =
        Check { name: "kernel", checked: "the kernel's version", expected: "3.10 or newer" };

    fn sample() -> Vec<Finding> {
        let many = (1..=10).map(|number| format!("w{number}")).collect();
        vec![
            KERNEL.error("cp1", "2.6.32\nwhich is old", "install a newer kernel"),
            SWAP.warning("", "/dev/sda2 is in use", "`hoist apply` turns it off").about(many),
            MTU.skipped("cp1", "there is no ping"),
            KERNEL.ok("w1", "6.12.48"),
            SWAP.ok("cp1", "none"),
            MTU.ok("w1", "1500 bytes reach cp1"),
        ]
    }

    #[test]
    fn what_is_wrong_is_shown_and_what_is_fine_is_counted() {
        insta::assert_snapshot!(findings(&sample(), false), @r"
        error cp1: the kernel's version (kernel)
          observed   2.6.32
                     which is old
          expected   3.10 or newer
          fix        install a newer kernel
        warning w1, w2, w3, w4, w5, w6, w7, w8 and 2 more: swap, now and at the next boot (swap)
          observed   /dev/sda2 is in use
          expected   none
          fix        `hoist apply` turns it off
        not checked cp1: large packets (path-mtu)
          because    there is no ping
        1 error, 1 warning, 1 not checked; 0 of 3 checks found nothing wrong on 11 hosts.
        ");
    }

    #[test]
    fn all_of_it() {
        let fine = [KERNEL.ok("w1", "6.12.48"), MTU.skipped("w1", "there is no ping")];
        insta::assert_snapshot!(findings(&fine, true), @r"
        not checked w1: large packets (path-mtu)
          because    there is no ping
        ok w1: the kernel's version (kernel)
          observed   6.12.48
        0 errors, 0 warnings, 1 not checked; 1 of 2 checks found nothing wrong on 1 host.
        ");
    }
}
