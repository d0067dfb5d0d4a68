//! The script that asks a host, and the one that reads texts to be shown.

use std::collections::BTreeSet;

use super::{Probe, checks, invocation, sysctl_file};
use crate::task::{quote, quote_all};

/// The script that observes all of these in one go.
pub fn probe_script(probes: &BTreeSet<Probe>) -> String {
    let mut paths = BTreeSet::new();
    let (mut packages, mut units, mut sysctls, mut tail) = (vec![], vec![], vec![], String::new());
    let (mut texts, mut keys, mut users, mut mounts) = (vec![], vec![], vec![], vec![]);
    let mut disks = vec![];
    for probe in probes {
        match probe {
            Probe::Path(path) => {
                paths.insert(path.clone());
            }
            Probe::Package(name) => packages.push(name.as_str()),
            Probe::Unit(unit) => units.push(unit.as_str()),
            Probe::Sysctl(key) => sysctls.push(key.as_str()),
            Probe::Module { name, evidence } => tail.push_str(&module_probe(name, evidence.as_deref())),
            Probe::Text(path) => match path.strip_prefix('~') {
                Some(user) => keys.push(user),
                None => texts.push(path.as_str()),
            },
            Probe::User(name) => users.push(name.as_str()),
            Probe::Mount { path, source } => mounts.push((path.as_str(), source.as_str())),
            Probe::Disk(device) => disks.push(device.as_str()),
            Probe::Swap => tail.push_str(SWAP),
            Probe::Images => tail.push_str("echo '#images'\nctr -n k8s.io images ls 2>/dev/null\n"),
            Probe::Check(_) => {}
        }
    }
    let mut script = String::from("export LC_ALL=C\n");
    if !units.is_empty() {
        // Asked first: an invocation has the name of the unit itself, which may have been asked for by an alias.
        script.push_str(&format!(
            "units=$(systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload {})\n\
             set -f --; IFS='\n'\nfor line in $units; do case $line in Id=*) set -- \"$@\" {}\"${{line#Id=}}\" ;; esac; done\n\
             set +f; unset IFS\n",
            quote_all(units.iter().copied()),
            invocation("")
        ));
    } else {
        script.push_str("set --\n");
    }
    if !paths.is_empty() || !units.is_empty() {
        let words = quote_all(paths.iter().map(String::as_str));
        // Two processes however many paths there are; what is missing is simply not answered. Only regular
        // files have digests: reading a pipe in the place of a file would not end.
        script.push_str(&format!(
            "set -- \"$@\" {words}\necho '#paths'\nstat -c '%f %U %G %s %.9Y %n' -- \"$@\" 2>/dev/null\n"
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
        script.push_str("echo '#units'\nprintf '%s\\n' \"$units\"\n");
    }
    if !sysctls.is_empty() {
        // Not the shell's `read`: it asks byte by byte, and these files answer only the first time.
        let files: Vec<String> = sysctls.into_iter().map(sysctl_file).collect();
        let words = quote_all(files.iter().map(String::as_str));
        script.push_str(&format!("echo '#sysctls'\ngrep -sH '' {words}\n"));
    }
    if !texts.is_empty() || !keys.is_empty() {
        script.push_str(&format!(
            "echo '#texts'\ntext() {{\nif [ ! -f \"$2\" ]; then printf '#odd %s\\n' \"$1\"\n\
             elif [ \"$3\" -gt {TEXT_BYTES} ]; then printf '#large %s\\n' \"$1\"\n\
             else printf '#text %s\\n' \"$1\"; base64 < \"$2\"; fi\n}}\n"
        ));
    }
    if !texts.is_empty() {
        // A link is followed, and what is missing is not answered.
        let words = quote_all(texts);
        script.push_str(&format!(
            "stat -L -c '%s %n' -- {words} 2>/dev/null | while IFS=' ' read -r size path; do text \"$path\" \"$path\" \"$size\"; done\n"
        ));
    }
    if !keys.is_empty() {
        // The user could make a link to anything here, and what root reads of it would be shown.
        script.push_str(&format!(
            "for user in {}; do\nhome=$(getent passwd \"$user\" | cut -d: -f6); path=$home/.ssh/authorized_keys\n\
             [ -n \"$home\" ] && size=$(stat -c %s -- \"$path\" 2>/dev/null) || continue\n\
             if [ -L \"$home/.ssh\" ] || [ -L \"$path\" ]; then printf '#odd ~%s\\n' \"$user\"; \
             else text \"~$user\" \"$path\" \"$size\"; fi\ndone\n",
            quote_all(keys)
        ));
    }
    if !users.is_empty() {
        script.push_str(&format!(
            "echo '#users'\nfor user in {}; do entry=$(getent passwd \"$user\") && printf '%s\\n%s\\n' \"$entry\" \"$(id -Gn \"$user\")\"; done\n",
            quote_all(users)
        ));
    }
    if !mounts.is_empty() {
        let pattern = |(path, _): &(&str, &str)| format!("-e {}", quote(&format!(" {} ", octal(path))));
        let patterns: Vec<String> = mounts.iter().map(pattern).collect();
        script.push_str(&format!(
            "echo '#mounts'\ngrep -F {} /proc/self/mountinfo\nfor source in {}; do\n{DEVICE}done\n",
            patterns.join(" "),
            quote_all(mounts.iter().map(|(_, source)| *source))
        ));
    }
    if !disks.is_empty() {
        script.push_str(&format!(
            "{DISK}for path in {}; do printf '#disk %s\\n' \"$path\"; disk \"$path\" 2>/dev/null </dev/null; done\n",
            quote_all(disks)
        ));
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

/// `disk PATH` says what is on a block device, a line each: its `size` in bytes, a file system right on it as `type`, and
/// everything else that speaks against its being empty as `found`. Nothing where there is no such device.
///
/// It is asked in four ways, because each knows signatures that the others do not; and where there is none, the first and
/// the last MiB must be zeros, for raw data and encryption without a header have no signature at all.
pub(in crate::task) const DISK: &str = r#"disk() {
	device=$(readlink -f "$1") && [ -b "$device" ] || return
	size=$(blockdev --getsize64 "$device") || { echo 'size 0'; echo 'found no answer from the device'; return; }
	echo "size $size"
	[ "$(blockdev --getro "$device")" = 0 ] || echo 'found write protection'
	type=$(blkid -p -s TYPE -o value "$device") || case $? in
	2) ;;
	8) echo 'found several signatures' ;;
	*) echo 'found something that blkid cannot read' ;;
	esac
	table=$(blkid -p -s PTTYPE -o value "$device")
	[ -z "$table" ] || echo "found a partition table ($table)"
	signatures=$(wipefs -p "$device") || echo 'found something that wipefs cannot read'
	printf '%s\n' "$signatures" | while IFS=, read -r offset uuid label kind rest; do
		case $offset in '#'* | '') ;; *) [ -n "$type" ] && [ "$kind" = "$type" ] || echo "found a signature of ${kind:-$rest}" ;; esac
	done
	tree=$(lsblk -nrpo NAME,TYPE "$device") || echo 'found something that lsblk cannot read'
	printf '%s\n' "$tree" | sed 1d | while read -r name kind; do [ -z "$name" ] || echo "found $name ($kind)"; done
	number=$(stat -c '%t:%T' "$device")
	number=$((0x${number%:*})):$((0x${number#*:}))
	while read -r id parent dev root at rest; do
		[ "$dev" != "$number" ] || [ -n "$type" ] || echo "found that it is mounted on $at"
	done < /proc/self/mountinfo
	grep -q "^$device[[:space:]]" /proc/swaps && echo 'found swap in use'
	if [ -n "$type" ]; then
		echo "type $type"
	else
		rest=$((size / 1048576 - 1))
		{ head -c 1048576 "$device"; [ $rest -le 0 ] || dd if="$device" bs=1048576 skip=$rest; } | tr -d '\000' | head -c 1 | grep -q '' &&
			echo 'found data without a signature'
	fi
	return 0
}
"#;

const DEVICE: &str = r#"case $source in
/dev/*) device=$(readlink -f "$source") ;;
[A-Z]*=*) device=$(findfs "$source" 2>/dev/null) ;;
*) continue ;;
esac
[ -b "$device" ] && printf '#device %s %s %s\n' "$(stat -c '%t:%T' "$device")" "$device" "$source"
"#;

/// The units are those of distributions that make swap themselves and do not ask systemd's `swap.target`.
const SWAP: &str = "echo '#swap'
while read -r device rest; do case $device in Filename) ;; *) echo \"active $device\";; esac; done < /proc/swaps
[ \"$(readlink /etc/systemd/system/swap.target)\" = /dev/null ] && echo masked
for unit in dphys-swapfile zram-config zram-swap zramswap; do
for link in /etc/systemd/system/*.wants/$unit.service; do [ -L \"$link\" ] && echo \"unit $unit.service\"; done; done
";

/// A path as the kernel writes it in tables of mounts.
pub(in crate::task) fn octal(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn module_probe(name: &str, evidence: Option<&str>) -> String {
    format!("{{ {}; }} && echo {}\n", has_module(name, evidence), quote(&format!("#module {name}")))
}

/// A list of commands of which one succeeds where the kernel has a module, loaded or built in.
pub(in crate::task) fn has_module(name: &str, evidence: Option<&str>) -> String {
    let evidence = evidence.map(|path| format!("[ -e {} ] || ", quote(path))).unwrap_or_default();
    let directory = quote(&format!("/sys/module/{}", name.replace('-', "_")));
    let builtin = quote(&format!("/{}.ko", name));
    let filesystem = quote(name);
    format!(
        "{evidence}[ -d {directory} ] || grep -qsw {filesystem} /proc/filesystems || grep -qsF {builtin} /lib/modules/$(uname -r)/modules.builtin"
    )
}

/// Texts larger than this, in bytes, are neither shown nor edited.
const TEXT_BYTES: u64 = 256 * 1024;

/// The script that reads the present contents of text files, to be shown in a diff.
pub fn contents_script(paths: &[&str]) -> String {
    let words = quote_all(paths.iter().copied());
    // base64 makes the answer lines again, whatever the files contain.
    format!(
        "for path in {words}; do [ -f \"$path\" ] && [ \"$(stat -c %s \"$path\")\" -le {TEXT_BYTES} ] || continue\n\
         printf '#content %s\\n' \"$path\"; base64 < \"$path\"; done\nexit 0\n"
    )
}
