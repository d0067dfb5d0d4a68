//! The script that asks a host, and the one that reads texts to be shown.

use std::collections::BTreeSet;

use super::{Probe, checks, invocation, sysctl_file};
use crate::task::{quote, quote_all};

/// The script that observes all of these in one go.
pub fn probe_script(probes: &BTreeSet<Probe>) -> String {
    let mut paths = BTreeSet::new();
    let (mut packages, mut units, mut sysctls, mut tail) = (vec![], vec![], vec![], String::new());
    for probe in probes {
        match probe {
            Probe::Path(path) => {
                paths.insert(path.clone());
            }
            Probe::Package(name) => packages.push(name.as_str()),
            Probe::Unit(unit) => {
                units.push(unit.as_str());
                paths.insert(invocation(unit));
            }
            Probe::Sysctl(key) => sysctls.push(key.as_str()),
            Probe::Module { name, evidence } => tail.push_str(&module_probe(name, evidence.as_deref())),
            Probe::Swap => tail.push_str(SWAP),
            Probe::Images => tail.push_str("echo '#images'\nctr -n k8s.io images ls 2>/dev/null\n"),
            Probe::Check(_) => {}
        }
    }
    let mut script = String::from("export LC_ALL=C\n");
    if !paths.is_empty() {
        let words = quote_all(paths.iter().map(String::as_str));
        // Two processes however many paths there are; what is missing is simply not answered. Only regular
        // files have digests: reading a pipe in the place of a file would not end.
        script.push_str(&format!(
            "set -- {words}\necho '#paths'\nstat -c '%f %U %G %s %.9Y %n' -- \"$@\" 2>/dev/null\n"
        ));
        script.push_str(DIGESTS);
    }
    if !packages.is_empty() {
        let words = quote_all(packages);
        script.push_str(&format!(
            "echo '#packages'\nif command -v dpkg-query >/dev/null; then \
             dpkg-query -W -f '${{db:Status-Status}} ${{Package}} ${{Version}}\\n' {words} 2>/dev/null; \
             else rpm -q --qf 'installed %{{NAME}} %{{VERSION}}-%{{RELEASE}}\\n' {words} 2>/dev/null | grep '^installed '; fi\n"
        ));
    }
    if !units.is_empty() {
        script.push_str(&format!(
            "echo '#units'\nsystemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload {}\n",
            quote_all(units)
        ));
    }
    if !sysctls.is_empty() {
        // Not the shell's `read`: it asks byte by byte, and these files answer only the first time.
        let files: Vec<String> = sysctls.into_iter().map(sysctl_file).collect();
        let words = quote_all(files.iter().map(String::as_str));
        script.push_str(&format!("echo '#sysctls'\ngrep -sH '' {words}\n"));
    }
    script.push_str(&tail);
    for (index, check) in checks(probes).enumerate() {
        // A subshell of its own: a check may set, cd or exit. By `eval`, so that a check that is no valid sh
        // fails alone and does not end the whole script.
        let check = quote(check);
        script.push_str(&format!("( eval {check} ) >/dev/null 2>&1 </dev/null && echo '#passed {index}'\n"));
    }
    script.push_str("exit 0\n");
    script
}

const DIGESTS: &str = r#"echo '#digests'
for path; do shift; [ -f "$path" ] && [ ! -L "$path" ] && set -- "$@" "$path"; done
[ $# -eq 0 ] || sha256sum -- "$@" 2>/dev/null
"#;

const SWAP: &str = "echo '#swap'
while read -r device rest; do case $device in Filename) ;; *) echo \"active $device\";; esac; done < /proc/swaps
grep -Eq '^[[:space:]]*[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap([[:space:]]|$)' /etc/fstab 2>/dev/null && echo 'fstab'
";

fn module_probe(name: &str, evidence: Option<&str>) -> String {
    let evidence = evidence.map(|path| format!("[ -e {} ] || ", quote(path))).unwrap_or_default();
    let directory = quote(&format!("/sys/module/{}", name.replace('-', "_")));
    let builtin = quote(&format!("/{}.ko", name));
    let filesystem = quote(name);
    let answer = quote(&format!("#module {name}"));
    format!(
        "{{ {evidence}[ -d {directory} ] || grep -qsw {filesystem} /proc/filesystems || grep -qsF {builtin} /lib/modules/$(uname -r)/modules.builtin; }} && echo {answer}\n"
    )
}

/// Contents larger than this are not fetched to be shown.
const SHOWN_BYTES: u64 = 256 * 1024;

/// The script that reads the present contents of text files, to be shown in a diff.
pub fn contents_script(paths: &[&str]) -> String {
    let words = quote_all(paths.iter().copied());
    // base64 makes the answer lines again, whatever the files contain.
    format!(
        "for path in {words}; do [ -f \"$path\" ] && [ \"$(stat -c %s \"$path\")\" -le {SHOWN_BYTES} ] || continue\n\
         printf '#content %s\\n' \"$path\"; base64 < \"$path\"; done\nexit 0\n"
    )
}
